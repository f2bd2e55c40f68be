"""The program: jumps land where they should, every channel balances, every send stays inside its region."""

from collections import Counter, deque

import pytest

from hayate.compiler import compile_model, place
from hayate.golden.tile.walk import skips
from hayate.golden.tile.walk import walk as walk_program
from hayate.rtl.contract.config import Config
from hayate.rtl.contract.image import evaluate
from hayate.rtl.contract.isa import BSrc, Cast, Csr, LoopReg, Op, Rows, SendMode, WaitKind, When
from hayate.rtl.contract.layout import local_slots, rounds
from hayate.verif.models.tiny import write_tiny_model

CONFIG = dict(bank_depth=1 << 16, vmem_depth=1024, max_slots=52)


@pytest.fixture(scope="module")
def untied(tmp_path_factory):
    return compile_model(write_tiny_model(tmp_path_factory.mktemp("m") / "untied", tied=False, heads=6, hidden=48))


#: How a pass chooses its tokens: (samples, is filtered, by top-k).
CHOICES = [(False, False, False), (True, False, False), (True, True, False), (True, True, True)]


def walk(image, placement, tile, positions, want, choice=CHOICES[0]):
    """Instructions of the engines in the order a tile executes them, with its loop registers, for one pass."""
    sample, filters, top_k = choice
    csr = placement.tiles[tile].csr
    total = rounds(positions, csr[Csr.GROUP], placement.config.lanes)
    holds = skips(wants=want, samples=sample, top_k=top_k, min_p=filters)
    found = walk_program(
        image.program, holds, heads=csr[Csr.LOCAL_HEADS], rounds=total, ahead=1 << csr[Csr.ROUNDS_LOG2]
    )
    return ((i, list(registers)) for i, registers in found)


def test_jumps(image, untied):
    for program in (image.program, untied.program):
        depth = []
        for at, i in enumerate(program):
            if i.op == Op.LOOP:
                depth.append((at, i.reg))
                assert program[at + i.skip - 1].op == Op.ENDLOOP and program[at + i.skip - 1].reg == i.reg
            elif i.op == Op.ENDLOOP:
                assert depth.pop()[1] == i.reg
            elif (
                i.op == Op.SKIP and i.when == When.NO_LOGITS and i.offset == 2
            ):  # the final gain, of a model whose head is its embedding
                assert program is image.program and program[at + 1].op == Op.RUN and program[at + 2].op == Op.V_WAIT
            elif i.op == Op.SKIP and i.when in (When.NO_LOGITS, When.GREEDY, When.UNFILTERED):
                assert program[at + i.offset].op == Op.SENDCAND
            elif i.op == Op.SKIP and i.when == When.NO_TOP_K:
                assert program[at + i.offset].op == Op.RUN and program[at + i.offset].noise
            elif i.op == Op.SKIP:
                assert i.offset == 2 and program[at + 1].op == Op.RUN
        assert not depth and program[-1].op == Op.END


def test_a_pass_chooses_in_one_way(untied):
    """Of the routines behind the output matrix, those that each way runs, and how often it looks for a digit."""
    placement, names = (
        place(untied, Config(tiles=1, **CONFIG)),
        {first: name for name, (first, _) in untied.routines.items()},
    )
    for choice, ways in zip(
        CHOICES, (["head"], ["sample"], ["temper", "floor", "keep"], ["temper", "floor", *["count"] * 7, "keep"])
    ):
        done = [i for i, _ in walk(untied, placement, 0, 1, True, choice)]
        last = max(at for at, i in enumerate(done) if i.op == Op.GEMV)
        assert [names[i.routine] for i in done[last:] if i.op == Op.RUN] == ways
        assert (
            sum(i.op == Op.SELECT for i in done) == sum(i.op == Op.SENDCOUNT for i in done) == (8 if choice[2] else 0)
        )


@pytest.mark.parametrize(("want", "choice"), [(False, CHOICES[0]), *((True, choice) for choice in CHOICES)])
@pytest.mark.parametrize("tiles, lanes, positions", [(1, 1, 1), (1, 4, 3), (2, 2, 2), (3, 4, 4), (5, 2, 1), (4, 8, 5)])
def test_every_channel_balances(image, untied, tiles, lanes, positions, want, choice):
    """What is sent on a channel of a tile is waited for, on one engine only, and nothing is left when the pass ends."""
    for model in (image, untied):
        placement = place(model, Config(tiles=tiles, lanes=lanes, **CONFIG))
        sent = Counter({(t, chan): n * positions for t in range(tiles) for chan, n in fetches(model).items()})
        taken, engines = Counter(), {}
        for t in range(tiles):
            csr = placement.tiles[t].csr
            reach = {
                Cast.ALL: range(tiles),
                Cast.GROUP: range(csr[Csr.GROUP_LO], csr[Csr.GROUP_HI] + 1),
                Cast.SELF: [t],
            }
            factor = {
                WaitKind.ONE: 1,
                WaitKind.ALL: tiles,
                WaitKind.GROUP: csr[Csr.GROUP_SIZE],
                WaitKind.LANES: positions,
                WaitKind.ATTEND: csr[Csr.ATT_SENDERS] * rounds(positions, csr[Csr.GROUP], lanes),
            }
            for i, at in walk(model, placement, t, positions, want, choice):
                if i.op not in (Op.M_WAIT, Op.V_WAIT, Op.SENDSUM, Op.SENDMAX, Op.SENDCOUNT, Op.RUN):
                    continue
                chan = i.chan + (at[LoopReg.J] % (1 << csr[Csr.ROUNDS_LOG2]) if i.by_round else 0)
                if i.op == Op.SENDSUM and i.vec:  # receivers count the sums themselves
                    continue
                if i.op in (Op.SENDSUM, Op.SENDMAX, Op.SENDCOUNT) or (i.op == Op.RUN and i.send):
                    sent.update((to, chan) for to in reach[i.cast])
                elif i.op in (Op.M_WAIT, Op.V_WAIT):
                    taken[t, chan] += i.count * factor[i.kind]
                    assert engines.setdefault(chan, i.op) == i.op
        assert sent == taken


