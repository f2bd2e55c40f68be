"""Golden conductor: the token loop."""
