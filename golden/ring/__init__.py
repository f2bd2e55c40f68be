"""What the ring promises, without saying when."""
