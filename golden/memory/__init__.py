"""Reference of the memories' error-correcting code."""
