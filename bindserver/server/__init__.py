"""The server program around an ASGI application."""
