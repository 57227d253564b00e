"""Faults to plant in the product, by name: whoever plants one must find it."""
