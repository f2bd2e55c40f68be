"""The outlet against a model of its rules: random texts with every ending, drafting room, a slow host, and a damaged entry."""

from hayate.rtl.conductor.outlet import Outlet
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import Sink, clock, settle, start

END = 77
BENCH = Bench(lambda lanes: Outlet(lanes=lanes, depth=8), params=[{"lanes": n} for n in (1, 4, 8)])


@BENCH.test()
async def texts_end_where_they_must(dut):
    await start(dut)
    r, sink, lanes = rng("texts"), Sink(dut, "tokens"), params()["lanes"]
    endings = set()
    for _ in range(60):
        prompt, limit = r.randrange(1, 20), r.choice([1, 5, 20, 60000])
        context = prompt + r.choice([0, 3, 15, 40])
        enable, nodes = r.randrange(2), r.choice([0, 1, 3, 7, 15])
        dut.token_limit.value, dut.context_limit.value, dut.end_token.value, dut.end_enable.value = limit, context, END, enable
        dut.draft_nodes.value, dut.abort.value, dut.clear.value = nodes, 0, 1
        await clock(dut)
        dut.clear.value = 0
        tokens, position, ended = [], prompt, ""
        while not ended:
            dut.begins.value, dut.position.value = 1, position
            await clock(dut)
            dut.begins.value = 0
            emitted = 0
            for _ in range(r.randint(1, lanes)):
                token, cycle = r.choice([END, *[r.getrandbits(20) for _ in range(15)]]), r.getrandbits(32)
                aborted = int(r.random() < 0.02)
                dut.emit__valid.value, dut.emit__payload.value, dut.cycles.value, dut.abort.value = 1, token, cycle, aborted
                await settle()
                while not int(dut.emit__ready.value):
                    await clock(dut)
                    await settle()
                length = len(tokens) + 1
                ends = "limit" if length == limit else "abort" if aborted else "end" if enable and token == END else ""
                ended = ends or ("context" if position >= context else "")
                assert int(dut.stop.value) == bool(ended) and int(dut.taken.value) == 1 and int(dut.at.value) == position
                assert int(dut.first.value) == (length == 1)
                await clock(dut)
                dut.emit__valid.value = 0
                tokens.append(token | cycle << 20)
                position, emitted = position + 1, emitted + 1
                await settle()
                assert int(dut.emitted.value) == emitted and int(dut.last.value) == token and int(dut.at.value) == position
                assert (int(dut.over.value), int(dut.full.value)) == (bool(ended), ended == "context")
                if ended:
                    break
                assert int(dut.room.value) == min(nodes, lanes - 1, context - position, limit - length - 1)
        assert await sink.take(len(tokens)) == tokens
        assert int(dut.fault.value) == 0
        endings.add(ended)
    assert endings == {"limit", "abort", "end", "context"}
