"""Tests of the golden conductor."""
