"""Tells pytest about the benches: `verif/bench/README.md` says what the plugin adds."""

pytest_plugins = ["hayate.verif.bench.plugin"]
