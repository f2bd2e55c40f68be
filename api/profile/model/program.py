"""What a tile holds, decoded: program, micro-operations, descriptors and registers of a `TilePlacement`."""

from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace

from hayate.golden.tile.walk import skips, steps
from hayate.rtl.contract import layout
from hayate.rtl.contract.encoding import DESCRIPTOR, MICRO, OPERATIONS, PLANES
from hayate.rtl.contract.isa import (
    CSR_BITS,
    OP_BITS,
    ROPE_FINE_BITS,
    SECOND_BIT,
    Csr,
    FetchIndex,
    LoopReg,
    Op,
    Rows,
    WaitKind,
)
from hayate.rtl.contract.precision import GROUPS, Format, stream_words
from hayate.rtl.contract.topology import FIRST_STOP, stop_of


@dataclass(frozen=True)
class Pass:
    """A pass that the golden model has run.

    tokens, positions, slots: of each position. hwm: KV slots in use. wanted: how many positions' logits are. measure,
    draft: as of `Tile.run_pass`. second: of the model that drafts. sample, top_k, min_p: as of `TileState`. formats:
    matrix -> `Format`.
    """

    tokens: tuple
    positions: tuple
    slots: tuple
    hwm: int
    wanted: int
    measure: bool
    draft: bool
    second: bool
    sample: bool
    top_k: int
    min_p: bool
    formats: dict


class Program:
    """Of a tile of a `Placement`, for any pass: `entries`.

    Members
    -------
    micros: micro-operations by address, fields of each. tile, stop, group: its logical number and its stop; stops of
        the tiles that share its KV heads, and of all.
    """

    def __init__(self, placement, tile: int):
        placed = placement.tiles[tile]
        self._placement, self._placed = placement, placed
        self.tile, self.stop = tile, placed.stop
        self.lanes, self.banks = placement.config.lanes, placement.config.banks
        self.micros = dict(enumerate(MICRO.unpack(word) for word in placed.micros))
        self._program = [_instruction(word) for word in placed.program]
        self._descriptors = [DESCRIPTOR.unpack(word) for word in placed.descriptors]
        self._planes = {index: name for name, (index, _, _) in placed.planes.items()}
        self._groups = {index: PLANES.unpack(placed.descriptors[index]) for index in self._planes}

    @cached_property
    def everyone(self) -> tuple:
        """Stops of all tiles."""
        return tuple(range(FIRST_STOP, stop_of(self._placement.config.tiles)))

    def register(self, csr: Csr, second=False) -> int:
        """Value of a register, of the second model where it has its own."""
        return self._placed.csr.get(csr | second << SECOND_BIT, self._placed.csr.get(csr, 0))

    def group(self, second) -> tuple:
        """(stops of the tiles that share this tile's KV heads, stop where their flits end)."""
        lo, hi = self.register(Csr.GROUP_LO, second), self.register(Csr.GROUP_HI, second)
        return tuple(range(stop_of(lo), stop_of(hi) + 1)), self.register(Csr.GROUP_END, second)

    def entries(self, now: Pass):
        """What the sequencer does in a pass: (cycles, None) for what it executes itself, (cycles, entry) for an
        instruction of an engine, resolved, with the fields of the instruction and `at`, `layer`, `round`.
        """
        second = now.second
        csr = lambda register: self.register(register, second)  # noqa: E731
        count = len(now.positions)
        group, size, index = csr(Csr.GROUP), csr(Csr.GROUP_SIZE), csr(Csr.GROUP_INDEX)
        rounds, ahead = layout.rounds(count, group, self.lanes), 1 << csr(Csr.ROUNDS_LOG2)
        here = layout.local_slots(now.hwm, size, index)
        factors = {
            WaitKind.ONE: 1,
            WaitKind.ALL: len(self.everyone),
            WaitKind.GROUP: size,
            WaitKind.LANES: count,
            WaitKind.ATTEND: csr(Csr.ATT_SENDERS) * rounds,
        }
        heads_a_round = self.lanes // layout.apart(count, self.lanes)
        holds = skips(wants=now.wanted > 0, samples=now.sample, top_k=now.top_k, min_p=now.min_p)
        walk = steps(self._program, holds, heads=csr(Csr.LOCAL_HEADS), rounds=rounds, ahead=ahead, first=csr(Csr.ENTRY))
        for at, i, registers in walk:
            if OPERATIONS[i.op].engine == "sequencer":
                yield 3, None
                continue
            j, cycles = registers[LoopReg.J], 8
            entry = SimpleNamespace(**vars(i), at=at, layer=registers[LoopReg.LAYER], j=j, served=0, queued=0)
            entry.of_chunk = j % ahead
            if getattr(i, "by_round", 0):
                entry.chan += entry.of_chunk
            if i.op in (Op.M_WAIT, Op.V_WAIT):
                entry.count = i.count * factors[i.kind]
            if i.op in (Op.GEMV, Op.FETCH, Op.KVW, Op.RUN):
                number = i.desc + (registers[LoopReg.LAYER] * i.dstep if i.op != Op.FETCH else 0)
                entry.d = d = self._descriptors[number]
            if i.op == Op.GEMV:
                entry.n = here if i.rows == Rows.SLOTS else d["rows"]
                entry.streams = [-(-now.hwm // 4) if i.slot_words else d["words"]]
                if d["alt"] and not i.kv:
                    cycles, entry.streams = 10, self._streams(d, now)
            elif i.op == Op.FETCH:
                entry.rows = self._rows_here(d, i.index, now)
            elif i.op == Op.KVW:
                entry.here = [layout.slot_home(slot, size)[0] == index for slot in now.slots]
            elif i.op == Op.RUN:
                entry.n = {Rows.SLOTS: here, Rows.IMM: i.count}.get(i.rows, d["rows"] >> (i.landing == 2))
                entry.slide = entry.of_chunk * i.slide
                entry.heads = min(heads_a_round, group - j * heads_a_round)
            yield cycles, entry

    def _streams(self, d, now):
        """Words of a row of each stream that a GEMV of a matrix with planes reads."""
        planes, name = self._groups[d["alt"]], self._planes[d["alt"]]
        words = lambda fmt: stream_words(4 * d["words"], GROUPS[planes["group"]], fmt)  # noqa: E731
        if now.measure:
            return [words(fmt) for fmt in ((Format.FP16, Format.INT8) if planes["fp16"] else (Format.INT8,))]
        return [words(Format.INT4 if now.draft else now.formats[name])]

    @staticmethod
    def _rows_here(d, index, now):
        """Of each position the row that it fetches, None where that is not here."""
        fine = (1 << ROPE_FINE_BITS) - 1
        named = [
            {
                FetchIndex.TOKEN: token,
                FetchIndex.POS_HI: position >> ROPE_FINE_BITS,
                FetchIndex.POS_LO: layout.fine_row(position & fine, ROPE_FINE_BITS),
            }[index]
            for token, position in zip(now.tokens, now.positions, strict=True)
        ]
        return [row if 0 <= row - d["row0"] < d["rows"] else None for row in named]


def _instruction(word):
    """Fields of an encoded instruction, as attributes."""
    op = Op(word & (1 << OP_BITS) - 1)
    return SimpleNamespace(**{**OPERATIONS[op].word.unpack(word), "op": op})


assert Csr.GROUP_END in CSR_BITS
