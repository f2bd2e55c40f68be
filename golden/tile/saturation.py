"""Which results did not fit their format and were clipped: counts by the descriptor that their RUN names and by
operation.
"""

from collections import Counter
from dataclasses import dataclass, field

from hayate.rtl.contract.alu_ops import AluOp

TO_FP16 = (
    "fp16"  # the conversion of a result that is sent or summed; else the name of an `AluOp`, whose results are FP32
)


@dataclass
class Saturations:
    """Saturated results of a generation, rejected positions among them; those of hidden slots and inactive lanes do not
    count.

    counts: (descriptor, operation) -> how many, each result once, whatever the number of tiles; operation: TO_FP16 or
    "mul", "exp", ... shared: how many of them are results that each tile computes for itself, those of a RUN of
    `Rows.IMM`; see `on`.
    """

    counts: Counter = field(default_factory=Counter)
    shared: int = 0

    def note(self, descriptor, op, count, shared):
        """`count` results of an `AluOp`, or of the conversion (None), saturated."""
        if count:
            self.counts[descriptor, TO_FP16 if op is None else AluOp(op).name.lower()] += count
            self.shared += count if shared else 0

    @property
    def total(self):
        return self.counts.total()

    def on(self, tiles):
        """What the counters SATURATED of so many tiles add up to. The shared results that can saturate are those of
        every tile:
        1/rms; 1/Z, which the tiles of a group share, cannot, as Z is at least the numerator of the maximum, 2**15.
        """
        return self.total + (tiles - 1) * self.shared

    def merged(self, other, prefix):
        """These and `other`'s, whose descriptors get a prefix."""
        named = {(prefix + name, op): count for (name, op), count in other.counts.items()}
        return Saturations(self.counts + Counter(named), self.shared + other.shared)


def same_count(result, reference):
    """Whether two generations saturated equally often; each has `saturated`: a chip's a number, beside `counters` per
    tile, golden's `Saturations`.
    """
    tiles = max(len(getattr(r, "counters", ())) for r in (result, reference))
    if not tiles:
        return result.saturated == reference.saturated
    one, other = (r.saturated if isinstance(r.saturated, int) else r.saturated.on(tiles) for r in (result, reference))
    return one == other
