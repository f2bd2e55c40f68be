"""The tile's registers against a dictionary, under random flits of every kind and space."""

from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import CSR_BITS, PRECISION_BIT, SECOND_BIT, Csr, PassWord, Space
from hayate.rtl.contract.words import LANE, PASS_ADDRESS, START
from hayate.rtl.ring.flit import Flit
from hayate.rtl.tile.queues import LANE_FIELDS, GroupState, LaneState, PassState, TileState
from hayate.rtl.tile.sequencer.registers import COMMON, CSR_FIELDS, OF_SAMPLING, TileRegisters
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, settle, start, strobe
from hayate.verif.bench.reset import resets

BENCH = Bench(
    lambda lanes, sampling=True: TileRegisters(lanes, sampling=sampling),
    params=[{"lanes": 8}, {"lanes": 4}, {"lanes": 1}, {"lanes": 2, "sampling": False}],
)


def random_flit(r, lanes):
    """(kind, chan, addr, data), mostly one that means something here."""
    data = r.getrandbits(64)
    kind, chan = r.choice(
        [
            (FlitKind.LOAD, Space.CSR),
            (FlitKind.PASS, PassWord.LANE),
            (FlitKind.PASS, PassWord.START),
            (FlitKind.PASS, PassWord.COMMIT),
            (FlitKind.PASS, PassWord.BEGIN),
            (r.choice(list(FlitKind)), r.randrange(8)),
        ]
    )
    if r.random() < 0.5:  # no more positions than lanes
        data = data & ~7 | r.randrange(lanes)
    return (
        kind,
        chan,
        r.choice([0, 0, 1 << PRECISION_BIT]) | r.randrange(2) << SECOND_BIT | r.choice(list(Csr)),
        data,
    )


def apply(state, kind, chan, addr, data):
    lane = PASS_ADDRESS.unpack(addr)["lane"]
    models, pass_, lanes, seed = state
    sampling, drafts = params().get("sampling", True), params()["lanes"] > 1
    if (kind, chan) == (FlitKind.LOAD, Space.CSR) and not addr >> PRECISION_BIT & 1:
        csr, second = Csr(addr & (1 << SECOND_BIT) - 1), addr >> SECOND_BIT
        name = CSR_FIELDS[csr]
        if not second or csr not in COMMON:
            models[second][name] = data & (1 << TileState[name].width) - 1 if sampling or csr not in OF_SAMPLING else 0
    elif (kind, chan) == (FlitKind.PASS, PassWord.LANE) and lane < len(lanes):
        found = LANE.unpack(data)
        lanes[lane] = {name: found[name] for name in LANE_FIELDS}
    elif (kind, chan) == (FlitKind.PASS, PassWord.START):
        found = START.unpack(data)
        pass_.update(
            positions=found["last"] + 1,
            **{name: found[name] for name in ("measure", "want", "hwm", "counted")},
            draft=found["draft"] & drafts,
            sample=found["sample"] & sampling,
            second=found["second"] & drafts,
        )
    elif (kind, chan) == (FlitKind.PASS, PassWord.BEGIN):
        seed[0] = data if sampling else 0


def check(dut, state):
    models, pass_, lanes, seed = state
    tile = {
        **models[pass_.get("second", 0)],
        **{CSR_FIELDS[c]: models[0][CSR_FIELDS[c]] for c in COMMON if CSR_FIELDS[c] in models[0]},
    }
    for n, model in enumerate(models):
        group = {"size": model.get("group_size", 0), "index": model.get("group_index", 0)}
        assert int(getattr(dut, f"groups__{n}").value) == GroupState.const(group).as_bits()
    assert int(dut.seed.value) == seed[0]
    assert int(dut.current__tile.value) == TileState.const(tile).as_bits()
    assert int(dut.current__state.value) == PassState.const(pass_).as_bits()
    for n, lane in enumerate(lanes):
        assert int(getattr(dut, f"current__lanes__{n}").value) == LaneState.const(lane).as_bits()


def test_the_contract_knows_the_widths():
    assert {CSR_FIELDS[c]: bits for c, bits in CSR_BITS.items()} == {
        name: TileState[name].width for name in CSR_FIELDS.values()
    }


@BENCH.test()
@resets(within=60)
async def random_flits(dut):
    await start(dut)
    r, lanes = rng("flits"), params()["lanes"]
    state = ({}, {}), {}, [{} for _ in range(lanes)], [0]
    for address in (
        csr | second << SECOND_BIT for csr in Csr for second in range(2)
    ):  # a reset before this has left them alone
        await strobe(
            dut, "rx_valid", rx=Flit.const({"kind": FlitKind.LOAD, "chan": Space.CSR, "addr": address}).as_bits()
        )
    check(dut, state)
    kept = 0
    for _ in range(3000):
        if r.random() < 0.01:
            dut.rx_valid.value, dut.rst.value = 0, 1
            await clock(dut)
            dut.rst.value = 0
            state = state[0], {}, [{} for _ in range(lanes)], [0]
            kept += any(state[0][1].values())
        kind, chan, addr, data = drawn = random_flit(r, lanes)
        valid = r.random() < 0.8
        dut.rx_valid.value = int(valid)
        dut.rx.value = Flit.const({"kind": kind, "chan": chan, "addr": addr, "data": data}).as_bits()
        await settle()
        assert int(dut.start.value) == int(valid and (kind, chan) == (FlitKind.PASS, PassWord.START))
        if valid:
            apply(state, *drawn)
        await clock(dut)
        await settle()
        check(dut, state)
    assert kept > 10
    assert set(state[0][0]) == set(CSR_FIELDS.values()) == set(state[0][1]) | {CSR_FIELDS[c] for c in COMMON}
