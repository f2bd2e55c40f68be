"""What the host port lets in, as a definition."""
