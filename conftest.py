"""Tells pytest about the benches and how tests are shared out (`verif/bench/README.md` says what the plugins add)."""

pytest_plugins = ["hayate.verif.bench.plugin", "hayate.verif.bench.share"]
