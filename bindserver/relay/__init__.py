"""Hints of changes and commands between processes, through the channel layer."""
