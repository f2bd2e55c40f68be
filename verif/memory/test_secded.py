"""SECDED code: its distance, golden against the table, RTL against golden for every single and double error."""

from itertools import combinations

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hayate.golden.memory.secded import bank_file, decode, encode, from_bits, to_bits
from hayate.rtl.contract.secded import check_bits, codeword_bits, columns, rows
from hayate.rtl.memory.secded import SecdedDecoder, SecdedEncoder
from hayate.verif.bench import Bench, rng

WIDTHS = (64, 32, 16, 5)


class Codecs(wiring.Component):
    """Encoders and decoders of all widths side by side: one build instead of eight."""

    def __init__(self):
        super().__init__(
            {f"encoder_{w}": Out(SecdedEncoder(w).signature) for w in WIDTHS}
            | {f"decoder_{w}": Out(SecdedDecoder(w).signature) for w in WIDTHS}
        )

    def elaborate(self, platform):
        m = Module()
        for kind, make in (("encoder", SecdedEncoder), ("decoder", SecdedDecoder)):
            for w in WIDTHS:
                m.submodules[f"{kind}_{w}"] = made = make(w)
                wiring.connect(m, made, wiring.flipped(getattr(self, f"{kind}_{w}")))
        return m


CODECS = Bench(Codecs)


def words(generator, width, count):
    """Zero, all ones, and random words."""
    return [0, (1 << width) - 1] + [generator.getrandbits(width) for _ in range(count)]


@CODECS.test()
async def encodes_like_golden(dut):
    from hayate.verif.bench.drivers import settle, start

    await start(dut)
    for width in WIDTHS:
        data = words(rng(width), width, 200) + [1 << i for i in range(width)]
        for word, expected in zip(data, from_bits(encode(to_bits(data, width)))):
            getattr(dut, f"encoder_{width}__data").value = word
            await settle()
            assert int(getattr(dut, f"encoder_{width}__codeword").value) == expected, (width, word)


async def check(dut, width, codewords):
    """The decoder must say what golden says about each of the codewords."""
    from hayate.verif.bench.drivers import settle

    ports = {
        name: getattr(dut, f"decoder_{width}__{name}") for name in ("codeword", "data", "corrected", "uncorrectable")
    }
    data, corrected, uncorrectable = decode(to_bits(codewords, codeword_bits(width)), width)
    for word, *expected in zip(codewords, from_bits(data), corrected.tolist(), uncorrectable.tolist()):
        ports["codeword"].value = word
        await settle()
        found = [int(ports[name].value) for name in ("data", "corrected", "uncorrectable")]
        assert found == expected, (width, hex(word))


@CODECS.test()
async def decodes_up_to_two_errors_like_golden(dut):
    from hayate.verif.bench.drivers import start

    await start(dut)
    for width in WIDTHS:
        n = codeword_bits(width)
        clean = from_bits(encode(to_bits(words(rng(width), width, 20), width)))
        await check(dut, width, clean)
        base = clean[-1]
        await check(dut, width, [base ^ 1 << i for i in range(n)])
        await check(dut, width, [base ^ 1 << i ^ 1 << j for i, j in combinations(range(n), 2)])


@CODECS.test()
async def decodes_any_syndrome_like_golden(dut):
    from hayate.verif.bench.drivers import start

    await start(dut)
    for width in WIDTHS:
        generator = rng(width)
        base = from_bits(encode(to_bits([generator.getrandbits(width)], width)))[0]
        await check(dut, width, [base ^ syndrome << width for syndrome in range(1 << check_bits(width))])
        await check(dut, width, [generator.getrandbits(codeword_bits(width)) for _ in range(300)])


@pytest.mark.parametrize("width", [1, 4, 5, 8, 11, 16, 26, 32, 57, 64, 72, 120, 128, 247])
def test_the_table_is_a_hsiao_code(width):
    table, r = columns(width), check_bits(width)
    assert len(set(table)) == width
    assert all(c.bit_count() % 2 and 3 <= c.bit_count() and c < 1 << r for c in table)
    assert 1 << (r - 1) >= width + r
    assert r == 2 or 1 << (r - 2) < width + r - 1  # one check bit fewer would not do
    load = [mask.bit_count() for mask in rows(width)]
    assert max(load) - min(load) <= 2
    assert sum(load) == sum(c.bit_count() for c in table)


def test_the_usual_widths():
    assert [(w, codeword_bits(w)) for w in (16, 32, 64)] == [(16, 22), (32, 39), (64, 72)]
    assert {mask.bit_count() for mask in rows(64)} == {26}


@pytest.mark.parametrize("width", [1, 8, 16, 32, 64, 128])
def test_golden_corrects_one_error_and_detects_two(width):
    n = codeword_bits(width)
    generator = np.random.default_rng(width)
    data = generator.integers(0, 2, (20, width), np.uint8)
    clean = encode(data)
    found, corrected, uncorrectable = decode(clean, width)
    assert (found == data).all() and not corrected.any() and not uncorrectable.any()
    flips = np.eye(n, dtype=np.uint8)
    for word, coded in zip(data, clean):
        found, corrected, uncorrectable = decode(coded ^ flips, width)
        assert (found == word).all() and corrected.all() and not uncorrectable.any()
    pairs = np.array([flips[i] ^ flips[j] for i, j in combinations(range(n), 2)])
    found, corrected, uncorrectable = decode(clean[0] ^ pairs, width)
    assert uncorrectable.all() and not corrected.any() and (found == (clean[0] ^ pairs)[:, :width]).all()


def test_zero_is_a_codeword():
    assert not encode(np.zeros((1, 64), np.uint8)).any()


def test_a_bank_file_holds_the_codewords():
    data = np.random.default_rng(5).integers(0, 1 << 64, 300, np.uint64)
    first, *lines = bank_file(data).split()
    assert first == "@0"
    assert [int(line, 16) for line in lines] == from_bits(encode(to_bits(data.tolist(), 64)))
    assert {len(line) for line in lines} == {18}


@pytest.mark.parametrize("width", [0, -1, 1025])
def test_widths_that_cannot_be_are_refused(width):
    for make in (check_bits, SecdedEncoder, SecdedDecoder):
        with pytest.raises(ValueError, match=f"data_bits: must be between 1 and 1024, not {width}"):
            make(width)


def test_golden_refuses_words_that_do_not_fit():
    with pytest.raises(ValueError, match="unsigned integers of 8 bits"):
        to_bits([256], 8)
    with pytest.raises(ValueError, match=r"have shape \(n, 72\)"):
        decode(np.zeros((2, 64), np.uint8), 64)
