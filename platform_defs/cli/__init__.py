"""Cli: the backline command."""
