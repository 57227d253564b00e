"""The inspector: a page for staff with what this process serves, and why a row is in a view."""
