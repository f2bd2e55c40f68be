"""Column table of the Hsiao SECDED codes that protect every memory of the machine.

A codeword is the data word in the low bits and the check bits above it: ``codeword = data | check << data_bits``. Check
bit r is the parity of the data bits whose column has bit r set. The column of check bit r is ``1 << r``. Every column
has odd weight, so a single error has an odd syndrome and a double error a nonzero even one. The all-zero word is a
codeword, so cleared memory is valid.

Source: M. Y. Hsiao, "A Class of Optimal Minimum Odd-weight-column SEC-DED Codes", IBM J. Res. Dev. 14(4), 1970.
"""

from functools import lru_cache
from itertools import combinations

MAX_DATA_BITS = 1024


def check_bits(data_bits: int) -> int:
    """Check bits of the code for words of ``data_bits``: 8 for 64, 7 for 32, 6 for 16. ValueError unless 1 ≤ data_bits
    ≤ 1024.
    """
    if not 1 <= data_bits <= MAX_DATA_BITS:
        raise ValueError(f"data_bits: must be between 1 and {MAX_DATA_BITS}, not {data_bits}")
    r = 2
    while (1 << (r - 1)) < data_bits + r:
        r += 1
    return r


def codeword_bits(data_bits: int) -> int:
    """Bits of a codeword: data and check bits together, 72 for 64."""
    return data_bits + check_bits(data_bits)


@lru_cache(maxsize=None)
def columns(data_bits: int) -> tuple[int, ...]:
    """Parity-check column of each data bit, in order of the data bits.

    Distinct integers of odd weight ≥ 3, lightest first, picked greedily so that the rows of the matrix stay equally
    heavy: the heaviest check bit sets the depth of the parity trees.
    """
    r = check_bits(data_bits)
    load = [0] * r
    chosen: list[int] = []
    for weight in range(3, r + 1, 2):
        rest = [sum(1 << row for row in rows) for rows in combinations(range(r), weight)]
        while rest and len(chosen) < data_bits:
            best = min(rest, key=lambda c: (sum(2 * load[i] + 1 for i in range(r) if c >> i & 1), c))
            rest.remove(best)
            chosen.append(best)
            for i in range(r):
                load[i] += best >> i & 1
    return tuple(chosen)


def rows(data_bits: int) -> tuple[int, ...]:
    """Per check bit, the mask of the data bits it is the parity of."""
    table = columns(data_bits)
    return tuple(sum((c >> r & 1) << i for i, c in enumerate(table)) for r in range(check_bits(data_bits)))
