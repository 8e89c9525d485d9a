"""Backline: the platform. Contracts are the centre; every room points at them."""
