"""The n-gram drafter: proposes a token tree from what followed the last tokens earlier in the same text."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hayate.rtl.conductor.base import BaseTable
from hayate.rtl.conductor.hash import MAX_SIZE_LOG2, TAG_BITS, keys
from hayate.rtl.contract.flits import LANE_BITS
from hayate.rtl.contract.words import PASS_SIZE_BITS, POSITION_BITS, TOKEN_BITS
from hayate.rtl.interfaces import BASE_WRITE
from hayate.rtl.memory.parity import ParityMemory

ORDERS = 3

#: a node of the tree: its parent is a lower node, 0 is the root; `last` says that none follows.
NODE = data.StructLayout({"token": TOKEN_BITS, "parent": LANE_BITS, "last": 1})
NODE_STREAM = stream.Signature(NODE)

SETTLE_CYCLES = 4  # of a position
FIRST_NODE = 4  # cycles from `propose` to the first node


class NgramDrafter(wiring.Component):
    """Keeps a text's tokens and, per order 1 to 3, a direct-mapped table of what followed the last tokens; proposes
    from them.

    The rules are those of the golden `NgramTable`. Tables take in what has been appended only when `settle` says so:
    everything up to that cycle and nothing later, SETTLE_CYCLES = 4 a position, all orders at once, and 2 more. `clear`
    empties the tables, a word a cycle, once the insertion of a position that is under way has ended; a proposal is
    abandoned, within 2 cycles.

    A proposal's first node comes FIRST_NODE = 4 cycles after `propose`, then one a cycle while they are taken, of the
    base table's one every second cycle; `none` comes after 3. How many nodes are wanted need not be known by then:
    until `sure`, a node is offered when another one of its chain is sure to follow, which may be some cycles later, and
    `none` waits. A `propose` while `busy` waits, and its time counts from the first cycle without. It may come in the
    cycle after the last `append`. Nothing is appended from `propose` to its last node or `none`. `settle` comes at any
    time but between `propose` and its first node or `none`. Reset forgets what is under way, not what the memories
    hold: a text begins with `clear`.

    The second token of a text is taken in, the third one is the first once more, and the two behind it are proposed::

        cycle       0    1    2    3    4    5    6    7    8    9    10   11   12   13
        settle      ~~~~~_________________________________________________________________
        append      _____~~~~~____________________________________________________________
        propose     __________~~~~~_______________________________________________________
        settling    _____~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~___________________________________
        waiting     _______________~~~~~~~~~~~~~~~~~~~~~~~~~______________________________
        state       IDLE......AIM..READ.TAKE.COMP.WRIT.IDLE.LOOK.MATC.CHOO.OFFE......IDLE.
        node.valid  _______________________________________________________~~~~~~~~~~_____

    Parameters
    ----------
    lanes: M, 2 to 8. size_log2: log2 of a table's entries, 1 to 12. depth: positions of a text.
    inject: adds the input `flip`, which damages what is stored, for tests.

    Members
    -------
    clear: In, strobe; a text begins. append: In, strobe, never refused; token (20), position (16): In; positions count
        up from 0.
    base: In, the base table may be asked; constant while a text is written. base_write: In(BASE_WRITE),
        `load` of `BaseTable`, not while a text is written.
    propose: In, strobe. Behind it: sure: In, it is known how many nodes are wanted; want: In(4), nodes, at most M - 1,
        before `sure` at least so many; branch: In(3), nodes of the alternate's chain, if there is one. `want` does not
        fall, and from `sure` on all stay as they are. They are looked at from the third cycle behind `propose` until
        the last node or `none`.
    node: Out stream of NODE. none: Out, strobe: there is no node.
    settle: In, strobe. settling: Out, from the next cycle until all is inserted. busy: Out, settling, or `clear` is not
        yet done.
    fault: Out. A damaged word was read, for one cycle.
    """

    def __init__(self, *, lanes, size_log2, depth, inject=False):
        if not 2 <= lanes <= 8:
            raise ValueError(f"a tree has 2 to 8 nodes, not {lanes}")
        if not 1 <= size_log2 <= MAX_SIZE_LOG2:
            raise ValueError(f"a table has 2 to {1 << MAX_SIZE_LOG2} entries, not 2**{size_log2}")
        self._lanes, self._size_log2, self._depth, self._inject = lanes, size_log2, depth, inject
        members = {
            "clear": In(1),
            "append": In(1),
            "token": In(TOKEN_BITS),
            "position": In(POSITION_BITS),
            "propose": In(1),
            "want": In(PASS_SIZE_BITS),
            "sure": In(1),
            "branch": In(3),
            "node": Out(NODE_STREAM),
            "none": Out(1),
            "settle": In(1),
            "settling": Out(1),
            "busy": Out(1),
            "fault": Out(1),
            "base": In(1),
            "base_write": In(BASE_WRITE),
        }
        if inject:
            members["flip"] = In(1)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        place = bits_for(self._depth - 1)
        # token at `latest`
        entry_layout = data.StructLayout({"tag": TAG_BITS, "latest": place, "alt": place, "token": TOKEN_BITS})
        m.submodules.history = history = ParityMemory(TOKEN_BITS, self._depth, inject=self._inject)
        tables = []
        for k in range(1, ORDERS + 1):
            m.submodules[f"table_{k}"] = table = ParityMemory(
                entry_layout.size, 1 << self._size_log2, inject=self._inject
            )
            tables.append(table)
        m.submodules.base = base = BaseTable()
        wiring.connect(m, wiring.flipped(self.base_write), base.load)
        m.d.comb += self.fault.eq(history.error | base.fault | Cat(table.error for table in tables).any())
        if self._inject:
            m.d.comb += [memory.flip.eq(self.flip) for memory in (history, *tables)]

        # The text.
        count = Signal(range(self._depth + 1))  # tokens appended
        # tokens to be in the tables; those that are
        goal = Signal.like(count)
        at = Signal.like(count)
        newest = Signal(place)
        begun = Signal.like(count)
        # last tokens of the text, newest first
        recent = [Signal(TOKEN_BITS, name=f"recent_{k}") for k in range(ORDERS)]
        past = [Signal(TOKEN_BITS, name=f"past_{k}") for k in range(ORDERS)]  # last tokens in front of position `at`
        # `clear` and `propose` that wait
        dirty = Signal()
        waiting = Signal()
        m.d.comb += [
            history.wr_en.eq(self.append),
            history.wr_addr.eq(self.position),
            history.wr_data.eq(self.token),
            begun.eq(Mux(dirty, 0, at)),
            self.settling.eq(begun != goal),
        ]
        after = Signal.like(count)
        m.d.comb += after.eq(Mux(self.append, self.position + 1, count))
        with m.If(self.settle):
            m.d.sync += goal.eq(after)
        with m.If(self.append):
            m.d.sync += [count.eq(after), newest.eq(self.position), Cat(recent).eq(Cat(self.token, *recent[:-1]))]
        with m.If(self.clear):
            m.d.sync += [count.eq(0), goal.eq(0), dirty.eq(1), waiting.eq(0)]

        # Stage 1, every cycle: keys of the text's end, or of what is in front of the position to insert.
        inserting = Signal()
        sweeping = Signal()
        sweep = Signal(self._size_log2)
        window = [Mux(inserting, past[k], recent[k]) for k in range(ORDERS)]
        s1_index = [Signal(self._size_log2, name=f"s1_index_{k + 1}") for k in range(ORDERS)]
        s1_tag = [Signal(TAG_BITS, name=f"s1_tag_{k + 1}") for k in range(ORDERS)]
        for k, (index, tag) in enumerate(keys(window, self._size_log2)):
            m.d.sync += [s1_index[k].eq(index), s1_tag[k].eq(tag)]
        # Stage 2: the tables' words. Stage 3: registered, with what must be known of them.
        look = Signal()
        take = Signal()
        write = Signal()
        s3_entry = [Signal(entry_layout, name=f"s3_entry_{k + 1}") for k in range(ORDERS)]
        s3_hit = Signal(ORDERS)
        s3_fork = Signal(ORDERS)
        s3_token = Signal(TOKEN_BITS)
        s4_same = Signal(ORDERS)
        for k, table in enumerate(tables):
            found = Signal(entry_layout, name=f"found_{k + 1}")
            made = Signal(entry_layout, name=f"made_{k + 1}")
            old = s3_entry[k]
            m.d.comb += [
                found.eq(table.rd_data),
                table.rd_en.eq(look),
                table.rd_addr.eq(s1_index[k]),
                made.tag.eq(s1_tag[k]),
                made.latest.eq(at),
                made.token.eq(s3_token),
                made.alt.eq(Mux(s3_hit[k], Mux(s4_same[k], old.alt, old.latest), 0)),
                table.wr_en.eq(sweeping | write & (at > k)),
                table.wr_addr.eq(Mux(sweeping, sweep, s1_index[k])),
                table.wr_data.eq(Mux(sweeping, 0, made.as_value())),
            ]
            m.d.sync += s4_same[k].eq(old.token == s3_token)
            with m.If(take):
                m.d.sync += [
                    old.eq(found),
                    s3_fork[k].eq(found.alt != 0),
                    s3_hit[k].eq((found.tag == s1_tag[k]) & (found.latest != 0)),
                ]
        with m.If(take):
            m.d.sync += s3_token.eq(history.rd_data)

        # The longest order that hits is the primary; the alternate is the first that differs. Of two hits the later one
        # here counts.
        primary = Signal(place)
        alternate = Signal(place)
        forked = Signal()
        # the base table instead, its first token, then its next one
        speaks = Signal()
        known = Signal()
        word = Signal(TOKEN_BITS)
        for k, entry in enumerate(s3_entry):
            differs = Signal(name=f"differs_{k + 1}")
            if k == 0:
                m.d.comb += differs.eq(speaks & (entry.token != word))
            for longer in range(k + 1, ORDERS):
                with m.If(s3_hit[longer]):
                    m.d.comb += differs.eq(entry.token != s3_entry[longer].token)
            with m.If(s3_hit[k]):
                m.d.comb += primary.eq(entry.latest)
            with m.If(s3_hit[k] & (differs | s3_fork[k])):
                m.d.comb += [forked.eq(1), alternate.eq(Mux(differs, entry.latest, entry.alt))]

        # The chains.
        nodes = Signal(range(self._lanes))
        # nodes of the primary's chain if there is an alternate, and in fact
        split = Signal.like(nodes)
        trunk = Signal.like(nodes)
        cut = Signal.like(nodes)  # nodes that the base table's chain lacks
        s4_forked = Signal()
        m.d.comb += [
            split.eq(Mux(self.branch < self.want, self.want - self.branch, 1)),
            trunk.eq(Mux(s4_forked, split, self.want) - cut),
            nodes.eq(self.want - cut),
        ]
        with m.If(self.propose):
            m.d.sync += waiting.eq(1)
        index = Signal.like(nodes)
        parent = Signal.like(nodes)
        s4_alternate = Signal(place)
        choosing = Signal()
        choose = Signal()
        step = Signal()
        turn = Signal()
        certain = Signal()  # of the node at `index` it is known that it is wanted, and what follows it
        m.d.comb += certain.eq(self.sure | (index < trunk))
        cursor = Signal(place)
        home = Signal(place)
        start = Signal(place)
        m.d.comb += [
            turn.eq(index == trunk),
            history.rd_en.eq(look & inserting | step),
            history.rd_addr.eq(at),
            self.node.payload.token.eq(history.rd_data),
            self.node.payload.parent.eq(parent),
            self.node.payload.last.eq(index == nodes),
        ]
        here = Signal(place)
        # a chain begins; the base table's node is taken, and another follows
        begins = Signal()
        said = Signal()
        m.d.comb += [
            begins.eq(choose | turn),
            here.eq(Mux(choose, primary, Mux(turn, s4_alternate, cursor))),
            start.eq(Mux(begins, here, home)),
        ]
        with m.If(step):
            m.d.comb += history.rd_addr.eq(here)
            m.d.sync += [home.eq(start), cursor.eq(Mux(here == newest, start, here + 1))]
        with m.If(choose | step | said):
            m.d.sync += [index.eq(Mux(choose, 1, index + 1)), parent.eq(Mux(begins, 0, index))]
        with m.If(choose):
            m.d.sync += [s4_alternate.eq(alternate), s4_forked.eq(forked), cut.eq(0)]

        # The base table's chain: while a node is offered, the table has said what comes behind it.
        saying = Signal()
        asking = Signal()
        ends = Signal()
        m.d.comb += [
            base.newer.eq(Mux(take | choosing | saying, base.token, recent[0])),
            base.pair.eq(take | choosing | saying | (count > 1)),
            base.older.eq(Mux(saying, word, Mux(take | choosing, recent[0], recent[1]))),
            base.look.eq(look | choose | asking),
            ends.eq((index == trunk) | ~base.hit),
            speaks.eq(self.base & known & ~s3_hit[1:].any()),
        ]
        with m.If(take):
            m.d.sync += known.eq(base.hit)
        with m.If(take | said):
            m.d.sync += word.eq(base.token)

        m.d.comb += self.busy.eq(dirty | sweeping | self.settling)

        def abandon():
            """Leave a proposal of the text before."""
            with m.If(dirty):
                m.next = "IDLE"

        with m.FSM(name="work"):
            with m.State("IDLE"):
                with m.If(dirty):
                    m.d.sync += [dirty.eq(self.clear), at.eq(0), sweep.eq(0)]
                    m.next = "SWEEP"
                with m.Elif(self.settling):
                    m.next = "AIM"
                with m.Elif(self.propose | waiting):
                    m.d.sync += waiting.eq(0)
                    m.next = "LOOK"
            with m.State("SWEEP"):
                m.d.comb += sweeping.eq(1)
                m.d.sync += sweep.eq(sweep + 1)
                with m.If(sweep.all()):
                    m.next = "IDLE"
            with m.State("AIM"):
                m.d.comb += inserting.eq(1)
                m.next = "READ"
            with m.State("READ"):
                m.d.comb += [inserting.eq(1), look.eq(1)]
                m.next = "TAKE"
            with m.State("TAKE"):
                m.d.comb += [inserting.eq(1), take.eq(1)]
                m.next = "COMPARE"
            with m.State("COMPARE"):  # the next position's keys are ready when this one has been written
                m.d.comb += inserting.eq(1)
                m.d.sync += Cat(past).eq(Cat(s3_token, *past[:-1]))
                m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += [inserting.eq(1), write.eq(1)]
                m.d.sync += at.eq(at + 1)
                m.next = "READ"
                with m.If(dirty | (at + 1 == goal)):
                    m.next = "IDLE"
            with m.State("LOOK"):
                m.d.comb += look.eq(1)
                m.next = "MATCH"
                abandon()
            with m.State("MATCH"):
                m.d.comb += take.eq(1)
                m.next = "CHOOSE"
                abandon()
            with m.State("CHOOSE"):
                m.d.comb += [choosing.eq(1), choose.eq(self.sure | (self.want != 0))]
                with m.If(speaks & (self.want != 0)):
                    m.next = "SAY"
                with m.Elif(s3_hit.any() & (self.want != 0)):
                    m.d.comb += step.eq(1)
                    m.next = "OFFER"
                with m.Elif(self.sure):
                    m.d.comb += self.none.eq(1)
                    m.next = "IDLE"
                abandon()
            with m.State("SAY"):
                last = ends & (trunk == nodes)
                m.d.comb += [
                    saying.eq(1),
                    self.node.valid.eq(self.sure | certain & base.hit),
                    self.node.payload.token.eq(word),
                    self.node.payload.last.eq(last),
                    turn.eq(ends),
                ]
                with m.If(self.node.valid & self.node.ready):
                    m.d.comb += [said.eq(~ends), step.eq(ends & ~last)]
                    m.next = "ASK"
                    with m.If(ends):  # the alternate keeps its length
                        m.d.sync += cut.eq(trunk - index)
                        m.next = "OFFER"
                    with m.If(last):
                        m.next = "IDLE"
                abandon()
            with m.State("ASK"):
                m.d.comb += asking.eq(1)
                m.next = "SAY"
                abandon()
            with m.State("OFFER"):
                m.d.comb += self.node.valid.eq(certain)
                with m.If(certain & self.node.ready):
                    m.d.comb += step.eq(~self.node.payload.last)
                    m.next = "OFFER"
                    with m.If(self.node.payload.last):
                        m.next = "IDLE"
                abandon()
        return m
