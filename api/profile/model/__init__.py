"""A machine's cycles without its RTL: the engines by their cycle formulas, and what they wait for, event by event.

What runs is the placed program; of the golden model it takes which passes there were. Simulation of events: SimPy.
"""
