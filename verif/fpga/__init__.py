"""Tests of the FPGA flow."""
