"""Tests of the golden numerics."""
