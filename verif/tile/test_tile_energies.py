"""A tile's energies against the golden ones, read over the ring as the governor reads them."""

import numpy as np

from hayate.rtl.contract.flits import CONDUCTOR, FlitKind
from hayate.rtl.contract.isa import ENERGY_BIT, Energy, PassWord, Space
from hayate.verif.tile.test_tile import BENCH, CONFIG, PASSES, STOP, begin, candidates, load_model


async def energies(ring, index):
    """Energies of the matrix with planes descriptor `index`, asked for in one go."""
    asked = [1 << ENERGY_BIT | index << 2 | kind for kind in Energy]
    for addr in asked:
        ring.send(kind=FlitKind.READ, lo=1, hi=CONDUCTOR - 1, chan=Space.COUNTER, addr=addr)
    found = []
    while len(found) < len(asked):
        flit = (await ring.until(kind=FlitKind.READ, lo=CONDUCTOR, hi=CONDUCTOR))[-1]
        assert (flit["src"], flit["chan"], flit["addr"]) == (STOP, Space.COUNTER, asked[len(found)])
        found.append(flit["data"])
    return found


@BENCH.test(sims=("verilator",))
async def energies_equal_golden(dut):
    """Passes that measure: their logits, and every energy as soon as the SYNC is there. Others add nothing; BEGIN
    empties all.
    """
    from hayate.golden.tile.sequencer import Tile as Golden

    ring = await begin(dut, stall=0.05)
    model, placement = load_model(ring)
    planes = {name: index for name, (index, *_) in placement.tiles[0].planes.items()}
    assert planes
    golden = Golden(model, lanes=CONFIG.lanes, slots=placement.slots)
    await ring.source.drained()
    for passes in ([(PASSES[0], 1)], list(zip(PASSES, (1, 1, 1, 0)))):
        golden.state.reset()
        ring.control(PassWord.BEGIN)
        for (tokens, positions, slots, hwm, wanted), measure in passes:
            ring.start_pass(tokens, positions, slots, hwm, wanted, measure, counted=wanted[-1:])
            flits = await ring.end_of_pass()
            logits = golden.run_pass(
                tokens, positions, slots, hwm=hwm, wanted=wanted, measure=bool(measure), counted=wanted[-1:]
            )
            values = {lane: value for lane, (value, _) in candidates(flits).items()}
            assert values == {w: int(row.view(np.uint32)[row.argmax()]) for w, row in zip(wanted, logits)}
            for name, index in planes.items():
                assert await energies(ring, index) == golden.state.energies.get(name, [0] * len(Energy)), name
        assert all(min(golden.state.energies[name]) > 0 for name in golden.state.energies)
        assert len(golden.state.energies) >= len(planes) - 1
