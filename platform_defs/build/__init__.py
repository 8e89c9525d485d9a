"""Build: contracts and declarations as Dagster definitions (`definitions.build_defs`), and Dagster's own processes and instance around them."""
