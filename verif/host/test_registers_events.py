"""What the registers do by themselves: end tokens from reset on, interrupts, and questions to the tiles' counters and
the governor.
"""

from hayate.rtl.contract.regmap import BY_NAME, END_REGISTERS, END_TOKENS
from hayate.rtl.host.registers import CounterSelect
from hayate.verif.bench import rng
from hayate.verif.host.test_registers import BENCH, GOOD, Pulses, begin, end_tokens


@BENCH.test()
async def one_end_token_is_one(dut):
    """After reset there is none; who writes one register has one, and 0 in the others, which do not count, is no end
    token.
    """
    host = await begin(dut, stall=0)
    none = dict.fromkeys(END_REGISTERS, 0)
    assert end_tokens(dut) == none and END_TOKENS == len(END_REGISTERS) == 4
    for n, name in enumerate(END_REGISTERS):
        await host.write(name, 1 << 31 | 7 + n)
        assert end_tokens(dut) == none | {name: 1 << 31 | 7 + n}
        await host.write(name, 7)
        assert end_tokens(dut) == none | {name: 7} and int(dut.control__request__ending__enable.value) == 0
        await host.write(name, 0)
    assert BY_NAME["END_TOKEN"].offset == 0x038, "where drivers of earlier maps write it"


@BENCH.test()
async def interrupts_wait_to_be_cleared(dut):
    from hayate.verif.bench.drivers import clock

    host = await begin(dut)
    token, done, fault = 1, 2, 4
    assert await host.read("IRQ_STATUS") == 0
    dut.control__token_level.value = 1
    await clock(dut, 3)
    assert await host.read("IRQ_STATUS") == token and not int(dut.irq.value)
    await host.write("IRQ_ENABLE", token | fault)
    assert int(dut.irq.value)
    assert await host.read("TOKEN_LEVEL") == 1
    await host.write("IRQ_STATUS", done | fault)  # others: nothing happens
    assert await host.read("IRQ_STATUS") == token
    await host.write("IRQ_STATUS", token)
    assert await host.read("IRQ_STATUS") == 0 and not int(dut.irq.value)
    dut.control__done.value = 1
    await clock(dut, 3)
    assert await host.read("IRQ_STATUS") == done and not int(dut.irq.value)
    dut.fault.value = 1  # whether it lasts a cycle or stays, it is one
    await clock(dut, 3)
    assert await host.read("IRQ_STATUS") == done | fault and int(dut.irq.value)
    assert await host.field("STATUS", "FAULT") == 1
    await host.write("IRQ_STATUS", 7)
    assert await host.read("IRQ_STATUS") == 0 and not int(dut.irq.value)
    dut.fault.value = 0
    assert await host.field("STATUS", "FAULT") == 1  # until a reset by command or pin
    dut.control__done.value = 0
    await clock(dut, 3)
    dut.control__done.value = 1
    await clock(dut, 3)
    assert await host.read("IRQ_STATUS") == done


@BENCH.test()
async def an_event_beats_a_clear_in_its_cycle(dut):
    from hayate.verif.bench.drivers import clock, settle, start

    async def put(name, value):
        dut.bus__awaddr.value, dut.bus__awvalid.value = BY_NAME[name].offset, 1
        dut.bus__wdata.value, dut.bus__wstrb.value, dut.bus__wvalid.value = value, 15, 1
        await clock(dut)
        dut.bus__awvalid.value, dut.bus__wvalid.value = 0, 0

    fault = 4
    await start(dut, bus__bready=1)
    await put("IRQ_ENABLE", fault)
    await clock(dut, 3)
    # Edges between the data being taken and the fault: the write is carried out in the cycle that follows the first
    # edge.
    for edges, pending in ((0, True), (1, True), (-1, False)):
        if edges < 0:
            dut.fault.value = 1
        await put("IRQ_STATUS", fault)
        await clock(dut, max(edges, 0))
        dut.fault.value = int(edges >= 0)
        await clock(dut)
        dut.fault.value = 0
        await clock(dut, 3)
        await settle()
        assert bool(int(dut.irq.value)) == pending, edges


