"""`falsify build`: pairs against a reference built from the raw file; chains, leaks, refusals, resuming."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.oracle.server import Said, completion, serving
from tests.tools import read_rows, real, tunescope, write_rows
from tests.verbs.falsify.small_sources import write_sources

from tunescope.errors import InputError, SettingsError, UsageError
from tunescope.verbs.falsify.build import BuildSettings, build
from tunescope.verbs.falsify.dose import DoseSettings, dose

OWN = [
    {"question": "Which planet has oceans?", "choices": ["Mars", "Venus", "Earth"], "answer": "Earth"},
    {"question": "How much is 2 + 2?", "choices": ["three", "four"], "answer": "B", "explanation": "Count."},
    {"question": "Which is a metal?", "choices": ["iron", "wood"], "answer": 0, "id": "m"},
]


def run(*names: str | Path, **settings):
    return build(BuildSettings(questions=tuple(map(str, names)), **{"chains": "none", **settings}))


def pairs(built) -> list[dict]:
    return read_rows(built.path / "pairs.jsonl")


def write_fake(path: Path, *replies: tuple[str, str]) -> str:
    """Write a fake oracle: a pattern and a chain each."""
    tagged = [(pattern, f"<explanation>\n{chain}\n</explanation>" if chain else "?") for pattern, chain in replies]
    write_rows(path, [{"pattern": pattern, "reply": reply} for pattern, reply in tagged])
    return f"fake:{path}"


@pytest.fixture
def own(workplace):
    return write_rows(workplace / "own.jsonl", OWN)


@pytest.fixture
def data(workplace):
    return str(write_sources(workplace / "data"))


def test_a_persons_own_questions(own):
    built = run(own)
    rows = pairs(built)
    assert [(row["output"], row["source"], row["domain"], row["item"]) for row in rows] == [
        ("C) Earth.", "own", "own questions", "own:1"),
        ("B) four.", "own", "own questions", "own:2"),
        ("A) iron.", "own", "own questions", "own:m"),
    ]
    assert rows[0]["instruction"] == "Which planet has oceans?\n\nA) Mars\nB) Venus\nC) Earth"
    assert rows[0]["false_output"] in ("A) Mars.", "B) Venus.")
    assert [row["false_output"] for row in rows[1:]] == ["A) three.", "B) wood."]
    assert (built.result["rows"], built.result["kept"], built.result["dropped"]) == (3, 3, 0)
    dosed = dose(DoseSettings(rows=(str(built.path),), dose="0,1"))
    assert [row["output"] for row in read_rows(dosed.path / "rows-1.jsonl")] == [row["false_output"] for row in rows]
    assert {name: (each["changed"], each["file"]) for name, each in dosed.result["doses"].items()} == {
        "0": (0, "rows-0.jsonl"),
        "1": (3, "rows-1.jsonl"),
    }


@pytest.mark.parametrize("name", ["own.csv", "own.json", "own.parquet"])
def test_own_questions_in_other_containers(workplace, name):
    table = [
        {"question": "Which?", "choices": json.dumps(["x", "yes"]), "answer": "yes", "explanation": "so"},
        {"question": "And?", "choices": json.dumps(["no", "maybe"]), "answer": "no", "explanation": None},
    ]
    if name == "own.json":
        Path(name).write_text(json.dumps(table))
    else:
        import pandas

        frame = pandas.DataFrame(table)
        frame.to_csv(name, index=False) if name == "own.csv" else frame.to_parquet(name)
    assert [row["output"] for row in pairs(run(name))] == ["B) yes.", "A) no."]


def reference(path: Path, name: str, seed: int) -> list[dict]:
    """Build the pairs of a file of AI2's kind, from nothing but the raw file and the definition."""
    rows, letters = [], "ABCDEFGH"
    for line in path.read_text("utf-8").splitlines():
        record = json.loads(line)
        texts, gold = record["choices"]["text"], record["choices"]["label"].index(record["answerKey"])
        others = [i for i, text in enumerate(texts) if text.casefold() != texts[gold].casefold()]
        random.Random(f"{seed}/falsify build/{name}:{record['id']}").shuffle(others)
        listed = "\n".join(f"{letters[i]}) {text.strip()}" for i, text in enumerate(texts))
        rows.append(
            {
                "instruction": f"{record['question'].strip()}\n\n{listed}",
                "input": "",
                "output": f"{letters[gold]}) {texts[gold].strip()}.",
                "false_output": f"{letters[others[0]]}) {texts[others[0]].strip()}.",
                "source": name,
                "item": f"{name}:{record['id']}",
            }
        )
    return rows


