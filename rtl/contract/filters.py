"""Filters of what is sampled: the search for top-k's threshold.

The key of an FP32 value is its bits with the sign flipped, or all bits flipped where it is negative; -0 has the key of
+0. Keys order as the values do, as unsigned integers. The search finds the key of the k-th largest z by its digits, the
highest first: of the keys that begin with the digits found so far, each tile counts those whose next digit is at least
1, at least 2, ... Sums of these counts say which digit comes next, and how many z there are above it. Counts and their
sums stop at TOP_K_MAX, which no k exceeds.

Counts travel in SUM flits, as two words for a position, COUNTS_PER_WORD to a word, the first lowest: in the low word
those of digits 0 to 7 (of digit 0 nothing is counted, it is 0), in the high one 8 to 15. Bit 0 of such a flit's `addr`
says which word, COUNTS_BIT that it has counts, ROUND_BIT is the parity of the search's round, and from INDEX_SHIFT on
stands the sender's logical tile index.
"""

TOP_K_MAX = 64
DIGIT_BITS = 4
DIGITS = 32 // DIGIT_BITS
"""Rounds of the search."""
COUNT_BITS = TOP_K_MAX.bit_length()
COUNTS_PER_WORD = 8
WORD_COUNT_BITS = 64 // COUNTS_PER_WORD
COUNTS_BIT = 1
ROUND_BIT = 2
INDEX_SHIFT = 4
