"""The machine's contract: plain Python that RTL, compiler, golden model and estimator all read; no Amaranth."""