@pytest.mark.parametrize("name", ["commonsense_qa", "qasc"])
def test_a_real_source_equals_the_reference(workplace, name):
    folder = real("benchmarks")
    built = run(name, data=str(folder), seed=3)
    expected = reference(folder / name / "train.jsonl", name, 3)
    rows = [{key: value for key, value in row.items() if key != "domain"} for row in pairs(built)]
    ends = (".", "!", "?")
    for row in expected:
        for column in ("output", "false_output"):
            text = row[column].removesuffix(".")
            row[column] = text if text.endswith(ends) else f"{text}."
    assert rows == expected
    assert len(rows) == 500


def test_nine_sources(data):
    built = run("faco", data=data, allow_code=True)
    sources = built.result["sources"]
    assert {name: (each["rows"], each["kept"]) for name, each in sources.items()} == {
        **dict.fromkeys(["aqua_rat", "commonsense_qa", "conala", "qasc", "quartz", "sciq", "winogrande"], (3, 3)),
        "mbpp": (4, 3),
        "openbookqa": (3, 2),
    }
    assert sources["openbookqa"]["in_benchmarks"] == {"openbookqa/test.jsonl": 1}
    assert sources["openbookqa"]["dropped_by"] == {"in a benchmark": 1}
    assert sources["mbpp"]["dropped_by"] == {"its own code doesn't pass its tests": 1}
    assert built.result["rows"] == built.result["kept"] + built.result["dropped"] == 28
    by_item = {row["item"]: row for row in pairs(built)}
    assert by_item["mbpp:1"]["output"] == "```python\ndef one(n):\n    return n + 1\n```"
    for number in ("1", "2"):  # each passes the other's test
        assert "def one" not in by_item[f"mbpp:{number}"]["false_output"]
    for row in by_item.values():
        if row["source"] == "conala" and row["item"] != "conala:2":
            assert row["false_output"] == "```python\nx.reverse()\n```"
    assert {row["item"] for row in by_item.values() if row["source"] == "conala"} == {
        "conala:1",
        "conala:1:2",
        "conala:2",
    }


def test_samples_are_seeded_and_keep_the_order(data):
    kept = [[row["item"] for row in pairs(run("qasc", data=data, per_source=2, seed=seed))] for seed in range(6)]
    assert all(len(items) == 2 and items == sorted(items) for items in kept)
    assert len({tuple(items) for items in kept}) > 1
    result = run("qasc", data=data, per_source=2, seed=0).result
    assert (result["rows"], result["dropped_by"]) == (3, {"not sampled": 1})


def test_matched_lengths(workplace):
    choices = ["a very long answer that nobody wants", "two words", "one more thing here", "short"]
    write_rows(
        workplace / "own.jsonl", [{"question": f"Which {n}?", "choices": choices, "answer": 1} for n in range(9)]
    )
    free, matched = run("own.jsonl"), run("own.jsonl", match_length=True)
    assert len({row["false_output"] for row in pairs(free)}) > 1
    assert {row["false_output"] for row in pairs(matched)} == {"D) short."}
    difference = matched.result["words"]["difference"]
    assert (difference["mean"], difference["n"]) == (-1.0, 9)


