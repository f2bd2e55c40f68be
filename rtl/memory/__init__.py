"""Memory banks and the error-correcting code that protects every memory of the chip."""
