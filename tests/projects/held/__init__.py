"""A project whose bindings take as long to read as a test wants, and that says who waits."""
