"""One thread for each database, which alone touches views, and moves them from state to state."""
