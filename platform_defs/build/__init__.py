"""Build: registry and declarations to Dagster definitions."""
