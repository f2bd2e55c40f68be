"""The pass_sender: every word of every message, its timing, and what it does with slots."""

from hayate.rtl.conductor.feeder import FED
from hayate.rtl.conductor.nodes import Node
from hayate.rtl.conductor.pass_sender import PassSender
from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import PassWord
from hayate.rtl.contract.topology import LAST_TILE
from hayate.rtl.contract.words import COMMIT, LANE, PASS_ADDRESS, START
from hayate.rtl.ring.flit import Flit
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, settle, start
from hayate.verif.bench.reset import resets

BENCH = Bench(lambda lanes: PassSender(lanes), params=[{"lanes": n} for n in (1, 4, 8)])


def random_nodes(r, count):
    return [
        dict(
            token=r.getrandbits(20),
            position=r.getrandbits(16),
            slot=r.getrandbits(16),
            parent=0,
            depth=0,
            ancestors=r.getrandbits(8),
            placed=r.getrandbits(1),
        )
        for _ in range(count)
    ]


async def message(dut, r, word, nodes, stall, hold=0, late=0.0, comes=None, **fields):
    """late: how often a word of the second model is not there yet. comes: how often a node behind the first comes, or
    it is told that there is none behind the last; None: all are there.
    Have it sent; [(flit.chan, position, flit.data)], slots placed and given by lane, and cycles from `go` to
    `done`.
    """
    there = len(nodes) if comes is None else 1
    dut.go.value, dut.message.value, dut.count.value, dut.more.value = 1, int(word), there, int(comes is not None)
    for name, value in fields.items():
        getattr(dut, name).value = value
    sent, placed, given, cycles = [], {}, [], 0
    while True:
        dut.tx__ready.value, dut.slot.value = int(r.random() >= stall), r.getrandbits(16)
        dut.hold.value = int(cycles < hold)
        await settle()
        lane = int(dut.lane.value)
        node = nodes[min(lane, len(nodes) - 1)]
        dut.node.value = Node.const(node).as_bits()
        offered = {
            "token": node["token"],
            "position": node["position"],
            "lane": lane,
            "last": int(lane == len(nodes) - 1),
        }
        dut.word__payload.value, dut.word__valid.value = FED.const(offered).as_bits(), int(r.random() >= late)
        await settle()
        cycles += 1
        flit = Flit.from_bits(int(dut.tx__payload.value))
        taken = int(dut.tx__valid.value) and int(dut.tx__ready.value)
        if taken:
            assert (flit.kind, flit.lo, flit.hi, flit.near) == (FlitKind.PASS, 0, LAST_TILE, 0)
            sent.append((flit.chan, lane, flit.data))
            alone = fields["drafting"] and not fields.get("second") and word == PassWord.LANE
            assert flit.addr == PASS_ADDRESS.pack(lane=0 if alone else lane)
        if int(dut.place.value):
            assert taken
            placed[lane] = int(dut.slot.value)
        if int(dut.give.value):
            given.append(lane)
        fed = fields.get("second") and taken and flit.chan == PassWord.LANE
        assert not fields.get("second") or int(dut.word__ready.value) == fed, "a word goes with its flit"
        assert int(dut.started.value) == (taken and flit.chan == PassWord.START)
        assert not (taken and flit.chan == PassWord.START and int(dut.more.value)), "a pass begins when it is whole"
        assert not (taken and flit.chan == PassWord.LANE) or fields.get("second") or lane < there
        done = int(dut.done.value)
        await clock(dut)
        if comes is not None and int(dut.more.value) and r.random() < comes:
            # the last node, and word that it is the last, come together or one after the other
            whole = there == len(nodes)
            there = min(there + 1, len(nodes))
            dut.count.value, dut.more.value = there, int(not (whole or there == len(nodes) and r.getrandbits(1)))
        if done:
            dut.go.value = 0
            return sent, placed, given, cycles


