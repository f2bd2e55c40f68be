"""The order of reset, clearing and readiness, whatever commands and pins come when."""

from hayate.rtl.host.power import RESET_CYCLES, Power
from hayate.verif.bench import Bench, rng

BENCH = Bench(Power)


class Model:
    """`Power` by its docstring, a cycle at a time."""

    def __init__(self):
        self.wanted, self.left, self.sweep, self.clearing = 0, RESET_CYCLES, 0, 0

    def edge(self, rst, init, reset, clear, cleared):
        sweep, self.sweep = self.sweep, 0
        if rst:
            self.wanted, self.left, self.clearing = init or clear or self.wanted or self.clearing, RESET_CYCLES, 0
        elif reset or clear:
            self.wanted = 1 if clear or self.clearing else self.wanted and not sweep
            self.left, self.clearing = RESET_CYCLES, 0
        elif self.left:
            self.left -= 1
            if not self.left:
                self.clearing = self.sweep = self.wanted
        else:
            self.clearing = int(self.clearing and not (cleared and not sweep))
            self.wanted = self.wanted and not sweep


@BENCH.test()
async def it_becomes_ready_in_order(dut):
    from hayate.verif.bench.drivers import clock, settle, start

    await start(dut)
    dut.rst.value, model, generator = 1, Model(), rng("power")
    await clock(dut, 2)
    seen = set()
    for _ in range(3000):
        inputs = {
            "rst": generator.random() < 0.03,
            "init": generator.random() < 0.5,
            "reset": generator.random() < 0.04,
            "clear": generator.random() < 0.04,
            "cleared": generator.random() < 0.2,
        }
        for name, value in inputs.items():
            getattr(dut, name).value = int(value)
        await clock(dut)
        model.edge(**inputs)
        await settle()
        expected = (
            int(model.left > 0),
            int(bool(model.clearing)),
            int(bool(model.sweep)),
            int(model.left == 0 and not model.clearing),
        )
        assert tuple(int(getattr(dut, n).value) for n in ("core_reset", "clearing", "sweep", "ready")) == expected
        seen.add(expected)
    assert len(seen) == 4, "in reset, its first cycle of clearing, clearing, ready"
