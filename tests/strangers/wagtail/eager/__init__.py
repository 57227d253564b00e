"""An app whose binding asks the database while it is imported."""
