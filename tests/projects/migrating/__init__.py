"""docs/migrating.md, each pair of it run in a project of its own."""