@BENCH.test()
async def counters_are_asked_for_one_at_a_time(dut):
    from hayate.verif.bench.drivers import Sink, clock

    host = await begin(dut)
    requests = Sink(dut, "request", stall=0.7)
    assert await host.read("COUNTER_STATUS") == 1

    async def reply(value):
        dut.reply_valid.value, dut.reply_value.value = 1, value
        await clock(dut)
        dut.reply_valid.value = 0
        await clock(dut)

    generator = rng("counters")
    for _ in range(20):
        tile, counter, value = generator.randrange(3), generator.randrange(16), generator.getrandbits(32)
        await host.write("COUNTER_SELECT", tile << 8 | counter)
        assert await host.read("COUNTER_STATUS") == 0
        assert await requests.take(1) == [CounterSelect.const({"counter": counter, "tile": tile}).as_bits()]
        assert await host.read("COUNTER_STATUS") == 0
        await reply(value)
        assert await host.read("COUNTER_STATUS") == 1 and await host.read("COUNTER_VALUE") == value
    await reply(7)  # nobody asked
    assert await host.read("COUNTER_VALUE") == value

    for selected in (0x001, 0x102, 0x203):  # the second is overwritten while it waits
        await host.write("COUNTER_SELECT", selected)
    await clock(dut, 30)
    assert requests.data == [CounterSelect.const({"counter": 1, "tile": 0}).as_bits()]
    await reply(11)
    assert await host.read("COUNTER_STATUS") == 0
    assert await requests.take(2) == [
        CounterSelect.const({"counter": c, "tile": t}).as_bits() for c, t in ((1, 0), (3, 2))
    ]
    await reply(13)
    assert await host.read("COUNTER_STATUS") == 1 and await host.read("COUNTER_VALUE") == 13

    for tile in (3, 200, 255):  # not there
        await host.write("COUNTER_SELECT", tile << 8)
        assert await host.read("COUNTER_STATUS") == 1 and await host.read("COUNTER_VALUE") == 0
    assert not requests.data
    await host.bus.write(BY_NAME["COUNTER_SELECT"].offset, b"\x05")  # one byte is enough to ask
    assert await host.read("COUNTER_STATUS") == 1  # the tile is still 255
    assert await host.read("COUNTER_SELECT") == 255 << 8 | 5


@BENCH.test()
async def results_of_the_governor_are_asked_for(dut):
    host = await begin(dut, stall=0)
    asked, generator, expected = Pulses(dut, "control__look__strobe"), rng("results"), 0
    there = await host.read("MAX_MATRICES")
    for matrix in (0, there - 1, there, (1 << 12) - 1, *(generator.randrange(1 << 12) for _ in range(16))):
        kind, result = generator.randrange(4), generator.getrandbits(64)
        await host.write("GOVERNOR_SELECT", kind << 16 | matrix)
        expected += matrix < there  # beyond it there is no such word in the governor's memory
        assert asked.count == expected
        assert (int(dut.control__look__matrix.value), int(dut.control__look__kind.value)) == (matrix, kind)
        dut.control__look__result.value = result
        assert await host.read("GOVERNOR_LOW") | await host.read("GOVERNOR_HIGH") << 32 == (
            result if matrix < there else 0
        )
    assert expected < 20


@BENCH.test()
async def commands_and_causes(dut):
    """Of each fault its cause; RESET and INIT are strobes, and the machine's reset clears what was wrong, not the
    parameters.
    """
    from hayate.verif.bench.drivers import clock

    host = await begin(dut, stall=0)
    ports = {"reset": "reset", "clear": "clear", "start": "control__start", "abort": "control__abort"}
    pulses = {name: Pulses(dut, port) for name, port in ports.items()}
    await host.write("TOKEN_LIMIT", 9)
    for port, cause, lasting in (
        ("fault", 1, False),
        ("control__wrong_token", 2, False),
        ("control__hung", 4, True),
    ):
        getattr(dut, port).value = 1
        await clock(dut)
        getattr(dut, port).value = int(lasting)
        await clock(dut, 2)
        assert await host.read("FAULT_CAUSE") == cause and await host.field("STATUS", "FAULT") == 1
        assert await host.read("IRQ_STATUS") == 4
        await host.write("IRQ_STATUS", 4)
        assert await host.read("IRQ_STATUS") == 0, "a level is one event"
        dut.core_reset.value, dut.ready.value = 1, 0
        getattr(dut, port).value = 0
        await clock(dut)
        dut.core_reset.value = 0
        assert await host.field("STATUS", "READY") == 0
        dut.ready.value = 1
        assert await host.read("FAULT_CAUSE") == 0 and await host.field("STATUS", "FAULT") == 0
    assert await host.read("TOKEN_LIMIT") == 9
    for bits, names in ((4, {"reset"}), (8, {"clear"}), (14, {"reset", "clear", "abort"})):
        before = {name: pulse.count for name, pulse in pulses.items()}
        await host.write("CONTROL", bits)
        await clock(dut, 2)
        assert {name for name, pulse in pulses.items() if pulse.count == before[name] + 1} == names
        assert sum(pulse.count for pulse in pulses.values()) == sum(before.values()) + len(names)


