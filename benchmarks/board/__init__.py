"""A board of tasks, with all that `benchmarks.queries` measures."""
