"""Bindings over HTTP: snapshots, viewsets, health."""
