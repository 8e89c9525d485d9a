"""Fixtures of the whole suite live in tests/fixtures, one concern a module."""

from hypothesis import HealthCheck, settings

# A slow machine is no failure: what is slow is measured by `backline bench`.
settings.register_profile("backline", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("backline")

pytest_plugins = ["platform_defs.execution.testing", "tests.fixtures.postgres", "tests.fixtures.spark", "tests.fixtures.spreading", "tests.fixtures.tables"]
