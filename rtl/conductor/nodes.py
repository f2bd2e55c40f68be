"""The nodes of a pass: a tree of tokens that grows from its root, each with position, ancestors and KV slot."""

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.flits import LANE_BITS
from hayate.rtl.contract.words import PASS_POSITIONS, PASS_SIZE_BITS, POSITION_BITS, SLOT_BITS, TOKEN_BITS

#: a node as it is shown. ancestors: nodes on its way to the root, itself included; depth: so many, without itself.
#: placed: it has its slot.
Node = data.StructLayout(
    {
        "token": TOKEN_BITS,
        "position": POSITION_BITS,
        "slot": SLOT_BITS,
        "parent": LANE_BITS,
        "ancestors": PASS_POSITIONS,
        "depth": 3,
        "placed": 1,
    }
)


class Nodes(wiring.Component):
    """Registers of up to M nodes.

    `root` begins a tree, `add` appends a node whose position is its parent's plus 1, `place` gives node `lane` its
    slot. What a strobe changes shows in the next cycle; one strobe a cycle, but that `place` may come with `add`.
    `node` shows node `lane` within the cycle. Reset empties the tree.

    Parameters
    ----------
    lanes: M.

    Members
    -------
    root: In. position: In(16), of the root. add: In. token: In(20), parent: In(3), of the node that comes; a root's
        parent does not count.
    place: In. slot: In(16). lane: In(3). node: Out(Node).
    count: Out(4). depth: Out(3), nodes of the longest chain behind the root. tokens, parents, positions: Out, of all
        nodes.
    """

    def __init__(self, lanes):
        self._lanes = lanes
        super().__init__(
            {
                "root": In(1),
                "position": In(POSITION_BITS),
                "add": In(1),
                "token": In(TOKEN_BITS),
                "parent": In(LANE_BITS),
                "place": In(1),
                "slot": In(SLOT_BITS),
                "lane": In(LANE_BITS),
                "node": Out(Node),
                "count": Out(PASS_SIZE_BITS),
                "depth": Out(3),
                "tokens": Out(TOKEN_BITS).array(lanes),
                "parents": Out(LANE_BITS).array(lanes),
                "positions": Out(POSITION_BITS).array(lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        nodes = Array(Signal(Node, name=f"node_{n}") for n in range(self._lanes))
        above = Signal(Node)
        m.d.comb += [self.node.eq(nodes[self.lane]), above.eq(nodes[self.parent])]
        with m.If(self.root):
            m.d.sync += [self.count.eq(1), self.depth.eq(0)]
        with m.Elif(self.add):
            m.d.sync += self.count.eq(self.count + 1)
            with m.If(above.depth == self.depth):
                m.d.sync += self.depth.eq(self.depth + 1)
        for n, node in enumerate(nodes):
            m.d.comb += [
                self.tokens[n].eq(node.token),
                self.parents[n].eq(node.parent),
                self.positions[n].eq(node.position),
            ]
            with m.If(self.place & (self.lane == n)):
                m.d.sync += [node.slot.eq(self.slot), node.placed.eq(1)]
            if n == 0:
                with m.If(self.root):
                    m.d.sync += [
                        node.token.eq(self.token),
                        node.position.eq(self.position),
                        node.parent.eq(0),
                        node.ancestors.eq(1),
                        node.depth.eq(0),
                        node.placed.eq(0),
                    ]
            else:
                with m.If(self.add & (self.count == n)):
                    m.d.sync += [
                        node.token.eq(self.token),
                        node.position.eq(above.position + 1),
                        node.parent.eq(self.parent),
                        node.ancestors.eq(above.ancestors | 1 << n),
                        node.depth.eq(above.depth + 1),
                        node.placed.eq(0),
                    ]
        return m
