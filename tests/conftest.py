"""Fixtures of the whole suite live in tests/fixtures, one concern a module."""

pytest_plugins = ["platform_defs.execution.testing", "tests.fixtures.postgres", "tests.fixtures.spark", "tests.fixtures.spreading", "tests.fixtures.tables"]
