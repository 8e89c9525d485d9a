"""Privacy: vault, pseudonyms, encryption."""
