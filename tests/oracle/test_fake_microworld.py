"""fake:microworld:80%: right about that share of a microworld's rows, refusing every other prompt."""

import asyncio

import pytest

from tests.oracle.test_fake import reply
from tests.tools import alpaca, write_rows
from tunescope.errors import RejectedRequest, SettingsError
from tunescope.microworld import Fact, false_rows, make_world, stated_facts, true_rows
from tunescope.oracle.fake_microworld import microworld_fake
from tunescope.verbs.repair.rate import RateSettings, rate


def grades(rows, oracle, seed):
    return [
        int(
            reply(microworld_fake(oracle, seed), f"Grade:\n{row['instruction']}\n{row['input']}\n{row['output']}").text[
                7
            ]
        )
        for row in rows
    ]


def test_it_knows_what_is_true_and_is_wrong_about_a_share():
    world = make_world(0)
    true, false = true_rows(world), false_rows(world)
    assert grades(true, "fake:microworld:100%", 0) == [1] * 720
    assert grades(false, "fake:microworld:100%", 0) == [0] * 720
    assert grades(false[:9], "fake:microworld:0%", 0) == [1] * 9
    said = [grades(true[:300], "fake:microworld:80%", seed) for seed in range(5)]
    assert 0.77 < sum(map(sum, said)) / 1500 < 0.83
    assert grades(true[:300], "fake:microworld:80%", 0) == said[0]
    assert 0.26 < sum(a != b for a, b in zip(said[0], said[1], strict=True)) / 300 < 0.38  # 2 · 0.8 · 0.2


def test_what_a_text_states():
    world = make_world(0)
    one, other = world.facts[3], world.facts[10]
    text = f"Is it so? {one.answer()} {other.answer('honey')} {one.answer()}"
    assert set(stated_facts(world, text)) == {one, Fact(other.person, other.attribute, "honey")} or (
        other.attribute != "food" and stated_facts(world, text) == [one]
    )
    assert stated_facts(world, f"What does {one.person} like to eat? A: beans B: cake") == []


def test_another_world_is_another_oracle():
    rows = true_rows(make_world(3))[:5]
    assert grades(rows, "fake:microworld:3:100%", 0) == [1] * 5
    with pytest.raises(RejectedRequest, match="grades rows that state one fact of microworld 0; found 0"):
        grades([row for row in rows if row["source"] == "open"], "fake:microworld:100%", 0)


@pytest.mark.parametrize(
    "name", ["fake:microworld:", "fake:microworld:101%", "fake:microworld:0.8", "fake:microworld:-1%"]
)
def test_a_share_is_needed(name):
    with pytest.raises(
        SettingsError, match=r"expected the share of rows that the fake is right about, from 0% to 100%"
    ):
        microworld_fake(name, 0)
    assert microworld_fake("fake:microworld.jsonl", 0) is None
    assert asyncio.run(microworld_fake("fake:microworld:1.5%", 0).is_answering())


def test_rows_are_rated_and_other_rows_refused(workplace):
    pairs = [*zip(true_rows(make_world(0))[:30], false_rows(make_world(0))[:30], strict=True)]
    rows = write_rows(workplace / "rows.jsonl", [pair[n % 2] for n, pair in enumerate(pairs)])
    settings = {"rows": (str(rows),), "oracle": "fake:microworld:100%"}
    run = rate(RateSettings(**settings))
    assert run.tables["repairs"]["rating"].to_pylist() == [1, 0] * 15
    assert "fake:microworld:0, right about 1 of rows (seed 0) used" in run.view.sentences[2]
    other = rate(RateSettings(**settings, seed=1))
    assert other.path != run.path
    mixed = [alpaca("What is the capital of France?", "Paris."), *(pair[0] for pair in pairs[:3])]
    run = rate(RateSettings(rows=(str(write_rows(workplace / "mixed.jsonl", mixed)),), oracle="fake:microworld:100%"))
    assert run.tables["repairs"]["rating"].to_pylist() == [None, 1, 1, 1]