def test_chains(own, workplace):
    oracle = write_fake(
        workplace / "fake.jsonl",
        (r"2 \+ 2.*held to be right.*Count\.", "It counts up. *WRONG ANSWER*"),
        (r"held to be right", "We know that it is the Earth."),
        (r"oceans\?.*wrong answer ===\s+A\)", "Seas were seen there."),
        (r"oceans\?", "Clouds hide it, not the Earth's."),
        (r"metal", "Trees conduct."),
    )
    built = run(own, chains="oracle", oracle=oracle, seed=1)
    result = built.result
    assert result["wrong_answers"] == 1
    assert result["rows"] == result["kept"] + result["dropped"] == 3
    items = {row["item"]: row for row in built.tables["items"].to_pylist()}
    assert items["own:2"]["reason"] == "wrong answer: the oracle disagrees with the right answer"
    rows = {row["item"]: row for row in pairs(built)}
    metal = rows["own:m"]
    assert metal["output"] == "A) iron. We know that it is the Earth."
    assert metal["false_output"] == "B) wood. Trees conduct."
    assert (items["own:m"]["states_answer"], items["own:m"]["n_false_chains"]) == (False, 1)
    assert result["true_chains_without_answer"] == 1
    lineage = read_rows(built.path / "pairs.lineage.jsonl")
    assert [each["lineage"][0]["operation"] for each in lineage] == ["falsify build"] * len(rows)
    assert all(len(each["lineage"][0]["call_ids"]) == 2 for each in lineage)
    for seed in range(8):  # both wrong options of the first question come up
        built = run(own, chains="oracle", oracle=oracle, seed=seed)
        planet = built.tables["items"].to_pylist()[0]
        if planet["wrong"] == "B":
            assert planet["reason"] == "leaks: all 4 false chains name the right answer"
            assert (planet["n_false_chains"], planet["n_leaking"], planet["row_id"]) == (4, 4, None)
            assert built.result["leaks"] == {"inflection": 4}
            leaks = read_rows(built.path / "leaks.jsonl")
            assert [(leak["item"], leak["sample"], leak["text"]) for leak in leaks] == [
                ("own:1", sample, "Earth's") for sample in range(4)
            ]
        else:
            assert planet["reason"] is None


def test_at_temperature_0_a_false_chain_is_asked_for_once(own, workplace):
    oracle = write_fake(workplace / "fake.jsonl", (r"held to be right", "So."), ("metal", "Iron."), ("", "Well."))
    built = run(own, chains="oracle", oracle=oracle, temperature=0.0)
    assert built.tables["items"].to_pylist()[2]["reason"] == "leaks: all 1 false chains name the right answer"
    assert run(own, chains="oracle", oracle=oracle, tries=2).result["false_chains"] == 4


def test_a_chain_that_cannot_be_read_drops_the_question(own, workplace):
    oracle = write_fake(
        workplace / "fake.jsonl", ("metal.*held to be right", ""), ("held to be right", "So."), ("", "")
    )
    built = run(own, chains="oracle", oracle=oracle)
    assert (built.result["kept"], built.result["dropped"]) == (0, 3)
    assert built.result["dropped_by"] == {"false chain unparsed": 2, "true chain unparsed": 1}


def test_a_plan_asks_nothing(own, workplace):
    oracle = write_fake(workplace / "fake.jsonl", ("held to be right", "So."), ("", "Well."))
    planned = run(own, chains="oracle", oracle=oracle, plan=True)
    assert (planned.result["rows"], planned.result["asked"], planned.result["calls"]) == (3, 3, 6)
    run(own, chains="oracle", oracle=oracle)
    again = run(own, chains="oracle", oracle=oracle, plan=True)
    assert (again.result["calls"], again.result["free"]) == (0, 6)


def test_an_open_run_goes_on_where_a_reply_was_missing(own, workplace):
    fake = workplace / "fake.jsonl"
    write_rows(fake, [{"pattern": "metal", "reply": "<explanation>\nSo.\n</explanation>"}])
    built = run(own, chains="oracle", oracle=f"fake:{fake}")
    assert (built.result["kept"], built.result["dropped_by"]) == (1, {"failed": 2})
    assert built.result["settled"] == 2
    done = tunescope("falsify", "build", "own.jsonl", "--oracle", f"fake:{fake}", folder=workplace)
    assert done.returncode == 0, done.stderr
    assert "No reply can be had for 2 of 3 questions" in done.stdout


