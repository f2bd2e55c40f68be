"""Benches of the conversion to Verilog."""
