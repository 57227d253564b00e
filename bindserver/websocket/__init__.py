"""Bindings over WebSocket: the consumer, who is at the other end, and what may connect."""
