"""Benches of the sequencer."""
