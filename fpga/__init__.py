"""FPGA: one tile through synthesis, placement and routing, as a baseline of area and speed."""
