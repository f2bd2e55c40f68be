"""Tests of the golden tile."""
