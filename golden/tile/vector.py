"""Golden vector engine: RUN, SENDSUM, SENDMAX and SENDCAND on whole vectors.

A routine's iterations do not depend on one another, so each micro-operation is applied to all elements of a RUN at
once.
"""

import numpy as np

from hayate.golden.numerics import fp32, gumbel
from hayate.golden.numerics.alu import compute
from hayate.golden.numerics.exact import exact_sum, exact_sumsq
from hayate.golden.tile.filters import survivors
from hayate.rtl.contract.alu_ops import OPERANDS, AluOp
from hayate.rtl.contract.isa import ROUNDS_AHEAD, ASrc, BSrc, Mode, Rows, SendMode

LOWEST = np.finfo(np.float32).min


class VectorEngine:
    """Executes the vector instructions of a pass against a `TileState`; all values are float32 [elements, lanes]."""

    def __init__(self, image, state):
        self._image, self._state = image, state
        lanes = state.lanes
        self._temps = {}
        self._running_max = np.full(lanes, LOWEST)
        self._maxreg = np.full((ROUNDS_AHEAD, lanes), LOWEST)
        self._floor = np.full(lanes, LOWEST)
        self._partial, self._collected = [], {}
        self.logits, self.scores = [], []  # what d_log and d_arg were given, [elements, lanes] each time

    def run(self, i, desc):
        """Apply routine `i.routine` to the RUN's elements. `desc` gives rows, s_in and s_out."""
        s = self._state
        rows = desc.block_rows // 2 if i.landing == 2 else desc.block_rows
        n = {Rows.DESC: rows, Rows.SLOTS: -(-s.hwm // 4) * 4, Rows.IMM: i.count}[i.rows]
        lanes = s.lanes_in_play(i.vec)
        landing = self._take_landing(n * i.landing, lanes) if i.landing else None
        hidden = s.hidden(n, lanes, i.vec) if i.rows == Rows.SLOTS else None
        read_max = False
        for micro in self._image.micros[i.routine : i.routine + i.length]:
            if micro.op == AluOp.NOP:
                continue  # in a routine it only takes time
            a = self._a(micro, i, desc, n, lanes, landing)
            b = self._b(micro, i, n, lanes)
            read_max |= micro.b_src == BSrc.MAXREG
            y, saturated = self._alu(micro, -a if micro.neg_a else a, -b if micro.neg_b else b)
            active = s.active(lanes, i.vec)
            if micro.masked and hidden is not None:
                if micro.d_max:
                    peak = np.where(hidden, LOWEST, y).max(axis=0, initial=LOWEST)
                    self._running_max[:lanes] = fp32.maximum(self._running_max[:lanes], peak)[0]
                y = np.where(hidden, y.dtype.type(0), y)
                saturated = saturated & ~hidden
            s.saturated.note(desc.name, micro.op, int(np.count_nonzero(saturated & active)), i.rows == Rows.IMM)
            if micro.d_floor:
                self._floor[:lanes] = y[0]
            if micro.filtered and micro.d_arg:
                y = np.where(survivors(a, self._floor[:lanes] if s.min_p else None, s.top_k), y, np.float32(-np.inf))
            self._write(micro, i, desc, y, n, lanes, active)
        if read_max:
            self._maxreg[s.of_chunk] = LOWEST

    def _take_landing(self, rows, lanes):
        landing = self._state.landing.popleft() if rows else np.zeros((0, lanes), np.float32)
        if landing.shape != (rows, lanes):
            raise AssertionError(
                f"a RUN expects {rows} rows of {lanes} lanes, the landing buffer holds {landing.shape}"
            )
        return landing

    def _a(self, micro, i, desc, n, lanes, landing):
        s = self._state
        if micro.a_src == ASrc.VMEM:
            return self._vmem(micro.a, micro.a_mode, i, n, lanes)
        if micro.a_src == ASrc.LANDING:
            e = np.arange(n)
            return landing[micro.a + (8 * (e // 4) + e % 4 if micro.a_mode == Mode.TEMP else e)]
        if micro.a_src == ASrc.STAGE:
            region, at = s.ref(micro.a)
            words = np.ascontiguousarray(s.stage[region][at:, :lanes].T)
            if micro.a_mode == Mode.STREAM:
                return words.view(np.float16)[:, :n].T.astype(np.float32)
            return words.view(np.float32)[:, :n].T
        total = self._sum(lanes)
        return np.ldexp(total, 2 * desc.s_in)[None] if i.sumscale else total[None]

    def _b(self, micro, i, n, lanes):
        s = self._state
        if micro.b_src == BSrc.MAXREG:
            return self._maxreg[None, s.of_chunk, :lanes]
        if micro.b_src == BSrc.NOISE:
            return self._noise(n, lanes)
        return self._vmem(micro.b, micro.b_mode, i, n, lanes) if OPERANDS[micro.op] == 2 else np.float32(0)

    def _noise(self, n, lanes):
        """Of each row, which is a token here, at the position behind each lane's; 0 in lanes whose logits are not
        wanted.
        """
        s, noise = self._state, np.zeros((n, lanes), np.float32)
        noise[:, s.wanted] = gumbel.noise(s.seed, s.positions[s.wanted] + 1, np.arange(n)[:, None])
        return noise

    def _stream(self, ref, i):
        """(region, element) where a STREAM operand of RUN `i` begins."""
        region, at = self._state.ref(ref)
        return region, at + self._state.of_chunk * self._state.stride(i.slide)

    def _vmem(self, ref, mode, i, n, lanes):
        if mode == Mode.STREAM:
            region, at = self._stream(ref, i)
            return self._state.vmem[region][at : at + n, :lanes]
        region, at = self._state.ref(ref)
        if mode == Mode.SCALAR:
            return self._state.vmem[region][at : at + 1, :lanes]
        values = self._temps[region, at][:n]
        return values[np.arange(n) ^ 1] if mode == Mode.SWAP else values

    @staticmethod
    def _alu(micro, a, b):
        return compute(micro.op, *(np.broadcast_arrays(a, b) if OPERANDS[micro.op] == 2 else (a, b)))

    def _write(self, micro, i, desc, y, n, lanes, active):
        """Results to their destinations. What is sent or summed is rounded to FP16, divided by 2**s_out; `active`: bool
        [lanes].
        """
        s = self._state
        y = np.broadcast_to(y, (n, lanes)) if len(y) != n else y
        if micro.d_vm:
            region, at = s.ref(micro.d) if micro.d_mode else self._stream(micro.d, i)
            if micro.d_mode:
                self._temps[region, at] = y
                s.vmem[region][at : at + 1, :lanes] = y[:1]  # what a later SCALAR read sees: such RUNs have one element
            else:
                s.vmem[region][at : at + n, :lanes] = y
        if micro.d_max and not micro.masked:
            self._running_max[:lanes] = fp32.maximum(self._running_max[:lanes], y.max(axis=0, initial=LOWEST))[0]
        if micro.d_log:
            self.logits.append(y)
        if micro.d_arg:
            self.scores.append(y)
        if not (micro.d_send or micro.d_square or micro.d_sum):
            return
        half, saturated = fp32.to_fp16(y, desc.s_out)
        s.saturated.note(desc.name, None, int(np.count_nonzero(saturated & active)), i.rows == Rows.IMM)
        if micro.d_square:
            self._partial.append((exact_sumsq, half))
        if micro.d_sum:
            self._partial.append((exact_sum, half))
        if micro.d_send:
            self._send(i, half.reshape(n // 4, 4, lanes).transpose(0, 2, 1), lanes)

    def _send(self, i, quads, lanes):
        """float16 [quads, lanes, 4] into the activation buffer, by the RUN's SendMode."""
        s = self._state
        count = len(quads)
        region, base = s.ref(i.send_base)
        s.versions[region] += 1
        act = s.act[region]
        if i.send_mode == SendMode.LINEAR:
            at = base + s.head * i.send_h
            act[at : at + count, :lanes] = quads
        elif i.send_mode == SendMode.QUERY:
            for p in range(s.count):
                v = s.j * s.apart + p
                at = base + s.head * i.send_h + v // s.lanes * s.hdq
                act[at : at + count, v % s.lanes] = quads[:, p]
        elif i.send_mode == SendMode.SLOTS:
            base += s.of_chunk * s.stride(i.send_h)
            act[base : base + count, :lanes] = quads
        else:
            for lane in np.flatnonzero(s.active(lanes, True)):
                head, position = s.head_and_position(int(lane))
                at = base + (s.head * s.group + head) * s.hdq
                act[at : at + count, position] = quads[:, lane]

    def send_sum(self):
        """Partial sums of round J to everybody: with one logical tile, they are the sums."""
        self._collected[self._state.of_chunk], self._partial = self._partial, []

    def send_max(self):
        self._maxreg[self._state.of_chunk] = self._running_max
        self._running_max = np.full(self._state.lanes, LOWEST)

    def _sum(self, lanes):
        collected = self._collected.pop(self._state.of_chunk, [])
        kinds = {kind for kind, _ in collected}
        if len(kinds) != 1:
            raise AssertionError(f"SUM is read with {len(kinds)} kinds of terms collected")
        values = np.concatenate([y for _, y in collected]) if len(collected) > 1 else collected[0][1]
        return kinds.pop()(np.ascontiguousarray(values.T))[:lanes]
