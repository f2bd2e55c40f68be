"""The waveforms in docstrings of the host port's blocks are what the blocks do."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hayate.rtl.contract.isa import Space
from hayate.rtl.contract.regmap import BY_NAME, REGISTERS, load_address
from hayate.rtl.host.axi import AxiLite, Burst
from hayate.rtl.host.gate import BEAT_BITS, Gate, LoadWord
from hayate.rtl.host.initializer import Initializer
from hayate.rtl.host.lite import SENDS, read_channel, write_channel
from hayate.rtl.host.power import Power
from hayate.rtl.host.registers import Registers
from hayate.rtl.host.window import Window
from hayate.verif.bench.waves import draw, ports, require_drawn, strobe
from hayate.verif.host.sizes import machine, parts, sealed


class Channel(wiring.Component):
    """A channel of a bus behind which there is nothing."""

    bus: In(AxiLite())
    sent: In(1)

    def __init__(self, writes):
        self._writes = writes
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        if self._writes:
            write_channel(m, self.bus, {SENDS.name: Signal()}, Signal(32), Signal(4), self.sent, Signal())
        else:
            read_channel(m, self.bus, {register.name: Signal(32) for register in REGISTERS}, Signal())
        return m


def word(address, data):
    """A word of the load window as it is offered."""
    tile, space, addr = parts(address)
    return LoadWord.const({"tile": tile, "space": space, "addr": addr, "data": data})


def gate():
    """The last two words of a load, and one that comes too late."""
    late = load_address(0, Space.BANK, 0), 1
    words = [word(*one) for one in sealed([late])]
    steps = {n: {"words.payload": one} for n, one in enumerate(words, 2 - len(words))}
    steps[2 - len(words)] |= {"words.valid": 1, "tx.ready": 1}
    steps |= {
        4: {"conditions.returned": 1},
        5: {"conditions.returned": 0},
        6: {"words.payload": word(*late)},
        7: {"words.valid": 0},
    }
    rows = ports(
        "words.valid", "words.ready", "refused", "conditions.returned", "quiet", "state.opened", "state.loaded"
    )
    return draw(Gate(machine()), rows, steps, 8, skip=len(words) - 2)


def power():
    """The command INIT."""
    steps = strobe("clear") | {6: {"cleared": 1}, 7: {"cleared": 0}}
    rows = ports("clear", "core_reset", "wanted", "clearing", "sweep", "cleared", "ready")
    return draw(Power(), rows, steps, 9, skip=4)


def window():
    """A burst of two words."""
    burst = {"bus.awsize": BEAT_BITS, "bus.awburst": Burst.INCR, "bus.wstrb": 255}
    steps = strobe("bus.awvalid", **burst, **{"words.ready": 1, "bus.bready": 1}) | {
        2: {"bus.wvalid": 1},
        3: {"bus.wlast": 1},
        4: {"bus.wvalid": 0},
        6: {"quiet": 1},
    }
    rows = {
        **ports("bus.awvalid", "bus.wvalid"),
        "state": "write_state",
        **ports("words.valid", "words.payload.addr", "quiet", "bus.bvalid"),
    }
    return draw(Window(), rows, steps, 8, width=6)


def write():
    """A write that sends a load word."""
    steps = strobe("bus.awvalid", **{"bus.awaddr": SENDS.offset, "bus.bready": 1}) | {
        1: {"bus.awvalid": 0, "bus.wvalid": 1},
        2: {"bus.wvalid": 0},
        5: {"sent": 1},
        6: {"sent": 0},
    }
    rows = ports("bus.awvalid", "bus.wvalid", "has_address", "has_data", "commit", "sending", "bus.bvalid")
    return draw(Channel(writes=True), rows, steps, 8)


def read():
    """Two reads as close as they can be."""
    steps = strobe("bus.arvalid", **{"bus.rready": 1}) | {1: {}, 4: {"bus.arvalid": 0}}
    rows = ports("bus.arvalid", "bus.arready", "has_address", "decoded", "answer", "bus.rvalid")
    return draw(Channel(writes=False), rows, steps, 8)


def initializer():
    """The first sweep's ends, and a word that is not taken at once."""
    words = 120
    steps = strobe("start", **{"words.ready": 1}) | {2: {"words.ready": 0}, 3: {"words.ready": 1}}
    rows = ports("start", "words.ready", "busy", "words.payload.space", "words.payload.addr")
    return draw(Initializer(machine(bank_depth=words)), rows, steps, [*range(6), *range(words, words + 5)])


def access(register, data, at):
    """Steps: a write of a register, address and data at once."""
    bus = {"bus.awaddr": BY_NAME[register].offset, "bus.wdata": data, "bus.wstrb": 15, "bus.bready": 1}
    return {
        at: {"bus.awvalid": 1, "bus.wvalid": 1, **bus},
        at + 1: {"bus.awvalid": 0, "bus.wvalid": 0},
    }


def question():
    """A tile is asked for a counter."""
    steps = access("COUNTER_SELECT", 0, 0) | {
        5: {"request.ready": 1},
        6: {"request.ready": 0},
        8: {"reply_valid": 1},
        9: {"reply_valid": 0},
    }
    rows = ports(
        "bus.wvalid", "hit_counter_select", "wanted", "waiting", "request.valid", "reply_valid", "word_counter_status"
    )
    return draw(Registers(machine(), 0), rows, steps, 11)


def single():
    """A load word by way of registers."""
    steps = access("LOAD_DATA_HIGH", 0, 0) | {
        4: {"single.word.ready": 1},
        5: {"single.word.ready": 0},
        7: {"single.settled": 1},
    }
    rows = ports(
        "bus.wvalid",
        "hit_load_data_high",
        "single.word.valid",
        "single.word.ready",
        "single.settled",
        "sent",
        "bus.bvalid",
    )
    return draw(Registers(machine(), 0), rows, steps, 10)


WAVEFORMS = {
    "gate": (Gate, gate),
    "initializer": (Initializer, initializer),
    "power": (Power, power),
    "question": (Registers, question),
    "read": (read_channel, read),
    "single": (Registers, single),
    "window": (Window, window),
    "write": (write_channel, write),
}


@pytest.mark.parametrize("name", WAVEFORMS)
def test_a_waveform_is_what_the_block_does(name):
    documented, drawing = WAVEFORMS[name]
    require_drawn(documented, drawing())
