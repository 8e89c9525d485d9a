"""Planning: what is due, stale or waiting, and in which runs. Pure functions: no network, no session, no clock of their own."""
