"""The change log on SQLite."""
