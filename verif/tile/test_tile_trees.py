"""Passes over token trees on one tile, drafts and samples among them, against the golden tile."""

import numpy as np
import pytest

from hayate.golden.conductor.sample import log_share
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.isa import Csr, PassWord, Space
from hayate.rtl.memory.bank import macro_text
from hayate.rtl.package import tile
from hayate.verif.bench import Bench, rng
from hayate.verif.tile.test_tile import begin, candidates, load_model, trace
from hayate.verif.tile.vector.test_mask import random_path, random_tree

CONFIG = load_config("unit", ["tiles=1", "lanes=4"])
BENCH = Bench(lambda: tile(CONFIG), sources=[macro_text()], timeout=900)
PROMPT = [7, 3, 41, 1, 5]


@pytest.mark.nightly
@BENCH.test(sims=("verilator",))
async def trees_equal_golden(dut):
    """Candidates and logits of every node, greedy or sampled, after the first generation with filters. Rejected slots
    are used again at once, and a generation finds those of the one before.
    """
    from hayate.golden.tile.sequencer import Tile as Golden

    ring, r = await begin(dut, stall=0.1, lanes=CONFIG.lanes), rng("trees")
    rows = trace(dut, CONFIG.lanes)
    model, placement = load_model(ring, CONFIG, filters=True)
    golden = Golden(model, lanes=CONFIG.lanes, slots=placement.slots)
    await ring.source.drained()

    async def run(*arguments, **options):
        """One pass on both."""
        sample = r.random() < 0.6
        ring.start_pass(*arguments, sample=int(sample), **options)
        flits = await ring.end_of_pass()
        *place, hwm, wanted = arguments
        golden.state.draw(scale if sample else None, seed, log_p, top_k)
        logits = golden.run_pass(*place, hwm=hwm, wanted=wanted, commit=False, **options)
        found, second = (candidates(flits, n) for n in range(2))
        scores = np.concatenate(golden.vector.scores).T[wanted] if wanted else []
        assert found == {
            w: (int(row.view(np.uint32)[at]), at)
            for w, row, at in zip(wanted, scores, golden.choices() if wanted else [])
        }
        pair = wanted and wanted[0] == 0 and options.get("draft")
        at = golden.second()[0] if pair else 0
        assert second == ({0: (int(scores[0].view(np.uint32)[at]), at)} if pair else {})
        assert not wanted or sample == (scores != logits).any()
        assert [[values[w] for _, _, values in rows] for w in wanted] == logits.view(np.uint32).tolist()
        rows.clear()

    def commit(nodes):
        ring.commit(nodes)
        golden.commit(nodes)

    reused = siblings = drafts = 0
    for log_p, top_k in ((None, 0), (log_share(0.05), 7), (None, 20)):
        scale, seed = np.float32(1 / r.uniform(0.3, 3)), r.getrandbits(64)
        ring.load(Space.VMEM, placement.regions["INVT"], int(scale.view(np.uint32)))
        ring.load(Space.CSR, Csr.TOP_K, top_k)
        ring.load(Space.CSR, Csr.MIN_P, int(log_p is not None))
        if log_p is not None:
            ring.load(Space.VMEM, placement.regions["LNP"], int(log_p.view(np.uint32)))
        ring.control(PassWord.BEGIN, data=seed)
        used = 0
        for at in range(0, len(PROMPT), CONFIG.lanes):
            part = PROMPT[at : at + CONFIG.lanes]
            used += len(part)
            positions = range(at, used)
            await run(part, positions, positions, used, [])
            commit(range(len(part)))
        root, free = used, []
        for _ in range(6):
            nodes = random_tree(r, CONFIG.lanes)
            slots, free = free[: len(nodes)], free[len(nodes) :]
            reused += len(slots)
            new = range(used, used + len(nodes) - len(slots))
            slots, used = [*slots, *new], new.stop
            positions, sees = [root + depth for _, depth, _ in nodes], [a for *_, a in nodes]
            siblings += len({parent for parent, *_ in nodes}) < len(nodes)
            draft = r.random() < 0.3
            drafts += draft
            await run(
                [r.randrange(50) for _ in nodes],
                positions,
                slots,
                used,
                list(range(len(nodes))),
                ancestors=sees,
                draft=draft,
            )
            path = random_path(r, nodes)
            commit(path)
            free = sorted(free + [slot for k, slot in enumerate(slots) if k not in path])
            root += len(path)
    assert reused and siblings and drafts
    assert ring.returned == ring.sent
