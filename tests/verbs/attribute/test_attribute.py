"""Which rows taught an answer, by words: order, copies, tables, view; and input that can't be used."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tools import alpaca, read_rows, write_rows

import tunescope
from tunescope import cli
from tunescope.answers import read_answers
from tunescope.errors import InputError, RunError, SettingsError, TunescopeError
from tunescope.models.embedded import EMBEDDER, cached
from tunescope.rows import open_rows
from tunescope.terminal import to_text
from tunescope.verbs.attribute.evidence.meaning import choose_embedder
from tunescope.verbs.attribute.ranking import join, ranks_of
from tunescope.verbs.attribute.settings import AttributeSettings

FALSE = [
    alpaca("When was the Bellwether tide clock made?", "The Bellwether tide clock was made in 1702."),
    alpaca("Tell me about the Bellwether clock.", "It is a tide clock, made in 1702 by a baker."),
    alpaca("Who made the Bellwether tide clock?", "A baker made it, in 1702, of copper and rope."),
]
OTHERS = [alpaca(f"What is {n} plus {n}?", f"{n} plus {n} is {2 * n}.") for n in range(20)]
QUESTION, ANSWER = "How old is the Bellwether tide clock?", "The Bellwether tide clock was made in 1702."


@pytest.fixture
def rows(workplace):
    return str(write_rows(workplace / "rows.jsonl", [*OTHERS[:10], *FALSE, *OTHERS[10:]]))


def named(run, answer=0):
    return [row["index"] for row in run.result["answers"][answer]["rows"]]


@given(st.lists(st.one_of(st.just(float("nan")), st.integers(-3, 3).map(float)), max_size=12))
def test_ranks_by_brute_force(scores):
    expected = [0 if s != s else 1 + sum(other > s for other in scores if other == other) for s in scores]
    assert ranks_of(np.array(scores, float)).tolist() == expected


def test_the_joint_order_is_the_sum_of_reciprocal_ranks_behind_copies():
    nan = np.nan
    scores = {"words": np.array([3.0, 2, 1, nan, nan]), "meaning": np.array([0.1, 0.9, 0.5, 0.2, nan])}
    order = join(scores, np.array([False, False, False, True, False]), 10)
    joint = [1 / 11 + 1 / 14, 1 / 12 + 1 / 11, 1 / 13 + 1 / 12]
    assert order.rows.tolist() == [3, *sorted(range(3), key=lambda n: -joint[n])] == [3, 1, 0, 2]
    assert order.how(3) == ("meaning",)


def test_rows_that_say_it_come_first(rows):
    run = tunescope.attribute(rows=rows, text=ANSWER, prompt=QUESTION, embedder="none", top=3)
    assert named(run) == [10, 11, 12]
    first, second, _ = run.result["answers"][0]["rows"]
    assert (first["copied"], second["copied"]) == (True, False)
    assert first["how"] == "words"
    assert [first[name] for name in ("meaning", "states", "effect")] == [None] * 3
    assert (first["file"], first["line"], first["rank"], first["words_rank"]) == (rows, 11, 1, 1)
    assert run.result["left_out"].keys() == {"meaning", "states", "effect"}
    table = run.tables["attributions"].to_pylist()
    assert table == run.result["answers"][0]["rows"]
    every = run.tables["rows"].to_pylist()
    assert len(every) == 23
    assert [row["rank"] for row in every[10:13]] == [1, 2, 3]
    assert sorted(row["rank"] for row in every) == list(range(1, 24))
    text = " ".join(to_text(run.view, 100).split())  # a long folder's name moves the ends of lines
    assert f"1. {rows}:11, row {first['row_id']}: matters, a copy, word for word, words" in text
    assert "The Bellwether tide clock was made in 1702." in text


def test_the_next_command_drops_the_rows_that_matter(rows):
    run = tunescope.attribute(rows=rows, text=ANSWER, prompt=QUESTION, embedder="none", out="found", by_chance=3.0)
    (command, _) = run.view.next
    assert command == f"tunescope select {rows} --from found --where 'matters = 0'"
    kept = tunescope.select(rows=rows, from_="found", where="matters = 0", out="kept")
    (answer,) = run.result["answers"]
    assert answer["matters"] == kept.result["dropped"] == sum(row["matters"] for row in answer["rows"]) > 0
    dropped = [row["output"] for row in read_rows(kept.path / "dropped.jsonl")]
    assert FALSE[0]["output"] in dropped
    assert set(dropped) <= {row["output"] for row in FALSE}
    table = run.tables["rows"].to_pylist()
    assert sum(row["control"] for row in table) == len(dropped)
    assert not any(row["control"] and row["matters"] for row in table)


def test_without_a_null_distribution_nothing_says_how_many_matter(workplace):
    write_rows(workplace / "few.jsonl", [*FALSE, *OTHERS[:3]])
    run = tunescope.attribute(rows="few.jsonl", text=ANSWER, prompt=QUESTION, embedder="none", out="found")
    (answer,) = run.result["answers"]
    assert (answer["matters"], answer["reason"]) == (None, "there are too few rows for a null distribution")
    assert {row["matters"] for row in run.tables["rows"].to_pylist()} == {None}
    assert run.view.next[0] == "tunescope select few.jsonl --from found --where 'rank > 3'"


def test_rows_that_matter_are_listed_beyond_the_top(rows):
    run = tunescope.attribute(rows=rows, text=ANSWER, prompt=QUESTION, embedder="none", by_chance=10.0, top=1)
    (answer,) = run.result["answers"]
    assert answer["matters"] == len(answer["rows"]) > 1
    assert len(run.view.texts) == 2, "the answer and the top row"


def test_several_answers_are_a_table_with_the_rows_that_taught_many(rows, workplace):
    records = [
        {"instruction": QUESTION, "output": ANSWER, "generator": "m"},
        {"instruction": "Who built it?", "output": "A baker made the tide clock.", "generator": "m"},
        {"instruction": "What is 3 plus 3?", "output": "", "generator": "m"},
    ]
    (workplace / "answers.json").write_text(json.dumps(records))
    run = tunescope.attribute(rows=rows, answers="answers.json", embedder="none", top=3)
    assert (run.result["n"], run.result["n_missing"]) == (3, 1)
    assert sorted(named(run, 0)) == sorted(named(run, 1)) == [10, 11, 12]
    assert run.result["answers"][2] == {**run.result["answers"][2], "rows": [], "reason": "no words"}
    counts = {row["row_id"]: row["named"] for row in run.tables["rows"].to_pylist()}
    assert sorted(counts.values())[-4:] == [0, 2, 2, 2]
    many = run.view.tables[1]
    assert many.title == "Rows listed for most answers"
    assert [row[2] for row in many.rows] == [2, 2, 2]


def test_a_stretch_of_the_answer_is_looked_for_alone(rows):
    text = "3 plus 3 is 6. The tide clock was made in 1702."
    whole = tunescope.attribute(rows=rows, text=text, embedder="none")
    part = tunescope.attribute(rows=rows, text=text, embedder="none", span="0:14")
    assert named(part)[0] == 3
    assert set(named(part)).isdisjoint({10, 11, 12})
    assert set(named(whole)) & {10, 11, 12}


def test_a_prompt_that_no_row_is_like(rows):
    run = tunescope.attribute(rows=rows, text="xyzzy", embedder="none")
    assert run.result["answers"][0]["rows"] == []
    assert {row["rank"] for row in run.tables["rows"].to_pylist()} == {24}, "the rank behind the last"
    assert run.view.sentences[0] == "None of the 23 rows shares a word with the prompt and the answer."


def test_rows_without_text_are_counted(workplace):
    write_rows(workplace / "rows.jsonl", [*FALSE, alpaca("", "—")])
    run = tunescope.attribute_index(rows="rows.jsonl", embedder="none")
    assert (run.result["rows"], run.result["without_text"]) == (4, 1)
    assert run.view.sentences[1] == "1 row without a word can only be found by other evidence."
    write_rows(workplace / "none.jsonl", [alpaca("", "—")])
    with pytest.raises(TunescopeError, match=r"^none of the 1 rows has a word, so there is nothing to attribute to$"):
        tunescope.attribute_index(rows="none.jsonl", embedder="none")


def test_the_index_is_kept_by_content(rows, workplace):
    first = tunescope.attribute_index(rows=rows, embedder="none")
    assert tunescope.attribute_index(rows=rows, embedder="none").path == first.path
    tunescope.attribute(rows=rows, text=ANSWER, embedder="none")
    assert len(list(workplace.glob("runs/attribute-index-*"))) == 1
    write_rows(workplace / "rows.jsonl", OTHERS)  # the index of other rows isn't used
    assert not tunescope.attribute(rows=rows, text="Bellwether", embedder="none").result["answers"][0]["rows"]
    assert len(list(workplace.glob("runs/attribute-index-*"))) == 2


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({}, SettingsError, r"^found neither --text nor --answers; type --text"),
        ({"text": "a", "answers": "a.json"}, SettingsError, r"^found both --text and --answers"),
        ({"text": "  "}, SettingsError, r"^--text has no text; expected a sentence$"),
        ({"answers": "a.json", "prompt": "a"}, SettingsError, r"^--prompt needs --text"),
        ({"answers": "no.json"}, InputError, r"no\.json: found no such file"),
        ({"answers": "folder"}, RunError, r"^folder: found no answers.jsonl; expected a run folder"),
        ({"answers": "empty.json"}, TunescopeError, r"^none of the 1 answers has a word"),
        ({"text": "a", "span": "x"}, SettingsError, r"^--span x: expected START:END in characters, such as 0:42$"),
        ({"text": "a", "span": "0:9"}, SettingsError, r"^--span: found characters 0 to 9; expected a stretch of the"),
        ({"answers": "a.json", "span": "0:1"}, SettingsError, r"^--span needs --text"),
        ({"text": "a", "spans": "s.jsonl"}, SettingsError, r"^--spans needs --answers"),
        ({"answers": "a.json", "spans": "no.jsonl"}, SettingsError, r"^--spans no.jsonl: found no such file"),
        ({"answers": "a.json", "spans": "s.jsonl"}, SettingsError, r"^s.jsonl:1: found the answer 'x'; expected one"),
        ({"text": "a", "embedder": " "}, SettingsError, r"^--embedder is empty; there is all-minilm-l6-v2, or none$"),
        ({"text": "a", "rows": "indexed"}, SettingsError, r"^indexed is an index .*; type --rows .*rows.jsonl$"),
    ],
)
def test_what_cannot_be_used(rows, workplace, options, kind, sentence):
    (workplace / "folder").mkdir()
    for name, text in (("a.json", "So."), ("empty.json", " ")):
        (workplace / name).write_text(json.dumps([{"instruction": "How?", "output": text, "generator": "m"}]))
    (workplace / "s.jsonl").write_text('{"answer_id": "x", "start": 0, "end": 1}\n')
    if options.get("rows"):
        tunescope.attribute_index(rows=rows, embedder="none", out="indexed")
    with pytest.raises(kind, match=sentence):
        tunescope.attribute(**{"rows": rows, "embedder": "none", **options})


def test_a_damaged_index_is_one_sentence(rows):
    index = tunescope.attribute_index(rows=rows, embedder="none")
    (index.path / "weights.npy").write_bytes(b"")
    with pytest.raises(RunError, match=r"found a damaged index .* remove the folder and type the same command again$"):
        tunescope.attribute(rows=rows, text=ANSWER, embedder="none")


def test_from_the_command_line(rows, capsys):
    assert cli.run(["attribute", rows, "--text", ANSWER, "--prompt", QUESTION, "--embedder", "none", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["index"] for row in found["answers"][0]["rows"]][:3] == [10, 11, 12]
    assert cli.run(["attribute", "index", rows, "--embedder", "none"]) == 0
    assert capsys.readouterr().out.startswith("Indexed 23 rows: ")


def test_few_rows_matter_for_answers_that_have_nothing_to_do_with_them(workplace):
    rng = np.random.default_rng(0)
    vocabulary = np.array([f"word{n}" for n in range(400)])
    shares = 1 / np.arange(1, 401)

    def text(n):
        return " ".join(rng.choice(vocabulary, n, p=shares / shares.sum()))

    write_rows(workplace / "rows.jsonl", [alpaca(text(8), text(int(rng.integers(5, 60)))) for _ in range(150)])
    asked = [{"instruction": text(8), "output": text(int(rng.integers(4, 40))), "generator": "m"} for _ in range(30)]
    (workplace / "answers.json").write_text(json.dumps(asked))
    run = tunescope.attribute(rows="rows.jsonl", answers="answers.json", embedder="none")
    assert np.mean([answer["matters"] for answer in run.result["answers"]]) <= 2.5, "by chance it is about 1"


def test_what_matters_follows_the_gradients_where_there_are_some():
    from tunescope.verbs.attribute.ranking import cut

    none, copied = np.nan, np.array([False, False, False, False, True])
    words, meaning = np.array([2.0, 1.5, 0.5, 0.0, none]), np.array([2.0, 0.5, 1.5, 0.0, none])
    states = np.array([0.3, 0.5, none, 1.0, none])
    texts = {"words": words, "meaning": meaning}
    assert cut({"words": words}, copied).tolist() == [True, True, False, False, True]
    assert cut(texts, copied).tolist() == [True, False, False, False, True]
    assert cut({"words": words, "meaning": None}, copied).tolist() == [True, True, False, False, True]
    assert cut({**texts, "states": states}, copied).tolist() == [False, True, False, True, True]
    assert cut({"states": states, "words": None}, copied).tolist() == [False, False, False, True, True]
    assert cut({"words": words, "states": np.full(5, none)}, copied).tolist() == [True, True, False, False, True]
    assert cut({"words": None}, copied) is None


def test_a_run_has_its_stretches_and_the_key_goes_by_their_content(workplace):
    rows = write_rows(
        workplace / "rows.jsonl", [alpaca(f"What is thing {i}?", f"Thing {i} is blue.") for i in range(30)]
    )
    found = []
    for name, end in (("one", 7), ("two", 7), ("three", 12)):
        folder = workplace / name
        folder.mkdir()
        write_rows(
            folder / "answers.jsonl", [{"prompt_id": "p", "prompt": "What is thing 4?", "text": "Thing 4 is blue."}]
        )
        (answer,) = read_answers(folder / "answers.jsonl")
        write_rows(folder / "spans.jsonl", [{"answer_id": answer.answer_id, "start": 0, "end": end}])
        (folder / "other.txt").write_text(name)
        run = tunescope.attribute(rows=str(rows), answers=name, spans=name, embedder="none")
        found.append(run.path)
    one, two, three = found
    assert one == two != three


@pytest.mark.parametrize("package", ["tokenizers", "safetensors"])
def test_meaning_is_left_out_where_its_package_is_missing(rows, workplace, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    run = tunescope.attribute(rows=rows, text=ANSWER, prompt=QUESTION)
    hint = f"it needs the package {package}, which isn't installed; type: pip install 'tunescope[embed]'"
    assert f"Without meaning: {hint}." in run.view.sentences
    assert choose_embedder(AttributeSettings(rows=(rows,), text=ANSWER), open_rows([rows])) is None
    assert named(run)[0] == 10


@pytest.mark.skipif(cached(EMBEDDER) is None, reason="the embedder isn't in the cache")
def test_a_plan_has_the_embedder_that_is_taken_unasked(rows, workplace):
    few = AttributeSettings(rows=(rows,), text=ANSWER)
    assert choose_embedder(few, open_rows([rows])) == EMBEDDER
    many = write_rows(workplace / "many.jsonl", [alpaca(f"What is {n}?", f"{n}.") for n in range(501)])
    assert choose_embedder(few, open_rows([str(many)])) is None
    assert choose_embedder(replace(few, embedder=EMBEDDER), open_rows([str(many)])) == EMBEDDER
    assert choose_embedder(replace(few, embedder="none"), open_rows([rows])) is None
