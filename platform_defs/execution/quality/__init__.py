"""Quality: what a staged partition is judged by (compiled checks, content hash) and the one pass that does it."""
