"""Golden sequencer: walks an image's program for one pass and calls the engines in program order."""

from types import SimpleNamespace

import numpy as np

from hayate.golden.tile.matrix import MatrixEngine
from hayate.golden.tile.state import TileState
from hayate.golden.tile.vector import VectorEngine
from hayate.golden.tile.walk import skips, walk
from hayate.rtl.contract.draft import STEP_MOST, STEP_SHIFT
from hayate.rtl.contract.encoding import FORMATS
from hayate.rtl.contract.isa import ROUNDS_AHEAD, Op


def choose(scores):
    """Index of the largest of float32 [vocab]; ties, -0 and +0 among them, go to the lowest index."""
    return int(np.argmax(scores + np.float32(0)))


def steps(score):
    """A float32 score as a whole number: its magnitude times 2**STEP_SHIFT, rounded down, at most STEP_MOST, with its
    sign.
    """
    return int(np.copysign(min(abs(float(score)) * (1 << STEP_SHIFT), STEP_MOST) // 1, score))


class Tile:
    """One logical tile that owns every row: by the invariance property, what any number of tiles compute together.

    Parameters
    ----------
    image: `Image`. lanes: M, any positive number. slots: KV slots, a multiple of 4.
    log: what is told of every pass as it begins, and of every commit, see `hayate.profile.model.machine.Log`.
    """

    def __init__(self, image, *, lanes, slots, log=None):
        # Every field as a plain attribute: `Instr` looks fields up by name on each access, and this runs thousands of
        # times a token.
        self._program = [
            SimpleNamespace(**{**dict.fromkeys(FORMATS[i.op], 0), **i.args, "op": i.op}) for i in image.program
        ]
        self._log = log
        self.state = TileState(image, lanes, slots)
        self.matrix = MatrixEngine(image, self.state)
        self.vector = VectorEngine(image, self.state)

    def run_pass(
        self,
        tokens,
        positions,
        slots,
        *,
        hwm,
        wanted,
        measure=False,
        counted=None,
        ancestors=None,
        draft=False,
        commit=True,
    ):
        """Execute the program once.

        Parameters
        ----------
        tokens, positions, slots: one entry per position of the pass, at most M. hwm: KV slots in use, this pass
            included.
        wanted: indices of the positions whose logits are wanted.
        measure: matrices with planes read their best copy, whatever the precision table says, and energies add up in
            `state.energies`.
        counted: indices of the positions whose energies count in a GEMV that says `wanted`; default: `wanted`.
        ancestors: for each position a bit mask of those of this pass that it sees, itself included; default: each sees
            those before it.
        draft: matrices with planes are read as INT4, whatever the precision table says; not with `measure`.
        commit: all positions become part of the text. Else `commit` says, before the next pass, which of them do.

        Returns float32 [len(wanted), vocabulary]. What is chosen from them, `choices` says.
        """
        s = self.state
        if not 0 < len(tokens) <= s.lanes:
            raise ValueError(f"a pass has 1 to {s.lanes} positions, not {len(tokens)}")
        s.begin(tokens, positions, slots, hwm, measure, wanted if counted is None else counted, ancestors, draft)
        s.wanted = list(wanted)
        if self._log:
            self._log.run(s)
        self.vector.logits.clear()
        self.vector.scores.clear()
        holds = skips(wants=len(wanted) > 0, samples=s.sample, top_k=s.top_k, min_p=s.min_p)
        for i, registers in walk(self._program, holds, heads=s.kv_heads, rounds=s.rounds, ahead=ROUNDS_AHEAD):
            s.index = registers
            self._engine(i, i.op)
        if s.landing:
            raise AssertionError("rows are left in the landing buffer at the end of the program")
        if commit:
            self.commit(range(s.count))
        if not len(wanted):
            return np.zeros((0, 0), np.float32)
        return np.concatenate(self.vector.logits).T[list(wanted)]

    def choices(self):
        """Token chosen at each wanted position of the last pass: of the largest logit, or where it sampled of the
        largest z + noise that the filters keep.
        """
        return [choose(row) for row in np.concatenate(self.vector.scores).T[self.state.wanted]]

    def second(self):
        """(token, margin) of the first wanted position of the last pass: its second best, and how far it is below the
        best, in steps.

        Where the filters keep but one, token 0.
        """
        scores = np.concatenate(self.vector.scores).T[self.state.wanted[0]]
        best, others = choose(scores), scores.copy()
        others[best] = -np.inf
        token = choose(others)
        return token, steps(scores[best]) - steps(others[token])

    def commit(self, nodes):
        """Make positions of the last pass part of the text, by their indices in it; what the others wrote is never seen
        again.
        """
        s, nodes = self.state, list(nodes)
        if self._log:
            self._log.commit(len(nodes))
        s.commit(s.slots[nodes], s.positions[nodes])

    def _engine(self, i, op):
        s = self.state
        if op == Op.SENDSUM:
            self.vector.send_sum()
        elif op == Op.SENDMAX:
            self.vector.send_max()
        elif op in (Op.GEMV, Op.FETCH, Op.KVW, Op.RUN):
            desc = s.descriptors[i.desc + s.layer * (i.dstep if op != Op.FETCH else 0)]
            {
                Op.GEMV: self.matrix.gemv,
                Op.FETCH: self.matrix.fetch,
                Op.KVW: self.matrix.write_kv,
                Op.RUN: self.vector.run,
            }[op](i, desc)
        # Waits order the engines of real tiles; here everything happens in program order. SENDCAND: the logits are
        # returned whole. SENDCOUNT and SELECT: the filters see every z at once, and need no search.
