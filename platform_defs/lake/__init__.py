"""Lake: where tables, staging, quarantine, records and landing live, and how they are read and written. No ledger, no contracts loading."""
