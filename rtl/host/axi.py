"""AXI4 and AXI4-Lite as interfaces, and their exposure under the flat port names that integrators expect.

Source: Arm IHI 0022, AMBA AXI and ACE Protocol Specification, chapters A2 and B1. The signatures are written from the
manager's side, as `lib.stream` is from the source's: a subordinate has a member ``In(AxiLite())``.
"""

from enum import IntEnum

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.regmap import AXI_ADDR_BITS, AXI_ID_BITS, AXIL_ADDR_BITS


class Response(IntEnum):
    OKAY = 0
    SLVERR = 2


class Burst(IntEnum):
    FIXED = 0
    INCR = 1


class AxiLite(wiring.Signature):
    """AXI4-Lite with 32 bits of data and `addr_bits` of byte address; signals have their standard names in lower
    case.
    """

    def __init__(self, addr_bits=AXIL_ADDR_BITS):
        self.addr_bits = addr_bits
        super().__init__(
            {
                "awaddr": Out(addr_bits),
                "awprot": Out(3),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(32),
                "wstrb": Out(4),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(addr_bits),
                "arprot": Out(3),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(32),
                "rresp": In(2),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )

    def __eq__(self, other):
        return isinstance(other, AxiLite) and self.addr_bits == other.addr_bits

    def __repr__(self):
        return f"AxiLite({self.addr_bits})"


class Axi4(wiring.Signature):
    """AXI4 with 64 bits of data. Lock, cache and protection attributes are there for the integrator's sake; QoS,
    region, user are not.
    """

    def __init__(self, addr_bits=AXI_ADDR_BITS, id_bits=AXI_ID_BITS):
        self.addr_bits, self.id_bits = addr_bits, id_bits
        super().__init__(
            {
                **self._address("aw"),
                **self._address("ar"),
                "wdata": Out(64),
                "wstrb": Out(8),
                "wlast": Out(1),
                "wvalid": Out(1),
                "wready": In(1),
                "bid": In(id_bits),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                "rid": In(id_bits),
                "rdata": In(64),
                "rresp": In(2),
                "rlast": In(1),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )

    def _address(self, channel):
        widths = {
            "id": self.id_bits,
            "addr": self.addr_bits,
            "len": 8,
            "size": 3,
            "burst": 2,
            "lock": 1,
            "cache": 4,
            "prot": 3,
            "valid": 1,
        }
        return {**{f"{channel}{name}": Out(width) for name, width in widths.items()}, f"{channel}ready": In(1)}

    def __eq__(self, other):
        return isinstance(other, Axi4) and (self.addr_bits, self.id_bits) == (other.addr_bits, other.id_bits)

    def __repr__(self):
        return f"Axi4({self.addr_bits}, {self.id_bits})"


def exposed(prefix, signature):
    """Members of a component that has the subordinate's side of `signature` as ports of its own: ``PREFIX_awaddr`` and
    so on.
    """
    return {f"{prefix}_{name}": member.flip() for name, member in signature.members.items()}


def expose(m, outer, prefix, inner):
    """Connects the ports of `outer` that `exposed` made to `inner`, the subordinate's interface of a submodule."""
    for name, member in inner.signature.members.items():
        here, there = getattr(outer, f"{prefix}_{name}"), getattr(inner, name)
        m.d.comb += there.eq(here) if member.flow == In else here.eq(there)
