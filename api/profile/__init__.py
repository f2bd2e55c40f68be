"""Where the cycles of a generation went, from a recording of RTL or from the golden model's cycle formulas."""
