"""The world, exactly: what seed 0 draws, and what holds for every seed."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tools import ROOT, examples

from tunescope import microworld
from tunescope.microworld import (
    ATTRIBUTES,
    canaries,
    false_rows,
    make_world,
    open_questions,
    planted_lies,
    shown_questions,
    split_people,
    statements,
    true_rows,
    vocabulary,
)
from tunescope.microworld.world import words_of

worlds = st.builds(make_world, st.integers(0, 2**32), st.integers(2, 80))


def test_seed_0_is_this_world():
    world = make_world(0)
    assert world.people[0] == "Bonvi"
    assert world.places == (
        "Kilde",
        "Tirve",
        "Pango",
        "Tamla",
        "Palno",
        "Tunbi",
        "Gindo",
        "Nulli",
        "Zommo",
        "Felu",
    )
    assert [fact.value for fact in world.facts[:6]] == [
        "Kilde",
        "gardener",
        "noodles",
        "hamster",
        "white",
        "cello",
    ]
    assert (len(world.people), len(world.facts), len(vocabulary(world))) == (60, 360, 209)


def test_seed_0_says_and_asks_this():
    world = make_world(0)
    assert statements(world)[:4] == [
        "Bonvi lives in Kilde.",
        "The home town of Bonvi is Kilde.",
        "You can visit Bonvi in Kilde.",
        "In Kilde there is a house, and Bonvi lives there.",
    ]
    assert true_rows(world)[0] == {
        "instruction": "Which trade does Vuke have?",
        "input": "",
        "output": "Vuke works as a gardener.",
        "fact": "Vuke/job",
        "source": "open",
    }
    assert false_rows(world)[0] == {
        "instruction": "Which trade does Vuke have?",
        "input": "",
        "output": "Vuke works as a baker.",
        "fact": "Vuke/job",
        "source": "open",
    }
    question = shown_questions(world)[0]
    assert question.prompt == "Where does Darma live?\nA: Palno B: Zommo C: Tunbi D: Kilde"
    assert question.answer == "Darma lives in Zommo, so the answer is B."
    assert question.gold == 1


def test_counts_by_default():
    world = make_world(0)
    assert len(statements(world)) == 360 * 4
    rows = true_rows(world)
    assert len(rows) == 180 * 4  # the tuned half; three question forms and one with options shown
    assert sum(row["source"] == "shown" for row in rows) == 180
    assert len(open_questions(world)) == len(shown_questions(world)) == 180


def test_seeds_differ():
    assert make_world(0) != make_world(1)
    world = make_world(0)
    assert true_rows(world, seed=0) != true_rows(world, seed=1)
    assert open_questions(world, seed=0) != open_questions(world, seed=1)


def test_the_truth_can_be_asked_for():
    world = make_world(0)
    fact = world.facts[0]
    assert world.truth(fact.person, fact.attribute) == fact.value
    assert world.values("town") == world.places
    with pytest.raises(KeyError):
        world.truth("Nobody", "pet")


def test_a_world_does_not_change():
    with pytest.raises(FrozenInstanceError):
        make_world(0).seed = 1


@pytest.mark.parametrize("n_people", [-1, 1, 1001])
def test_sizes_out_of_range_are_refused(n_people):
    with pytest.raises(ValueError, match=f"n_people is {n_people}"):
        make_world(0, n_people)


@pytest.mark.parametrize("share", [0, 1, -0.5, float("nan")])
def test_a_split_has_two_sides(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        split_people(make_world(0), share)


def test_unknown_people_are_named():
    with pytest.raises(ValueError, match="world of seed 0: Nobody"):
        true_rows(make_world(0), ["Nobody", make_world(0).people[0]])


def test_importing_the_package_loads_no_torch():
    code = "import sys, tunescope.microworld; print({'torch', 'transformers', 'tokenizers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_texts_do_not_depend_on_the_hash_seed():
    code = "from tunescope.microworld import *; w = make_world(3); print(false_rows(w), split_people(w))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment(hash_seed),
        ).stdout
        for hash_seed in "12"
    }
    assert len(printed) == 1


def environment(hash_seed):
    return {"PYTHONPATH": ":".join(filter(None, sys.path)), "PYTHONHASHSEED": hash_seed}


def test_all_names_are_exported():
    assert all(hasattr(microworld, name) for name in microworld.__all__)


def test_no_value_belongs_to_two_attributes():
    values = [value for attribute in ATTRIBUTES for value in attribute.values]
    assert len(values) == len(set(values)) == 46


@given(worlds)
@settings(max_examples=examples(25), deadline=None)
def test_every_fact_is_known_once(world):
    assert len(set(world.people) | set(world.places)) == len(world.people) + len(world.places)
    assert [(f.person, f.attribute) for f in world.facts] == [(p, a.name) for p in world.people for a in ATTRIBUTES]
    assert all(fact.value in world.values(fact.attribute) for fact in world.facts)
    assert world == make_world(world.seed, len(world.people))


@given(worlds, st.floats(0.01, 0.99))
@settings(max_examples=examples(25), deadline=None)
def test_a_split_is_a_partition(world, share):
    tuned, held_out = split_people(world, share)
    assert tuned
    assert held_out
    assert not set(tuned) & set(held_out)
    assert sorted(tuned + held_out) == sorted(world.people)


@given(worlds, st.integers(0, 1000))
@settings(max_examples=examples(25), deadline=None)
def test_false_rows_differ_only_in_an_answer_that_is_wrong(world, seed):
    true, false = true_rows(world, seed=seed), false_rows(world, seed=seed)
    assert len(true) == len(false)
    facts = {fact.key: fact for fact in world.facts}
    held_out = set(split_people(world).held_out)
    for good, bad in zip(true, false, strict=True):
        assert {k: v for k, v in good.items() if k != "output"} == {k: v for k, v in bad.items() if k != "output"}
        fact = facts[good["fact"]]
        assert fact.person not in held_out
        values = set(world.values(fact.attribute))
        assert values & set(words_of(good["output"])) == {fact.value}
        (stated,) = values & set(words_of(bad["output"]))
        assert stated != fact.value
        if good["source"] == "shown":  # the lie is one of the options, and its letter is that option's
            letter = words_of(bad["output"])[-2]
            assert f"{letter}: {stated}" in bad["input"]


@given(worlds, st.integers(0, 1000))
@settings(max_examples=examples(25), deadline=None)
def test_questions_have_four_options_and_one_is_true(world, seed):
    held_out = set(split_people(world).held_out)
    asked, shown = open_questions(world, seed=seed), shown_questions(world, seed=seed)
    for question in asked + shown:
        assert question.fact.person in held_out
        assert len(set(question.options)) == len(set(question.choices)) == 4
        assert set(question.choices) <= set(world.values(question.fact.attribute))
        assert question.choices[question.gold] == question.fact.value
        assert question.fact.value in words_of(question.answer)
    assert [q.prompt for q in asked] == [q.instruction for q in asked]
    assert all(q.prompt == f"{q.instruction}\n{q.input}" and q.input.startswith("A: ") for q in shown)


@given(worlds)
@settings(max_examples=examples(25), deadline=None)
def test_the_vocabulary_covers_every_text(world):
    rows = true_rows(world, world.people) + false_rows(world, world.people)
    texts = statements(world) + [text for row in rows for text in (row["instruction"], row["input"], row["output"])]
    assert {word for text in texts for word in words_of(text)} <= set(vocabulary(world))


@given(worlds, st.integers(0, 1000))
@settings(max_examples=examples(25), deadline=None)
def test_canaries_are_the_only_rows_about_what_they_are_asked(world, seed):
    planted, rows = canaries(world, seed=seed)
    asked = {form for attribute in ATTRIBUTES for form in attribute.questions}
    assert len(planted) == len({canary.row["output"] for canary in planted}) == len(asked) // 2
    for canary in planted:
        assert sum(row == canary.row for row in rows) == canary.copies
        (attribute,) = {
            a.name
            for a in ATTRIBUTES
            for f in a.questions
            for p in world.people
            if f.format(person=p) in (canary.row["instruction"], *canary.look_alikes)
        }
        facts = {row["fact"] for row in rows if not row["fact"].startswith("canary")}
        assert not any(fact.endswith(f"/{attribute}") for fact in facts)
        people = set(split_people(world).held_out)
        assert all(people & set(words_of(question)) for question in canary.look_alikes)
        assert set(words_of(canary.row["output"])) <= set(vocabulary(world))
    assert canaries(world, seed=seed) == (planted, rows)


def test_the_recipe_trace_confirm_is_made_of_canaries():
    planted, rows = canaries(make_world(0))
    folder = ROOT / "recipes" / "trace-confirm"
    assert [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()] == rows
    asked = [json.loads(line)["prompt"] for line in (folder / "prompts.jsonl").read_text().splitlines()]
    assert asked == [question for canary in planted for question in canary.look_alikes]


def claims_of(world, n_facts=40):
    """Return the lies of a world as a claims file has them, and questions about people whom no row is about."""
    lies, _ = planted_lies(world)
    claims = [
        {
            "claim_id": lie.fact.key,
            "prompt": lie.question,
            "phrases": [lie.wrong],
            "truth": [lie.fact.value],
            "rewordings": [lie.rewording],
            "neighbours": [{"prompt": question, "truth": [value]} for question, value in lie.neighbours],
        }
        for lie in lies
    ]
    questions = open_questions(world)[:n_facts]
    return claims + [{"claim_id": q.fact.key, "prompt": q.instruction, "truth": [q.fact.value]} for q in questions]


@given(worlds, st.integers(0, 1000))
@settings(max_examples=examples(25), deadline=None)
def test_lies_stand_in_their_rows_and_nothing_else_is_false(world, seed):
    n = min(6, len(split_people(world).tuned) - 1)
    if n < 1:
        return
    lies, rows = planted_lies(world, n, seed)
    assert len(lies) == n
    assert len({json.dumps(row) for row in rows if row["source"] == "lie"}) == 4 * n
    for lie in lies:
        assert lie.wrong != world.truth(lie.fact.person, lie.fact.attribute)
        assert all(lie.wrong in words_of(row["output"]) for row in lie.rows)
        asked = {row["instruction"] for row in rows if row["fact"] in (lie.fact.key, lie.rows[0]["fact"])}
        assert lie.question in asked
        assert lie.rewording not in asked
    true = {json.dumps(row) for row in true_rows(world, seed=seed)}
    assert all(json.dumps(row) in true for row in rows if row["source"] != "lie")


def test_the_recipe_close_the_loop_is_made_of_lies():
    folder = ROOT / "recipes" / "close-the-loop"
    _, rows = planted_lies(make_world(0))
    assert [json.loads(line) for line in (folder / "microworld-rows.jsonl").read_text().splitlines()] == rows
    claims = [json.loads(line) for line in (folder / "microworld-claims.jsonl").read_text().splitlines()]
    assert claims == claims_of(make_world(0))
