"""Ledger: the platform's tables in Postgres and the queries over them. An index that can be rebuilt from manifests and records."""
