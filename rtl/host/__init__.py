"""The host port: what the machine shows to a system on a chip."""
