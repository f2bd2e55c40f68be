"""Tests of the compiler, the image and the loader."""
