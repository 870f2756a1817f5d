"""Who sees what: counted by hand on small plans, and by rules on many."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import combinations, product

import pytest

from tunescope.errors import SettingsError
from tunescope.results.annotate import ShownAnswer, StudyItem
from tunescope.verbs.annotate.assigning import StudyDesign, assign, planned_overlap, shared_items


def items(n):
    answer = ShownAnswer(answer_id="a", system="m", text="t")
    return [StudyItem(item_id=str(i), kind="spans", prompt_id="p", prompt="q", answers=(answer,)) for i in range(n)]


def design(n=2, pilot=0, groups=1, each=1, sides=False, seed=0):
    return StudyDesign(tuple(f"A{i}" for i in range(1, n + 1)), pilot, groups, each, sides, seed)


def test_the_limitations_papers_plan():
    """Appendix D.2: 4 groups of 200, a pilot of 50, 2 groups for each of 4."""
    plan = assign(design(4, 50, 4, 2), items(850))
    assert Counter(each.annotator for each in plan) == {f"A{i}": 450 for i in range(1, 5)}
    pilot = defaultdict(set)
    groups = defaultdict(set)
    for each in plan:
        (pilot if each.phase == "pilot" else groups)[each.annotator, each.group].add(each.item_id)
    assert [len(found) for found in pilot.values()] == [50] * 4
    assert len({frozenset(found) for found in pilot.values()}) == 1
    assert [len(found) for found in groups.values()] == [200] * 8
    assert len({frozenset(found) for found in groups.values()}) == 4
    assert planned_overlap(plan, 4) == [0, 0, 800, 0, 0]
    assert sorted(shared_items(plan).values()) == [0, 0, 200, 200, 200, 200]


@pytest.mark.parametrize("sides", [False, True])
def test_every_plan_keeps_its_rules(sides):
    for n, groups, each, pilot, seed in product((1, 2, 3, 5), (1, 2, 3, 4, 7), (1, 2, 3), (0, 3), (0, 1)):
        if each > groups or n * each < groups:
            continue
        shown = items(pilot + 2 * groups + 1)
        plan = assign(design(n, pilot, groups, each, sides, seed), shown)
        by_annotator = defaultdict(list)
        for assignment in plan:
            by_annotator[assignment.annotator].append(assignment)
        members = {a.group: set() for a in plan if a.phase == "main"}
        for a in plan:
            if a.phase == "main":
                members[a.group].add(a.item_id)
        main = set().union(*members.values())
        pilots = {frozenset(a.item_id for a in mine if a.phase == "pilot") for mine in by_annotator.values()}
        assert len(pilots) == 1
        assert len(next(iter(pilots))) == pilot
        assert main | next(iter(pilots)) == {item.item_id for item in shown}
        assert not main & next(iter(pilots))
        assert sum(map(len, members.values())) == len(main)
        assert {len(found) for found in members.values()} <= {2, 3}
        seen = Counter((a.annotator, a.group) for a in plan if a.phase == "main")
        coverage = Counter(group for _, group in seen)
        assert sorted(coverage) == list(range(1, groups + 1))
        assert max(coverage.values()) - min(coverage.values()) <= 1
        for mine in by_annotator.values():
            assert [a.place for a in mine] == list(range(len(mine)))
            assert [a.phase for a in mine] == ["pilot"] * pilot + ["main"] * (len(mine) - pilot)
            assert len({a.item_id for a in mine}) == len(mine)
            assert len({a.group for a in mine if a.phase == "main"}) == each
            for phase in ("pilot", "main"):
                part = [a.swapped for a in mine if a.phase == phase]
                assert abs(2 * sum(part) - len(part)) <= 1 if sides else not any(part)
        counts = Counter(a.item_id for a in plan if a.phase == "main")
        assert planned_overlap(plan, n) == [sum(counts[i] == k for i in main) for k in range(n + 1)]
        sets = {name: {a.item_id for a in mine if a.phase == "main"} for name, mine in by_annotator.items()}
        assert shared_items(plan) == {(a, b): len(sets[a] & sets[b]) for a, b in combinations(by_annotator, 2)}


def test_the_seed_decides_all_and_orders_are_each_annotators_own():
    one, again, other = (assign(design(3, 2, 2, 2, True, seed), items(30)) for seed in (4, 4, 5))
    assert one == again
    assert one != other
    orders = [[each.item_id for each in one if each.annotator == name] for name in ("A1", "A2", "A3")]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert len({tuple(order) for order in orders}) == 3
    swaps = [{each.item_id for each in one if each.annotator == name and each.swapped} for name in ("A1", "A2", "A3")]
    assert len({frozenset(each) for each in swaps}) == 3


def test_plans_that_leave_items_unseen_are_refused():
    with pytest.raises(SettingsError, match=r"^--groups-each 3: found 2 groups; expected at most as many$"):
        assign(design(2, 0, 2, 3), items(9))
    expected = r"see 2 of 4 groups; .* give --groups-each 2, or --annotators 4$"
    with pytest.raises(SettingsError, match=expected):
        assign(design(2, 0, 4, 1), items(9))
    with pytest.raises(SettingsError, match=r"^found 9 items; expected at least 10: --pilot 8, and one for each of"):
        assign(design(2, 8, 2, 1), items(9))
