"""The golden model: pure numpy, bit-exact, the living definition of the machine. Imports rtl.contract only."""
