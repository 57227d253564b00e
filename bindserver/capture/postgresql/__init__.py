"""The change log on PostgreSQL."""
