"""The filters of one tile, for benches: any counts of the others, in any case the search that
`hayate.rtl.contract.filters` describes.
"""

import numpy as np

from hayate.rtl.contract.filters import (
    COUNT_BITS,
    COUNTS_PER_WORD,
    DIGIT_BITS,
    DIGITS,
    INDEX_SHIFT,
    TOP_K_MAX,
    WORD_COUNT_BITS,
)

COUNTS = 1 << DIGIT_BITS
MASK = (1 << COUNT_BITS) - 1


def keys(z):
    """int64 that order as float32 z, -0 as +0."""
    word = (np.asarray(z, np.float32) + np.float32(0)).view(np.uint32).astype(np.int64)
    return np.where(word >> 31, (1 << 32) - 1 - word, word | 1 << 31)


def words(counts):
    """The words of a lane's COUNTS counts."""
    return [
        sum(int(c) << WORD_COUNT_BITS * j for j, c in enumerate(part))
        for part in np.reshape(counts, (-1, COUNTS_PER_WORD))
    ]


class FilterGolden:
    """State of a tile's filters. index: of the tile. Arrays have the lanes first."""

    def __init__(self, lanes, *, index=0, top_k=0, min_p=0):
        self.lanes, self.index, self.top_k, self.min_p = lanes, index, top_k, min_p
        self.floor = np.zeros(lanes, np.int64)
        self.start()

    def start(self):
        self.found, self.threshold = 0, np.zeros(self.lanes, np.int64)
        self.left, self.ties = [self.top_k] * self.lanes, [0] * self.lanes
        self.counts = np.zeros((self.lanes, COUNTS), int)
        self.clear()

    def clear(self):
        """Nothing has been collected."""
        self.all, self.lower = np.zeros((self.lanes, COUNTS), int), np.zeros((self.lanes, COUNTS), int)

    def set_floor(self, values):
        self.floor = keys(values)

    def judge(self, z):
        """bool [lanes]: what is kept of one z for each lane, which is counted too."""
        own, kept = keys(z), np.zeros(self.lanes, bool)
        known = 32 - DIGIT_BITS * self.found
        for k in range(self.lanes):
            match = own[k] >> known == self.threshold[k] >> known
            if match:
                digit = int(own[k] >> max(known - DIGIT_BITS, 0) & COUNTS - 1)
                self.counts[k, : digit + 1] = np.minimum(self.counts[k, : digit + 1] + 1, TOP_K_MAX)
            kept[k] = not self.top_k or own[k] > self.threshold[k] or match and self.ties[k] > 0
            self.ties[k] -= match and self.ties[k] > 0
            kept[k] &= not self.min_p or own[k] >= self.floor[k]
        return kept

    def sent(self, lane):
        """Its words."""
        return words(self.counts[lane])

    def receive(self, lane, addr, word):
        half = addr & 1
        part = slice(half * COUNTS_PER_WORD, (half + 1) * COUNTS_PER_WORD)
        counts = np.array([word >> WORD_COUNT_BITS * j & MASK for j in range(COUNTS_PER_WORD)])
        for sums, taken in ((self.all, True), (self.lower, addr >> INDEX_SHIFT & 0xFF < self.index)):
            sums[lane, part] = np.minimum(sums[lane, part] + counts * taken, TOP_K_MAX)

    def select(self, lanes):
        for k in lanes:
            digit = sum(int(total) >= self.left[k] for total in self.all[k, 1:])
            above, taken = ([*sums[k], 0] for sums in (self.all, self.lower))
            self.left[k] -= above[digit + 1]
            self.ties[k] = max(0, self.left[k] - (taken[digit] - taken[digit + 1]))
            self.threshold[k] |= digit << 32 - DIGIT_BITS * (self.found + 1)
        self.found += 1
        self.clear()


assert DIGITS * DIGIT_BITS == 32
