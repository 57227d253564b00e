"""Where hints of changes come from: the change log of each database, and Django's signals."""
