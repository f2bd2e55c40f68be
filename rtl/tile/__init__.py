"""The tile: processing elements, activation buffer, vector unit, sequencer."""
