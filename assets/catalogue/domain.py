"""What every declaration of catalogue shares."""

from platform_defs.contracts import Domain

domain = Domain(owner="team:catalogue", purpose="operations", tier="normal", start="2026-01-01", retention="400d", readers=["group:analysts"])
