"""A kind of database that bindserver has never heard of."""
