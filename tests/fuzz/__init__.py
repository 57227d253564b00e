"""What no client should send, at each door of a real server: nobody else is to notice."""
