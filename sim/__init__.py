"""Builds and drives the RTL: what benches and the command line share."""
