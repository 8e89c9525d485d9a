"""What every declaration of charts shares."""

from platform_defs.contracts import Domain

domain = Domain(owner="team:charts", purpose="product", tier="normal", start="2026-01-01", retention="400d", readers=["group:analysts"])
