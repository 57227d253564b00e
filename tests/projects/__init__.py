"""Whole projects, as people have them: deployed, in a browser, with models of their own."""
