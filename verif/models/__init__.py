"""Models made for tests."""