@BENCH.test()
@resets(within=60)
async def passes_of_the_second_model(dut):
    """LANEs say the positions that are offered, as slots too; logits are wanted of the last, if at all; nodes and slots
    stay.
    """
    await start(dut)
    r, lanes = rng("second"), params()["lanes"]
    for _ in range(40):
        nodes, chosen, sample, hwm = (
            random_nodes(r, r.randint(1, lanes)),
            r.getrandbits(1),
            r.getrandbits(1),
            r.getrandbits(16),
        )
        late, stall = r.choice([0, 0.5]), r.choice([0, 0.5])
        fields = dict(
            second=1, drafting=1, prompt=0, chosen=chosen, all_logits=0, measure=0, decisive=0, sample=sample, hwm=hwm
        )
        sent, placed, given, cycles = await message(dut, r, PassWord.LANE, nodes, stall, late=late, **fields)
        *words, (chan, _, data) = sent
        assert not placed and not given
        assert words == [
            (
                PassWord.LANE,
                n,
                LANE.pack(
                    token=node["token"], position=node["position"], slot=node["position"], ancestors=1 << n, second=1
                ),
            )
            for n, node in enumerate(nodes)
        ]
        last = len(nodes) - 1
        assert (chan, data) == (
            PassWord.START,
            START.pack(last=last, sample=sample, second=1, want=chosen << last, hwm=hwm),
        )
        assert stall or late or cycles == len(nodes) + 1
        await clock(dut, r.randrange(2))


@BENCH.test()
@resets(within=120)
async def words_of_every_message(dut):
    await start(dut)
    r, lanes = rng("messages"), params()["lanes"]
    for round_ in range(60):
        nodes, stall = random_nodes(r, r.randint(1, lanes)), r.choice([0, 0.5])
        for node in nodes[:-1]:
            node["placed"] |= round_ % 2
        last = len(nodes) - 1
        kind = r.choice(["one", "lanes", "commit"])
        hold = r.choice([0, 20]) if kind == "commit" else 0
        prompt, chosen, all_logits, measure, decisive, drafting, sample = (r.getrandbits(1) for _ in range(7))
        measure &= prompt
        decisive &= measure
        chosen, drafting = chosen | 1 - prompt, drafting & 1 - prompt
        drafting &= round_ % 2  # nodes in front of the newest have been evaluated
        fields = dict(
            prompt=prompt,
            chosen=chosen,
            all_logits=all_logits,
            measure=measure,
            decisive=decisive,
            drafting=drafting,
            sample=sample,
            hwm=r.getrandbits(16),
            seed=r.getrandbits(64),
            kept=r.getrandbits(lanes),
        )
        word = {"one": r.choice([PassWord.BEGIN, PassWord.FINISH]), "lanes": PassWord.LANE, "commit": PassWord.COMMIT}[
            kind
        ]
        comes = r.choice([0.2, 0.5, 1, None]) if kind == "lanes" and not drafting else None
        sent, placed, given, cycles = await message(dut, r, word, nodes, stall, hold, comes=comes, **fields)
        if kind == "one":
            assert len(sent) == 1 and sent[0][0] == word and not placed and not given
            assert word == PassWord.FINISH or sent[0][2] == fields["seed"]
            flits = 1
        elif kind == "lanes":
            *words, (chan, _, data) = sent
            here = [last] if drafting else range(len(nodes))
            links = [(PassWord.COMMIT, last - 1)] if drafting and last else []
            assert [w[:2] for w in words] == [*links, *((PassWord.LANE, n) for n in here)] and chan == PassWord.START
            assert sorted(placed) == list(here) and not given
            if links:
                before = nodes[last - 1]
                found = COMMIT.unpack(words.pop(0)[2])
                assert found == {"position": before["position"], "slot": before["slot"]}
            for n, (_, _, got) in zip(here, words):
                node = nodes[n]
                slot, ancestors = node["slot"] if node["placed"] else placed[n], 1 if drafting else node["ancestors"]
                assert got == LANE.pack(token=node["token"], position=node["position"], slot=slot, ancestors=ancestors)
            positions = len(here)
            every, final = (1 << positions) - 1, 1 << positions - 1
            want = (final if chosen or decisive else 0) if prompt and not all_logits else every
            counted = final if decisive else 0
            flags = {"measure": measure, "draft": drafting, "sample": sample}
            assert data == START.pack(last=positions - 1, want=want, hwm=fields["hwm"], counted=counted, **flags)
            flits = len(links) + positions + 1
        else:
            kept = [n for n in range(len(nodes)) if fields["kept"] >> n & 1]
            assert [w[:2] for w in sent] == [(PassWord.COMMIT, n) for n in kept]
            assert given == [n for n in range(len(nodes)) if n not in kept] and not placed
            flits = len(nodes)
            if hold:
                assert cycles > hold
                continue
        assert cycles >= flits and (stall or comes not in (1, None) or cycles <= flits + (comes == 1)), "a word a cycle"
        await clock(dut, r.randrange(2))
        await settle()
        assert dut.go.value or not int(dut.tx__valid.value)
