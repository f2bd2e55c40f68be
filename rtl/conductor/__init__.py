"""The conductor: token loop at ring stop 0."""
