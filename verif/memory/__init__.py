"""Benches of the memory blocks."""