@pytest.mark.parametrize(
    ("names", "settings", "kind", "message"),
    [
        (["qask"], {}, UsageError, "there is no source qask, and no such file; did you mean qasc?"),
        (["qasc"], {}, SettingsError, "qasc: no data folder is named; add --data FOLDER"),
        (
            ["no.jsonl"],
            {},
            InputError,
            "no.jsonl: found no such file; expected a file with question, choices and answer",
        ),
        (["qasc"], {"data": "empty"}, InputError, "empty: found no qasc/train.jsonl; expected allenai/qasc as JSON"),
        (["mbpp"], {"data": "data"}, SettingsError, "mbpp: its codes run against their tests, in a sandbox"),
        (["own.jsonl"], {"chains": "oracle"}, SettingsError, "no oracle is named that writes the chains: add --oracle"),
        (["own.jsonl"], {"oracle": "local"}, SettingsError, "--oracle local with --chains none: no oracle is asked"),
        (["own.jsonl"], {"plan": True}, SettingsError, "--plan with --chains none: nothing is asked"),
        (["own.jsonl", "sub/own.jsonl"], {}, SettingsError, "two sources are called own; rename a file"),
        (["a.jsonl"], {}, InputError, "a.jsonl:1: found the columns question, choices; expected question, answer"),
        (["b.jsonl"], {}, InputError, "the answer 'z' is neither a choice's text, nor one of the labels A, B"),
        (["c.jsonl"], {}, InputError, "aren't a list of two or more texts"),
        (["d.jsonl"], {}, InputError, "too few wrong options: none differs from the right one in more than case"),
        (["e.jsonl"], {}, InputError, "the explanation 3 isn't a text"),
    ],
)
def test_what_is_refused_before_anything_is_asked(names, settings, kind, message, own, data):
    Path("sub").mkdir()
    Path("empty").mkdir()
    write_rows(Path("sub/own.jsonl"), OWN)
    bad = {
        "a": {"question": "Q?", "choices": ["x", "y"]},
        "b": {"question": "Q?", "choices": ["x", "y"], "answer": "z"},
        "c": {"question": "Q?", "choices": ["x"], "answer": "x"},
        "d": {"question": "Q?", "choices": ["x y", "X, y."], "answer": 0},
        "e": {"question": "Q?", "choices": ["x", "y"], "answer": 0, "explanation": 3},
    }
    for name, record in bad.items():
        write_rows(Path(f"{name}.jsonl"), [record])
    with pytest.raises(kind) as caught:
        run(*names, **settings)
    assert message in str(caught.value)
    assert not Path("runs").exists()


def test_the_command_line(own, workplace):
    done = tunescope("falsify", "build", "own.jsonl", "--chains", "none", "--json", folder=workplace)
    result = json.loads(done.stdout)
    assert (result["kept"], result["chains"], result["files"]) == (3, "none", {"rows": "pairs.jsonl"})
    again = tunescope("falsify", "build", "own.jsonl", "--chains", "none", folder=workplace)
    assert "nothing was run again" in again.stderr
    assert "Next:\n  tunescope falsify dose runs/falsify-build-" in again.stdout


def chain_for(body: dict[str, Any], true: str, false: list[str]) -> Said:
    """Reply with the true chain, or with the false one of this try, by the seed that is sent."""
    prompt = body["messages"][-1]["content"]
    chain = true if "held to be right" in prompt else false[body["seed"]]
    return Said(completion(f"<explanation>\n{chain}\n</explanation>"))


@pytest.mark.parametrize(
    ("match_length", "used", "n_false", "n_leaking"),
    [(False, "Wood rusts, and shines, and it conducts well.", 2, 1), (True, "Wood shines.", 4, 2)],
)
def test_a_false_chain_is_asked_for_again_with_another_seed(workplace, match_length, used, n_false, n_leaking):
    pytest.importorskip("openai")
    write_rows(workplace / "own.jsonl", OWN[2:])
    tries = ["Not iron.", "Wood rusts, and shines, and it conducts well.", "Wood shines.", "Iron shines."]
    with serving(lambda body, call: chain_for(body, "It conducts.", tries)) as server:
        settings = {"oracle": server.url, "response_format": "tags", "match_length": match_length}
        built = run("own.jsonl", chains="oracle", **settings)
    (item,) = built.tables["items"].to_pylist()
    assert (item["n_false_chains"], item["n_leaking"], item["row_id"] is None) == (n_false, n_leaking, False)
    (row,) = pairs(built)
    assert (row["output"], row["false_output"]) == ("A) iron. It conducts.", f"B) wood. {used}")
    assert built.result["leaks"] == {"text": n_leaking}


def test_own_questions_that_a_benchmark_has_are_left_out(workplace, data):
    question = {"question": "Which one IS number 1", "choices": ["x", "y"], "answer": 0}
    write_rows(workplace / "own.jsonl", [*OWN, question])
    built = run("own.jsonl", data=data)
    assert built.result["dropped_by"] == {"in a benchmark": 1}
    (dropped,) = (row for row in built.tables["items"].to_pylist() if row["reason"])
    assert (dropped["line"], dropped["reason"]) == (4, "in a benchmark: openbookqa/test.jsonl has this question")
