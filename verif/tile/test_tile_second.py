"""Passes of two models on one tile, each with a program, registers and KV cache of its own, against two golden
tiles.
"""

import numpy as np

from hayate.rtl.contract.isa import PassWord, Space
from hayate.verif.bench import rng
from hayate.verif.tile.test_tile import BENCH, CONFIG, begin, candidates, trace


@BENCH.test(sims=("verilator",))
async def two_models_equal_golden(dut):
    """Passes in turn, greedy or sampled: a text that grows, and beside it one that the second model is fed, whose end
    is taken back and fed otherwise now and then. Neither sees anything of the other.
    """
    from hayate.compiler import place
    from hayate.golden.tile.sequencer import Tile as Golden
    from hayate.verif.system.checks import drafted

    ring, r = await begin(dut, stall=0.1), rng("passes")
    rows = trace(dut)
    image = drafted(copies="fp16")
    placement = place(image, CONFIG)
    for record in placement.loads(kv=False):
        ring.record(record)
    await ring.source.drained()
    first = Golden(image, lanes=CONFIG.lanes, slots=placement.slots)
    second = Golden(image.draft, lanes=CONFIG.lanes, slots=-(-placement.context // 4) * 4)
    scale, seed = np.float32(1 / 0.7), r.getrandbits(64)
    ring.load(Space.VMEM, placement.regions["INVT"], int(scale.view(np.uint32)))
    ring.control(PassWord.BEGIN, data=seed)

    async def compare(golden, wanted, logits):
        flits = await ring.end_of_pass()
        found = candidates(flits)
        scores = np.concatenate(golden.vector.scores).T[wanted] if wanted else []
        assert found == {
            w: (int(row.view(np.uint32)[at]), at)
            for w, row, at in zip(wanted, scores, golden.choices() if wanted else [])
        }
        assert [[values[w] for _, _, values in rows] for w in wanted] == logits.view(np.uint32).tolist()
        rows.clear()

    length = fed = taken_back = 0
    for _ in range(8):
        sample = r.random() < 0.5
        for golden in (first, second):
            golden.state.draw(scale if sample else None, seed)
        count = r.randint(1, CONFIG.lanes)
        tokens, positions = [r.randrange(50) for _ in range(count)], range(length, length + count)
        wanted = [count - 1] if r.random() < 0.7 else []
        slots = list(positions)
        r.shuffle(slots)
        ring.start_pass(tokens, positions, slots, length + count, wanted, sample=int(sample))
        await compare(first, wanted, first.run_pass(tokens, positions, slots, hwm=length + count, wanted=wanted))
        length += count
        for _ in range(r.randint(0, 2)):
            back = r.randint(0, min(fed, 3))
            fed, taken_back = fed - back, taken_back + back
            count = r.randint(1, CONFIG.lanes)
            tokens, positions = [r.randrange(50) for _ in range(count)], range(fed, fed + count)
            wanted = [count - 1] if r.random() < 0.7 else []
            ring.start_second(tokens, positions, wanted, sample=int(sample))
            await compare(second, wanted, second.run_pass(tokens, positions, positions, hwm=fed + count, wanted=wanted))
            fed += count
    assert taken_back and fed
    assert ring.returned == ring.sent
