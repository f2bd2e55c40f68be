"""FPGA boards: build and program."""
