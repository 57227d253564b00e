"""A small shop that shows what a live queryset feels like."""
