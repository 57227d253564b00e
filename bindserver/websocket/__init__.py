"""Bindings over WebSocket: the consumer, and which pages may connect."""
