"""Whole machines: compiled images on simulated RTL."""
