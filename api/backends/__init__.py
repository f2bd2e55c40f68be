"""What runs a compiled model: the simulated chip, and what a host gives it."""
