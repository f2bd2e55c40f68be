"""Drawings show what a component does, and nothing that only looks like it."""

import pytest
from amaranth.hdl import Fragment, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.verif.bench.waves import blank, draw, ports, require_drawn, strobe


class Walk(wiring.Component):
    """Goes away for four cycles behind `start`.

    ::

        cycle  0    1    2    : 4    5
        start  ~~~~~__________: __________
        state  HOME.AWAY......: .....HOME.
        steps  0.........1....: 3....0....
        busy   _____~~~~~~~~~~: ~~~~~_____
    """

    start: In(1)
    steps: Out(2)
    busy: Out(1)

    def elaborate(self, platform):
        m = Module()
        for part in "ab":
            same = Signal(name="same")
            m.d.sync += same.eq(~same)
            m.d.comb += Signal(name=f"only_{part}").eq(same)
        with m.FSM(name="walk"):
            with m.State("HOME"):
                m.d.sync += self.steps.eq(0)
                with m.If(self.start):
                    m.next = "AWAY"
            with m.State("AWAY"):
                m.d.comb += self.busy.eq(1)
                m.d.sync += self.steps.eq(self.steps + 1)
                with m.If(self.steps == 3):
                    m.next = "HOME"
        return m


ROWS = {"start": "start", "state": "walk_state", **ports("steps", "busy")}


def test_a_drawing_leaves_cycles_out_and_shows_states():
    require_drawn(Walk, draw(Walk(), ROWS, strobe("start"), [0, 1, 2, 4, 5], width=5))


def test_what_a_docstring_lacks_is_shown():
    drawing = draw(Walk(), ROWS, {}, 2)
    with pytest.raises(AssertionError, match="Walk's docstring lacks\n\n    cycle  0   1"):
        require_drawn(Walk, drawing)


def test_cycles_before_the_first_are_not_drawn():
    steps = {-1: {"start": 1}, 0: {"start": 0}}
    assert draw(Walk(), ports("busy"), steps, 5, skip=1).endswith("busy   ~~~~~~~~~~~~~~~~____")


def test_a_row_that_could_be_several_signals_is_refused():
    assert draw(Walk(), ports("only_a"), {}, 2).endswith("____~~~~")
    with pytest.raises(ValueError, match="row: 2 signals are called 'same'"):
        draw(Walk(), {"row": "same"}, {}, 1)
    with pytest.raises(ValueError, match="row: 0 signals are called 'other'"):
        draw(Walk(), {"row": "other"}, {}, 1)


def test_a_blank_component_has_the_ports_and_does_nothing():
    part = blank(Walk)()
    assert set(part.signature.members) == {"start", "steps", "busy"}
    assert not Fragment.get(part, None).statements
