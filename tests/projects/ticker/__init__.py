"""A project whose bindings stand in its urlconf, and one of whose consumers listens to a group."""
