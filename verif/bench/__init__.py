"""cocotb benches as pytest items. `README.md` in this folder says how to write one."""

from hayate.verif.bench.bench import TEXTS, Bench, cases, params, rng, seed

__all__ = ["TEXTS", "Bench", "cases", "params", "rng", "seed"]
