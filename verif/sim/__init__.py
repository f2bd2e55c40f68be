"""Tests of what builds and drives the RTL."""
