"""Whole machines in simulation: their top modules, and what runs on them inside cocotb."""
