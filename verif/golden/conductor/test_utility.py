"""Golden utility control: the choice against fractions, what it learns, and what a drafter that is never right
costs.
"""

import random
from fractions import Fraction

import pytest

from hayate.golden.conductor.utility import Utility, toward
from hayate.rtl.contract.draft import COST_UNIT, FIRST_CHANCE, MORE_CHANCE, OWN_CHANCE, RETRY_MOST, RETRY_PASSES

COSTS = [256, 269, 282, 294, 307, 320, 333, 346]  # 15 % more for four nodes


def table(r):
    """Costs that rise, with steps as attention rounds make them."""
    costs, step = [COST_UNIT], r.choice([0, 1, 5, 13, 60, 256])
    while len(costs) < 8:
        costs.append(min(costs[-1] + r.choice([0, step, r.randint(0, step)]), (1 << 16) - 1))
    return costs


def test_the_choice_is_the_best_quotient():
    r, chosen = random.Random(1), set()
    for _ in range(3000):
        costs, draft_cost = table(r), r.choice([0, 0, r.randrange(1, 300)])
        utility, room = Utility(costs, draft_cost), r.randint(1, 7)
        utility.first, utility.more = r.randrange(1 << 16), r.choice([r.randrange(1 << 16), (1 << 16) - 1, 0])
        a, b = utility.first >> 8, utility.more >> 8
        terms = [a]
        while len(terms) < room:
            terms.append(terms[-1] * b // 256)
        quotients = [Fraction(256 + sum(terms[:n]), costs[n] + n * draft_cost) for n in range(room + 1)]
        best = quotients.index(max(quotients))  # the first of equal ones
        assert utility.plan(room) == (best, not best and not draft_cost)
        chosen.add(best)
    assert chosen == set(range(8))


def test_equal_quotients_go_to_fewer_nodes():
    utility = Utility([256, 384, 512, 640, 768, 896, 1024, 1152])
    utility.first, utility.more = 128 << 8, 0
    assert utility.plan(7) == (0, True)
    utility.first = 129 << 8
    assert utility.plan(7) == (1, False)


def test_no_room():
    for draft_cost in (0, 100):
        utility = Utility(COSTS, draft_cost)
        utility.first, utility.idle = 0, 5
        assert utility.plan(0) == (0, False) and utility.idle == 5


@pytest.mark.parametrize("shift", [1, 3, 5])
def test_chances_stay_within_their_bits(shift):
    for start in (0, 1, 1 << 15, (1 << 16) - 1):
        up = down = start
        for _ in range(16 << shift):
            assert toward(up, True, shift) >= up and toward(down, False, shift) <= down
            up, down = toward(up, True, shift), toward(down, False, shift)
        assert up >> 8 == 255 and down >> 8 == 0
        assert toward(start, True, shift) == (1 << 16) - 1 - toward((1 << 16) - 1 - start, False, shift)


def test_what_a_pass_teaches():
    up, down = (FIRST_CHANCE + ((1 << 16) - 1 - FIRST_CHANCE >> 3)), FIRST_CHANCE - (FIRST_CHANCE >> 3)
    doubt, longer, shorter = (toward(MORE_CHANCE, right, shift) for right, shift in ((True, 6), (True, 3), (False, 3)))
    for proposed, accepted, first, more in [
        (0, 0, FIRST_CHANCE, MORE_CHANCE),
        (3, 0, down, MORE_CHANCE),
        (1, 0, down, MORE_CHANCE),
        (1, 1, up, doubt),
        (2, 1, up, shorter),
        (2, 2, up, longer),
        (3, 2, up, longer - (longer >> 3)),
        (7, 1, up, shorter),
    ]:
        utility = Utility(COSTS)
        utility.learn(proposed, accepted)
        assert (utility.first, utility.more) == (first, more), (proposed, accepted)
        utility.begin()
        assert (utility.first, utility.more, utility.idle) == (FIRST_CHANCE, MORE_CHANCE, 0)
    utility = Utility(COSTS)
    utility.score(True)
    assert (utility.first, utility.more) == (up, MORE_CHANCE)
    utility.score(False)
    assert (utility.first, utility.more) == (up - (up >> 3), MORE_CHANCE)
    assert Utility(COSTS, 1).first == OWN_CHANCE


def test_chances_approach_what_happens():
    """Of chains of seven that go on with a chance of one half, the averages stay near it; `more` is looked at where a
    chain broke.
    """
    r, utility, seen = random.Random(2), Utility(COSTS), []
    for _ in range(4000):
        accepted = next((k for k in range(7) if r.random() < 0.5), 7)
        utility.learn(7, accepted)
        seen.append((utility.first, utility.more))
    first, more = (sum(chance) / len(chance) / (1 << 16) for chance in zip(*seen[100:]))
    assert abs(first - 0.5) < 0.02 and 0.5 - 1 / 8 < more < 0.5


def run(draft_cost, right, passes):
    """Chosen nodes of each pass, and the cost of all in passes with one node, with a chain whose node k is right if
    right(pass, k).
    """
    utility, chosen, cost = Utility(COSTS, draft_cost), [], 0
    for p in range(passes):
        nodes, shadow = utility.plan(3)
        if shadow:
            utility.score(right(p, 1))
        else:
            utility.learn(nodes, next((k for k in range(nodes) if not right(p, k + 1)), nodes))
        chosen.append(nodes)
        cost += COSTS[nodes] + nodes * draft_cost
    return chosen, Fraction(cost, COST_UNIT)


def test_a_drafter_that_is_never_right_is_switched_off():
    """Within 64 passes, and 256 tokens take less than 2 % more, where four nodes cost 15 % more than one."""
    chosen, cost = run(0, lambda p, k: False, 256)
    assert chosen[0] == 3 and chosen == sorted(chosen, reverse=True)
    off = chosen.index(0)
    print(f"off after {off} passes, {float(cost / 256 - 1):.2%} of the cycles lost")
    assert off <= 64 and cost < 256 * Fraction(102, 100)


def test_it_is_trusted_again():
    chosen, _ = run(0, lambda p, k: 100 <= p < 110, 200)
    assert chosen[99] == 0 and chosen[109] == 3 and chosen[199] == 0
    assert chosen[100] == 0 < max(chosen[101:104])


def test_a_first_node_alone():
    """Where the second node is never right, one is drafted, now and then two; where it is again, so are chains."""
    chosen, _ = run(0, lambda p, k: k == 1 or p >= 300, 320)
    assert set(chosen[100:300]) == {1, 2} and chosen[100:300].count(1) > 80
    assert chosen[319] == 3


def test_nested():
    """One that drafts with passes of its own: off when it is wrong, then a node after 32 passes, 64, 128; and back when
    these are right.
    """
    chosen, cost = run(136, lambda p, k: False, 256)
    print(f"off after {chosen.index(0)} passes, {float(cost / 256 - 1):.2%} of the cycles lost")
    assert chosen[0] > 0 and chosen.index(0) <= 8
    tries = [p for p, nodes in enumerate(chosen) if nodes and p > chosen.index(0)]
    first = chosen.index(0) + RETRY_PASSES - 1
    assert tries == [first, first + 2 * RETRY_PASSES, first + 6 * RETRY_PASSES] and {chosen[p] for p in tries} == {1}
    assert cost < 256 * Fraction(102, 100)
    chosen, _ = run(136, lambda p, k: p >= 256, 600)
    tries = [p for p, nodes in enumerate(chosen) if nodes and p > 256]
    assert tries[0] == first + 6 * RETRY_PASSES + RETRY_MOST and tries[1] == tries[0] + RETRY_PASSES and chosen[-1] == 3


@pytest.mark.parametrize("draft_cost", [0, 136])
def test_one_that_is_always_right_drafts_all(draft_cost):
    chosen, _ = run(draft_cost, lambda p, k: True, 50)
    assert 0 < chosen[0] and set(chosen[40:]) == {3} and chosen == sorted(chosen)


def test_misuse():
    with pytest.raises(ValueError, match="are not 8 costs of 16 bits"):
        Utility(COSTS[:4])
    with pytest.raises(ValueError, match="are not 8 costs of 16 bits"):
        Utility([256, 0, *COSTS[2:]])
    with pytest.raises(ValueError, match="a draft's cost has 12 bits, not 4096"):
        Utility(COSTS, 4096)
