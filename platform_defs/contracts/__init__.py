"""Contracts: what authors declare (domains, events, endpoints, sources, schemas) and the canonical data they become. Pydantic only; pure."""
