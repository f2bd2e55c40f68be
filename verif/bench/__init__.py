"""cocotb benches as pytest items. `README.md` in this folder says how to write one."""

from hayate.verif.bench.bench import Bench, params, rng, seed

__all__ = ["Bench", "params", "rng", "seed"]
