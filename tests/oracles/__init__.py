"""Independent computations of what the platform must publish. They share no code with it: DuckDB over the original files, or the generator's own truth."""
