"""Benches of the ring."""
