"""What needs Python and SQLite alone: no other database, and no server."""
