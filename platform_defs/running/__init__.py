"""Running: the local supervisor that starts, watches and ends the processes of one Backline."""
