"""Benches of the tile's blocks."""
