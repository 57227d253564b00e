"""A project of tenants, each with a schema of its own, as django-tenants makes them."""
