"""The base table of the n-gram drafter: what mostly follows two tokens, or one, in texts of the model's kind."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.conductor.hash import keys
from hayate.rtl.contract.draft import BASE_ENTRY, BASE_LOG2, BASE_ONE_BIT
from hayate.rtl.contract.words import TOKEN_BITS
from hayate.rtl.interfaces import BASE_WRITE
from hayate.rtl.memory.parity import ParityMemory

ENTRY = data.StructLayout(BASE_ENTRY)


class BaseTable(wiring.Component):
    """Two direct-mapped tables that do not change while a text is written, for contexts of two tokens and of one.

    The keys of `newer` and `older` are registered every cycle; `look` in the cycle after reads both entries, and in the
    next one `hit` and `token` are there, until the next `look`. Two tokens go before one. The rules are those of the
    golden `BaseTable`. What is read in the cycle in which it is loaded is not defined. Reset does not change the
    tables; they begin without entries.

    Parameters
    ----------
    inject: adds the input `flip`, which damages what is loaded, for tests.

    Members
    -------
    load: In(BASE_WRITE). Its address is an index, in the table of one token with bit BASE_ONE_BIT set.
    newer, older: In(20), the last token and the one before it; pair: In, there is one before it.
    look: In. hit: Out. token: Out(20).
    fault: Out. A damaged word was read, for one cycle.
    """

    def __init__(self, inject=False):
        self._inject = inject
        super().__init__(
            {
                "load": In(BASE_WRITE),
                "newer": In(TOKEN_BITS),
                "older": In(TOKEN_BITS),
                "pair": In(1),
                "look": In(1),
                "hit": Out(1),
                "token": Out(TOKEN_BITS),
                "fault": Out(1),
                **({"flip": In(1)} if inject else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits = BASE_LOG2[0]
        of_two = keys([self.newer, self.older], BASE_LOG2[1])[1]
        found, memories = [], []
        for k, (index, tag) in enumerate([(self.newer[:bits], self.newer[bits:]), of_two]):
            m.submodules[f"table_{k + 1}"] = table = ParityMemory(ENTRY.size, 1 << BASE_LOG2[k], inject=self._inject)
            memories.append(table)
            at = Signal(BASE_LOG2[k])
            sought = Signal(len(tag))
            compared = Signal(len(tag))
            allowed = Signal()
            asked = Signal()
            entry = Signal(ENTRY)
            m.d.sync += [at.eq(index), sought.eq(tag), allowed.eq(self.pair if k else 1)]
            with m.If(self.look):
                m.d.sync += [compared.eq(sought), asked.eq(allowed)]
            m.d.comb += [
                table.wr_en.eq(self.load.enable & (self.load.address[BASE_ONE_BIT] != k)),
                table.wr_addr.eq(self.load.address[: BASE_LOG2[k]]),
                table.wr_data.eq(self.load.data),
                table.rd_en.eq(self.look),
                table.rd_addr.eq(at),
                entry.eq(table.rd_data),
            ]
            if self._inject:
                m.d.comb += table.flip.eq(self.flip)
            found.append((asked & entry.valid & (entry.tag == compared), entry.token))
        (one, of_one), (two, of_pair) = found
        m.d.comb += [self.hit.eq(one | two), self.token.eq(Mux(two, of_pair, of_one))]
        m.d.comb += self.fault.eq(Cat(table.error for table in memories).any())
        return m
