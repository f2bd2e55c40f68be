"""The vector engine: everything that is not a dot product, and everything that is sent."""
