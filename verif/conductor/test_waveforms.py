"""The waveforms in docstrings of the conductor's blocks are what the blocks do."""

import pytest

from hayate.rtl.conductor.candidates import Candidates
from hayate.rtl.conductor.conductor import Conductor
from hayate.rtl.conductor.feeder import Feeder
from hayate.rtl.conductor.governor import Governor, _Verdict
from hayate.rtl.conductor.ngram import NgramDrafter
from hayate.rtl.conductor.pass_sender import PassSender
from hayate.rtl.conductor.planner import Planner
from hayate.rtl.conductor.token_output import TokenOutput
from hayate.rtl.conductor.utility import Utility
from hayate.rtl.conductor.verifier import Verifier
from hayate.rtl.contract.config import MAX_LANES
from hayate.rtl.contract.draft import Drafter
from hayate.rtl.contract.flits import CONDUCTOR, FlitKind
from hayate.rtl.contract.isa import Energy, PassWord
from hayate.rtl.contract.precision import SENS_BITS
from hayate.rtl.contract.words import CANDIDATE, ENERGY_ADDRESS
from hayate.verif.bench.waves import draw, ports, require_drawn, strobe


def candidates():
    """The second of two candidates for position 0 is the better one."""
    one, two = (CANDIDATE.pack(value=value, token=token) for value, token in ((0x3F800000, 5), (0x40000000, 6)))
    steps = strobe("valid", words=one) | {1: {"words": two}, 2: {"valid": 0}}
    rows = ports("valid", "s1_valid", "wins_0", "present", "known", "token", "second")
    return draw(Candidates(1), rows, steps, 5)


def conductor():
    """A prompt of a token, and two tokens that come of it."""
    request = {"tiles": 1, "prompt_length": 1, "vocabulary": 8, "ending.token_limit": 2, "ending.context_limit": 4}
    steps = strobe("control.start", **{"tables.prompt.enable": 0}) | {
        -1: {"tables.prompt.enable": 1, "ring.tx.ready": 1, "tokens.ready": 1}
        | {f"control.request.{name}": value for name, value in request.items()}
    }
    for answered in (7, 15):
        steps[answered] = {"ring.rx.valid": 1, "ring.rx.payload": {"kind": FlitKind.CAND, "mask": 1}}
        steps[answered + 1] = {"ring.rx.payload": {"kind": FlitKind.SYNC, "lo": CONDUCTOR}}
        steps[answered + 2] = {"ring.rx.valid": 0}
    rows = {
        **ports("control.start", "control.busy"),
        "state": "loop_state",
        **ports("ring.tx.valid", "ring.rx.valid", "verdict", "tokens.valid"),
    }
    sizes = {"lanes": 1, "prompt_depth": 4, "max_slots": 4, "ring_tiles": 1, "max_matrices": 0}
    return draw(Conductor(**sizes), rows, steps, 22, skip=1)


def feeder():
    """A pass over two of three positions."""
    steps = {n - 3: {"append": 1, "token": n, "position": n} for n in range(3)}
    steps |= strobe("start", append=0, goal=3) | {2: {"word.ready": 1}}
    return draw(Feeder(lanes=2, depth=4), ports("start", "active", "shown", "last", "count", "fed"), steps, 7, skip=3)


def pass_sender():
    """The message LANE, of two nodes, the second of which comes late."""
    steps = {
        0: {"go": 1, "message": PassWord.LANE, "count": 1, "more": 1, "tx.ready": 1},
        3: {"count": 2, "more": 0},
        5: {"go": 0},
    }
    return draw(PassSender(2), ports("go", "more", "short", "tx.valid", "place", "started", "done"), steps, 6)


def verifier():
    """The first of two nodes is right."""
    tree = {"tokens.1": 5, "tokens.2": 6, "parents.2": 1, "count": 3}
    steps = {
        -1: {**tree, "emit.ready": 1},
        0: {"start": 1, "choice": 5},
        1: {"start": 0, "choice": 7},
    }
    rows = ports("start", "emit.valid", "emit.payload", "step", "over", "accepted", "done")
    return draw(Verifier(4), rows, steps, 5, skip=1)


