"""What this process does, for Prometheus: numbers that its threads keep, read when asked for."""
