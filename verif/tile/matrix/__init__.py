"""Benches of the matrix engine."""