def fetches(image):
    return Counter(i.chan for i in image.program if i.op == Op.FETCH)


def test_logits_go_to_one_of_three_routines(image):
    samples = next(at for at, i in enumerate(image.program) if i.op == Op.SKIP and i.when == When.SAMPLES)
    head, *others = (image.program[samples + at] for at in (1, 4, 6))
    named = ("desc", "rows", "landing")
    assert all([getattr(head, f) for f in named] == [getattr(other, f) for f in named] for other in others)
    for i in (i for i in image.program if i.op == Op.RUN):
        noise = [m.b_src for m in image.micros[i.routine : i.routine + i.length]].count(BSrc.NOISE)
        assert noise == i.noise
    assert [i.noise for i in (head, *others)] == [0, 1, 0]


@pytest.mark.parametrize("tiles, lanes, positions", [(1, 1, 1), (2, 2, 2), (4, 4, 3)])
def test_landing_rows_are_all_consumed(image, tiles, lanes, positions):
    """What GEMVs leave is taken in that order, each by the one RUN that names its matrix, over as many elements as it
    has rows.
    """
    placement, left = place(image, Config(tiles=tiles, lanes=lanes, **CONFIG)), deque()
    for i, at in walk(image, placement, 0, positions, want=True):
        of = (getattr(i, "desc", None), at[LoopReg.LAYER], at[LoopReg.J]) if i.op in (Op.GEMV, Op.RUN) else None
        if i.op == Op.GEMV:
            left.append((of, (i.dstep, i.rows)))
        elif i.op == Op.RUN and i.landing:
            assert left.popleft() == (of, i.count if i.rows == Rows.IMM else (i.dstep, i.rows))
            reads = [m for m in image.micros[i.routine : i.routine + i.length] if m.a_src == 1]
            assert len(reads) == i.landing and i.vl * i.landing <= 16
    assert not left


@pytest.mark.parametrize("tiles, lanes", [(1, 4), (2, 2), (5, 1), (4, 4)])
def test_addresses_stay_inside_their_regions(image, untied, tiles, lanes):
    for model in (image, untied):
        placement = place(model, Config(tiles=tiles, lanes=lanes, **CONFIG))
        hdq = model.model["head_dim"] // 4
        for t in range(tiles):
            symbols = {"rows": 0, "heads": 0, "slots": 0, "slot_words": placement.slots // 4}
            csr, shares = placement.tiles[t].csr, placement.tiles[t].shares
            values = {
                "PR.stride": placement.slots // 4,
                "SC.stride": max(
                    local_slots(placement.slots, p.csr[Csr.GROUP_SIZE], p.csr[Csr.GROUP_INDEX]) for p in placement.tiles
                ),
            }
            symbols["heads"] = max(p.csr[Csr.LOCAL_HEADS] for p in placement.tiles)
            symbols["slots"] = values["SC.stride"]
            heads, group = csr[Csr.LOCAL_HEADS], csr[Csr.GROUP]

            def size(region, symbols=symbols, csr=csr):
                return evaluate(region.size, symbols) << (csr[Csr.ROUNDS_LOG2] if region.rounds else 0)

            for i in model.program:
                if i.op == Op.GEMV:
                    d = model.descriptors[i.desc]
                    words = placement.slots // 4 if i.slot_words else shares[d.name][1].words
                    j = group - 1 if i.vec else 0
                    step = i.act_j
                    if i.slot_words:
                        j, step = min(j, (1 << csr[Csr.ROUNDS_LOG2]) - 1), values[i.act_j[0]]
                    last = i.act_h * (heads - 1) + step * j + words
                    assert last <= size(model.region(i.act[0])), i
                elif i.op == Op.RUN and i.slide:
                    local = local_slots(placement.slots, csr[Csr.GROUP_SIZE], csr[Csr.GROUP_INDEX])
                    assert values[i.slide[0]] * ((1 << csr[Csr.ROUNDS_LOG2]) - 1) + local <= size(model.region("SC"))
                    assert placement.regions[i.slide[0]] == values[i.slide[0]]
                elif i.op == Op.RUN and i.send:
                    share = shares[model.descriptors[i.desc].name][1]
                    quads = share.rows // (4 * max(1, i.landing))
                    last = (0 if i.send_mode == SendMode.SLOTS else i.send_h) * (heads - 1) + share.quad0 + quads
                    if i.send_mode == SendMode.QUERY:
                        last += (group - 1) * hdq
                    elif i.send_mode == SendMode.SLOTS:
                        assert i.rows == Rows.SLOTS
                        last = placement.slots // 4 + values[i.send_h[0]] * ((1 << csr[Csr.ROUNDS_LOG2]) - 1)
                    elif i.send_mode == SendMode.OUTPUT:
                        last = ((csr[Csr.HEAD0] + heads) * csr[Csr.GROUP] - 1) * hdq + share.quad0 + quads
                    assert last <= size(model.region(i.send_base[0])), i


def test_program_is_the_same_for_every_layer_count(tmp_path):
    deep = compile_model(write_tiny_model(tmp_path / "deep", layers=7))
    assert len(deep.program) < 100
    first, _ = deep.descriptor("layers.0.wdown")
    last, d = deep.descriptor("layers.6.wdown")
    run = next(i for i in deep.program if i.op == Op.RUN and i.desc == first)
    assert last == first + 6 * run.dstep and d.tensor == "layers.6.wdown"