def ngram():
    """A token is learned, and what followed the last one is proposed."""
    steps = {
        -12: {"clear": 1, "node.ready": 1, "want": 2, "sure": 1},
        -11: {"clear": 0, "append": 1, "token": 5, "settle": 1},
        -10: {"append": 0, "settle": 0},
        -1: {"append": 1, "token": 6, "position": 1},
        0: {"settle": 1, "append": 0},
        1: {"settle": 0, "append": 1, "token": 5, "position": 2},
        2: {"append": 0, "propose": 1},
        3: {"propose": 0},
    }
    rows = {
        **ports("settle", "append", "propose", "settling", "waiting"),
        "state": "work_state",
        "node.valid": "node.valid",
    }
    return draw(NgramDrafter(lanes=4, size_log2=1, depth=4), rows, steps, 14, width=5, skip=12)


def planner():
    """Two nodes are planned, and each is drafted by a pass."""
    costs = {f"draft.costs.{n}": 256 for n in range(MAX_LANES)}
    steps = strobe("verified", room=2) | {
        -1: {"draft.drafter": Drafter.NESTED, "draft.control": 1, "draft.cost": 1, **costs},
        6: {"root": 1},
        7: {"root": 0, "count": 1},
        9: {"grow": 1},
        10: {"grow": 0, "count": 2},
        12: {"grow": 1},
        13: {"grow": 0},
    }
    rows = ports("verified", "planning", "root", "drafting", "grow", "add")
    return draw(Planner(lanes=4, depth=4), rows, steps, 14, skip=1)


def utility():
    """A plan of two nodes, behind a pass that teaches."""
    costs = {f"costs.{n}": 256 for n in range(4)}
    steps = strobe("plan", learn=1, proposed=1, accepted=1) | {-1: {"room": 2, **costs}}
    steps[1]["learn"] = 0
    rows = ports("plan", "learn", "doubt", "step0", "going", "nodes", "done")
    return draw(Utility(4), rows, steps, 7, skip=1)


def token_output():
    """Two tokens, the second of which is the last."""
    limits = {"ending.token_limit": 2, "ending.context_limit": 9}
    steps = strobe("begins") | {-1: limits, 1: {"begins": 0, "emit.valid": 1}, 3: {"emit.valid": 0}}
    rows = ports("begins", "emit.valid", "first", "stop", "over", "level", "tokens.valid")
    return draw(TokenOutput(lanes=2, depth=4), rows, steps, 5, skip=1)


def walk():
    """The only matrix of a table, and a tile that answers."""
    answers = [{"kind": FlitKind.READ, "lo": CONDUCTOR, "addr": ENERGY_ADDRESS.pack(energy=1)}] * len(Energy)
    steps = strobe("start", count=1, **{"load.enable": 0, "ring.tx.ready": 1}) | {
        -2: {"load.enable": 1},
        -1: {"load.address": 1},
        **{6 + n: {"ring.rx.valid": 1, "ring.rx.payload": answer} for n, answer in enumerate(answers)},
        6 + len(answers): {"ring.rx.valid": 0},
    }
    rows = {
        "start": "start",
        "state": "walk_state",
        **ports("questions", "ring.tx.valid", "ring.rx.valid", "missing", "busy"),
    }
    cycles = [*range(13), *range(SENS_BITS + 12, SENS_BITS + 17)]
    return draw(Governor(tiles=1, matrices=1), rows, steps, cycles, width=5, skip=2)


def rule():
    """A decision that is told 2 cycles after it was made."""
    steps = strobe("start") | {SENS_BITS + 5: {"taken": 1}, SENS_BITS + 6: {"taken": 0}}
    rows = {"start": "start", "state": "rule_state", **ports("store", "store_kind", "ready", "taken", "busy")}
    return draw(_Verdict(), rows, steps, [*range(6), *range(SENS_BITS, SENS_BITS + 7)], width=6)


WAVEFORMS = {
    "candidates": (Candidates, candidates),
    "conductor": (Conductor, conductor),
    "feeder": (Feeder, feeder),
    "pass_sender": (PassSender, pass_sender),
    "verifier": (Verifier, verifier),
    "ngram": (NgramDrafter, ngram),
    "planner": (Planner, planner),
    "utility": (Utility, utility),
    "token_output": (TokenOutput, token_output),
    "walk": (Governor, walk),
    "rule": (_Verdict, rule),
}


@pytest.mark.parametrize("name", WAVEFORMS)
def test_a_waveform_is_what_the_block_does(name):
    documented, drawing = WAVEFORMS[name]
    require_drawn(documented, drawing())
