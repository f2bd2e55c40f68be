"""The token output against a model of its rules: random texts with every ending, drafting room, a slow host, and a
damaged entry.
"""

from hayate.rtl.conductor.token_output import TokenOutput
from hayate.rtl.contract.regmap import END_TOKENS
from hayate.rtl.contract.words import TOKEN_BITS
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import Sink, clock, settle, start
from hayate.verif.bench.reset import resets

DEPTH = 8
BENCH = Bench(lambda lanes: TokenOutput(lanes=lanes, depth=DEPTH), params=[{"lanes": n} for n in (1, 4, 8)])


def end_tokens(r):
    """(what the registers hold, mask of those that count), with many that hold 0, as if nobody wrote them, and equal
    ones.
    """
    tokens = [r.choice([0, *[r.getrandbits(TOKEN_BITS)] * 3]) for _ in range(END_TOKENS)]
    if r.random() < 0.2:
        tokens[r.randrange(END_TOKENS)] = tokens[r.randrange(END_TOKENS)]
    return tokens, r.choice([0, 1 << r.randrange(END_TOKENS), r.getrandbits(END_TOKENS)])


@BENCH.test()
@resets(within=100)
async def texts_end_where_they_must(dut):
    await start(dut)
    r, sink, lanes = rng("texts"), Sink(dut, "tokens"), params()["lanes"]
    endings, ended_by, passed_by, lost = set(), set(), set(), 0
    for n in range(100):
        prompt, limit = r.randrange(1, 20), r.choice([1, 5, 20, 60000])
        context = prompt + r.choice([0, 3, 15, 40])
        (named, enable), nodes = end_tokens(r), r.choice([0, 1, 3, 7, 15])
        sink.stall = r.choice([0.25, 0.95])  # a FIFO that is seldom full, or often
        begin = n % END_TOKENS  # the text begins with what this register holds, which counts in every other round
        enable = enable & ~(1 << begin) | n // END_TOKENS % 2 << begin
        dut.ending__token_limit.value, dut.ending__context_limit.value = limit, context
        dut.ending__tokens.value, dut.ending__enable.value = (
            sum(t << TOKEN_BITS * i for i, t in enumerate(named)),
            enable,
        )
        dut.draft_nodes.value, dut.abort.value, dut.clear.value = nodes, 0, 1
        await clock(dut)
        dut.clear.value = 0
        tokens, position, length, ended = [], prompt, 0, ""
        while not ended:
            dut.begins.value, dut.position.value = 1, position
            await clock(dut)
            dut.begins.value = 0
            emitted = 0
            for _ in range(r.randint(1, lanes)):
                near, other = r.choice(named) ^ 1 << r.randrange(TOKEN_BITS), r.getrandbits(TOKEN_BITS)
                token = r.choice([*named, *[near] * 4, *[other] * 6]) if tokens else named[begin]
                cycle = r.getrandbits(32)
                same = {i for i, t in enumerate(named) if t == token}
                by = {i for i in same if enable >> i & 1}
                await settle()
                full = int(dut.level.value) == DEPTH
                aborted = int(r.random() < (0.3 if full else 0.02))
                dut.emit__valid.value, dut.emit__payload.value, dut.cycles.value, dut.abort.value = (
                    1,
                    token,
                    cycle,
                    aborted,
                )
                await settle()
                while not int(dut.emit__ready.value):
                    await clock(dut)
                    await settle()
                length += 1
                ends = "limit" if length == limit else "abort" if aborted else "end" if by else ""
                ended = ends or ("context" if position >= context else "")
                if len(same) == 1:
                    (ended_by if ends == "end" else passed_by if not by else set()).update(same)
                assert (
                    int(dut.stop.value) == bool(ended) and int(dut.taken.value) == 1 and int(dut.at.value) == position
                )
                assert int(dut.first.value) == (length == 1)
                await clock(dut)
                dut.emit__valid.value = 0
                if aborted and full:
                    lost += 1
                else:
                    tokens.append(token | cycle << 20)
                position, emitted = position + 1, emitted + 1
                await settle()
                assert (
                    int(dut.emitted.value) == emitted and int(dut.last.value) == token and int(dut.at.value) == position
                )
                assert (int(dut.over.value), int(dut.full.value)) == (bool(ended), ended == "context")
                if ended:
                    break
                assert int(dut.room.value) == min(nodes, lanes - 1, context - position, limit - length - 1)
        assert await sink.take(len(tokens)) == tokens
        assert int(dut.fault.value) == 0
        endings.add(ended)
    assert lost
    assert endings == {"limit", "abort", "end", "context"}
    assert ended_by == passed_by == set(range(END_TOKENS))
