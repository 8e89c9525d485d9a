"""What every declaration of aviation shares. The first day holds snapshots only: the flights' first day, 2026-01-06, reads them as of its hours."""

from platform_defs.contracts import Domain

domain = Domain(
    owner="team:aviation",
    purpose="operations",
    tier="normal",
    start="2026-01-05",
    retention="3650d",
    readers=["group:analysts"],
)
