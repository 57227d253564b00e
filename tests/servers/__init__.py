"""What starts servers, and talks to them from outside."""
