"""How many of everything there is for each row of the board."""

MEMBERSHIPS = 3
"""Each user is a member of so many projects, and each project has so many members."""
COMMENTS = 3
"""Each task has so many; the first decides whether it is praised."""
TAGS = 50
LINKS = 2
"""Each task has so many tags."""
SPARE = (TAGS + 1, TAGS + 2)
"""Tags that no task has at first."""
