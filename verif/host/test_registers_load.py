"""The registers of the load window: words of hosts of 32 bits, and what was refused."""

from hayate.rtl.contract.regmap import BY_NAME
from hayate.verif.bench import rng
from hayate.verif.host.test_registers import BENCH, begin


@BENCH.test()
async def words_go_out_by_registers(dut):
    """Address, low half, high half; answered when the word is in its place; only a word that was taken moves the
    address on.
    """
    import cocotb

    from hayate.verif.bench.drivers import clock

    host, generator = await begin(dut, stall=0.1), rng("words")
    sent = []

    async def take():
        while True:
            await clock(dut)
            if int(dut.single__word__valid.value) and int(dut.single__word__ready.value):
                sent.append(
                    (
                        int(dut.single__word__payload.value),
                        int(dut.single__malformed.value),
                        int(dut.single__refused.value),
                    )
                )
                dut.single__settled.value = 0
            dut.single__word__ready.value = generator.random() < 0.3
            dut.single__refused.value = generator.random() < 0.4
            if generator.random() < 0.1:
                dut.single__settled.value = 1

    cocotb.start_soon(take())
    address = 0
    for number in range(40):
        if number % 3 == 0:
            address = generator.choice([generator.getrandbits(40) & ~7, generator.getrandbits(40), (1 << 28) - 8])
            await host.write("LOAD_ADDRESS_LOW", address & 0xFFFFFFFF)
            await host.write("LOAD_ADDRESS_HIGH", address >> 32)
        low, high = generator.getrandbits(32), generator.getrandbits(32)
        await host.write("LOAD_DATA_LOW", low)
        part = 4 if number % 5 else 2
        answer = await host.bus.write(BY_NAME["LOAD_DATA_HIGH"].offset, high.to_bytes(4, "little")[:part])
        word, malformed, refused = sent.pop()
        assert not sent and int(dut.single__settled.value) and malformed == (part < 4 or address & 7 != 0)
        expected = address >> 3 | low << 37 | high << 69
        assert (word ^ expected) & (1 << (69 + 8 * part)) - 1 == 0 and answer.resp == (2 if refused else 0)
        if not refused:
            address = address & ~0xFFFFFF8 | address + 8 & 0xFFFFFF8
        assert await host.read("LOAD_ADDRESS_LOW") == address & 0xFFFFFFFF


@BENCH.test()
async def refusals_stay_until_somebody_looks(dut):
    from hayate.verif.bench.drivers import clock

    host = await begin(dut, stall=0)

    async def strobe(name, reason=0):
        dut.status__reason.value = reason
        getattr(dut, name).value = 1
        await clock(dut)
        getattr(dut, name).value = 0
        await clock(dut)

    await strobe("status__refused", 5)
    await strobe("status__refused", 3)
    dut.status__state__opened.value = 1
    assert [await host.field("LOAD_STATUS", f) for f in ("REFUSED", "OPEN", "REASON")] == [1, 1, 5]
    assert await host.field("STATUS", "REFUSED") == 1
    await host.write("LOAD_STATUS", 0xFFFFFFFE)
    assert await host.field("LOAD_STATUS", "REASON") == 5
    await host.write("LOAD_STATUS", 1)
    dut.status__state__opened.value = 0
    assert await host.read("LOAD_STATUS") == 0 == await host.field("STATUS", "REFUSED")
    await strobe("status__refused", 7)
    assert await host.field("LOAD_STATUS", "REASON") == 7
    await strobe("status__state__began")
    assert await host.read("LOAD_STATUS") == 0