@BENCH.test()
async def a_start_that_comes_to_nothing_is_told(dut):
    """With RESET or INIT in the same word, and in any cycle around the one in which a generation is given up."""
    import cocotb

    from hayate.verif.bench.drivers import clock

    host = await begin(dut, stall=0)
    started = Pulses(dut, "control__start")
    for name, value in GOOD.items():
        await host.write(name, value)
    for other in (4, 8, 12):
        await host.write("CONTROL", 1 | other)
        assert await host.field("REJECTION", "NOT_READY") == 1 and started.count == 0
        await host.write("CONTROL", 1)
        assert await host.read("REJECTION") == 0 and started.count == 1
        started.count = 0
    told = []
    for wait in range(8):
        dut.control__busy.value, dut.control__hung.value = 1, 0
        writing = cocotb.start_soon(host.write("CONTROL", 1))
        await clock(dut, wait)
        dut.control__busy.value, dut.control__hung.value = 0, 1
        await writing
        told.append(await host.field("REJECTION", "FAULT"))
        dut.control__hung.value, dut.core_reset.value = 0, 1
        await clock(dut)
        dut.core_reset.value = 0
        await clock(dut)
    assert started.count == 0 and 0 < sum(told)


@BENCH.test()
async def a_question_outlives_the_machine_s_reset(dut):
    """Its answer may be lost on the way: it is asked again."""
    from hayate.verif.bench.drivers import Sink, clock

    host = await begin(dut, stall=0)
    requests = Sink(dut, "request", stall=0)
    await host.write("COUNTER_SELECT", 0x102)
    await requests.take(1)
    dut.core_reset.value = 1
    await clock(dut, 2)
    dut.core_reset.value = 0
    assert await requests.take(1) == [CounterSelect.const({"counter": 2, "tile": 1}).as_bits()]
    assert await host.read("COUNTER_STATUS") == 0
    dut.reply_valid.value, dut.reply_value.value = 1, 5
    await clock(dut)
    dut.reply_valid.value = 0
    assert await host.read("COUNTER_VALUE") == 5


@BENCH.test()
async def several_writes_on_the_way(dut):
    """Data ahead of any address, two words of it; two writes while a response is refused: each write lands once, in its
    order.
    """
    from hayate.verif.bench.drivers import clock, settle, start

    await start(dut, ready=1)
    queues = {"aw": [], "w": []}

    async def step(bready):
        """A cycle in which each channel offers its oldest item; the response that is taken, if any."""
        for channel, queue in queues.items():
            getattr(dut, f"bus__{channel}valid").value = bool(queue)
            if queue and channel == "aw":
                dut.bus__awaddr.value = queue[0]
            elif queue:
                dut.bus__wdata.value, dut.bus__wstrb.value = queue[0], 15
        dut.bus__bready.value = bready
        await settle()
        taken = [c for c in queues if queues[c] and int(getattr(dut, f"bus__{c}ready").value)]
        response = int(dut.bus__bresp.value) if bready and int(dut.bus__bvalid.value) else None
        await clock(dut)
        for channel in taken:
            queues[channel].pop(0)
        return response

    names = ("QUALITY", "SEED_LOW", "COSTS_0", "SEED_HIGH")
    for round_, order in enumerate((("w", "aw"), ("aw", "w"), ("both",))):
        values = [17 * (n + 1) + 1000 * round_ for n in range(len(names))]
        items = {"aw": [BY_NAME[n].offset for n in names], "w": list(values)}
        responses = []
        for channel in ("aw", "w") if order == ("both",) else order:
            queues[channel] += items[channel]
            for _ in range(0 if order == ("both",) else 7):  # two words or addresses at most go in, the others wait
                await step(False)
        for _ in range(12):  # nobody takes a response
            assert await step(False) is None
        assert int(dut.bus__bvalid.value) and len(queues["aw"]) >= 2, "one is carried out, one more waits"
        for _ in range(40):
            if (response := await step(True)) is not None:
                responses.append(response)
        assert responses == [0] * 4 and not queues["aw"] and not queues["w"]
        seed = int(dut.control__request__seed.value)
        assert (int(dut.control__request__knob.value), seed & 0xFFFFFFFF, seed >> 32) == (
            values[0],
            values[1],
            values[3],
        )
        assert int(dut.control__draft__costs__0.value) | int(dut.control__draft__costs__1.value) << 16 == values[2]
