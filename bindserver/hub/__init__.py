"""What transports and Python code talk to: each request goes to the cycle of its database."""
