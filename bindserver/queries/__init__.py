"""From a binding to SQL, and from rows back to what is sent."""
