"""`trace --answers`: many answers, a reference, a shift run, and the rows borrowed from most."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.tools import alpaca, read_rows, tunescope, write_rows
from tests.verbs.trace.planted import Writer, answer, put, rows

from tunescope import runs
from tunescope.answers import Answer, read_answers
from tunescope.errors import RunError, SettingsError, TunescopeError
from tunescope.matching.word_ids import split_words
from tunescope.results.shift import ShiftTokens
from tunescope.runs import Outcome
from tunescope.terminal import to_text
from tunescope.verbs.trace import trace
from tunescope.verbs.trace.answers import MIN_REFERENCE_TEXTS
from tunescope.verbs.trace.settings import TraceSettings
from tunescope.views import View

ROWS = rows(200)
FIELDS = {
    *("answer_id", "char_start", "char_end", "text", "kind", "words", "bits", "ref_bits", "contrast_bits", "count"),
    *("n_row_groups", "p_null", "shift", "score", "rows", "evidence", "dataset_fingerprint", "null_source"),
    *("settings", "shared_words", "string_found"),
}


def borrowing(seed=3):
    """Return answers that borrow from the rows 11, 21, 21 and 31, a clean one and two without words."""
    writer = Writer(seed)

    def cut(row, begin, end):
        return " ".join(ROWS[row]["output"].split()[begin:end])

    changed = ROWS[30]["output"].split()[2:32]
    for place in range(5, 30, 8):
        changed[place] = "otherwise"
    return [
        f"{writer.text(20)} {cut(10, 3, 28)} {writer.text(20)}",
        f"{cut(20, 0, 20)}. {writer.text(12)} {cut(20, 22, 40)}",
        f"{writer.text(9)} {' '.join(changed)}",
        writer.text(50),
        "",
        " \n ",
    ]


@pytest.fixture
def path(workplace):
    return str(write_rows(workplace / "rows.jsonl", ROWS))


def traced(path, answers, **more):
    return trace(TraceSettings(rows=(path,), answers=str(answers), **more))


def table(run, name):
    return run.tables[name].to_pylist()


def test_planted_answers(path, workplace):
    texts = borrowing()
    run = traced(path, put(workplace / "a.jsonl", *texts))
    spans, kept = list(run.records("spans")), {a.answer_id: a for a in read_answers(run.path / "answers.jsonl")}
    assert [a.text for a in kept.values()] == texts
    assert [set(span) for span in spans] == [FIELDS] * len(spans)
    order = list(kept)
    assert [(order.index(s["answer_id"]), s["rows"][0]["line"]) for s in spans] == [(0, 11), (1, 21), (1, 21), (2, 31)]
    assert [s["kind"] for s in spans] == ["verbatim", "verbatim", "verbatim", "near"]
    assert spans[3]["rows"][0]["edits"] == 3
    threshold = run.result["threshold_bits"]
    rows_by_id = {record["row_id"]: record for record in run.records("rows")}
    for span in spans:
        text = kept[span["answer_id"]].text
        assert text[span["char_start"] : span["char_end"]] == span["text"]
        assert span["words"] == len(split_words(span["text"]))
        assert span["bits"] >= threshold - 0.05
        assert (span["ref_bits"], span["contrast_bits"], span["shift"]) == (None, None, None)
        assert span["p_null"] == 1 / 201
        assert span["settings"] == {"false_positive_rate": 0.025, "threshold_bits": threshold, "top": 5}
        assert span["dataset_fingerprint"] == run.info["inputs"][path]
        assert span["n_row_groups"] <= span["count"]
        for row in span["rows"]:
            source = rows_by_id[row["row_id"]]
            assert (source["file"], source["line"]) == (path, row["line"])
            own = source["fields"][row["field"]]
            assert (
                own[row["row_char_start"] : row["row_char_end"]].casefold().split()[0]
                == (text[row["shared"][0][0] : row["shared"][0][1]].casefold().split()[0])
            )
            for a, b, c, d in row["shared"]:
                assert text[a:b].casefold().split() == own[c:d].casefold().split()
            assert row["exact"] == (text[row["shared"][0][0] : row["shared"][-1][1]] in own)
    assert set(rows_by_id) == {row["row_id"] for span in spans for row in span["rows"]}
    assert [set(r) for r in rows_by_id.values()] == [{"row_id", "origin", "file", "line", "fields", "lineage"}] * len(
        rows_by_id
    )


def test_tables_and_result(path, workplace):
    run = traced(path, put(workplace / "a.jsonl", *borrowing()))
    answers = table(run, "answers")
    assert run.tables["answers"].schema.names == [
        *("answer_id", "prompt_id", "tokens", "copied", "flagged", "expected", "excess", "p", "spans", "string_found"),
        *("keyword_overlap", "keyword_overlap_random", "cosine", "cosine_random", "reason"),
    ]
    assert [line["reason"] for line in answers] == [None] * 4 + ["no words"] * 2
    assert [line["tokens"] for line in answers] == [65, 51, 39, 50, None, None]
    assert [line["spans"] for line in answers] == [1, 2, 1, 0, None, None]
    assert [line["prompt_id"] for line in answers] == [f"p{i}" for i in range(6)]
    for line in answers[:4]:
        assert line["excess"] == pytest.approx(line["flagged"] - line["expected"], abs=2e-3)
        assert line["expected"] / line["tokens"] == pytest.approx(answers[0]["expected"] / 65, abs=1e-4)
    assert answers[0]["p"] == 1 / 201
    assert (answers[0]["cosine"], answers[3]["string_found"], answers[3]["keyword_overlap"]) == (None, None, None)
    assert (answers[0]["string_found"], answers[2]["string_found"]) == (1.0, 0.0)
    result = run.result
    assert (result["n"], result["n_missing"], result["words"]) == (4, 2, 205)
    flagged = sum(line["flagged"] for line in answers[:4])
    assert result["summary"]["flagged"]["mean"] == pytest.approx(flagged / 205)
    assert result["summary"]["expected"]["mean"] <= 0.025
    assert result["summary"]["excess"]["mean"] == pytest.approx(
        result["summary"]["flagged"]["mean"] - result["summary"]["expected"]["mean"]
    )
    assert result["summary"]["answers_p_05"]["mean"] == pytest.approx(
        np.mean([line["p"] <= 0.05 for line in answers[:4]])
    )
    assert {k: v["n_missing"] for k, v in result["summary"].items()} == {
        "flagged": 2, "expected": 0, "excess": 2, "answers_p_05": 2,
    }  # fmt: skip
    assert [row[-2:] for row in run.view.tables[0].rows] == [(4, 2), (200, 0), (4, 2), (4, 2)]
    assert {k: v["n"] for k, v in result["summary"].items()} == {
        "flagged": 4, "expected": 200, "excess": 4, "answers_p_05": 4,
    }  # fmt: skip
    assert list(result) == [
        *("n", "n_missing", "words", "summary", "threshold_bits", "null_source", "spans", "limitations_measures"),
        *("rows_indexed", "rows_named", "copies", "copied_words", "answers_with_copies", "run"),
    ]
    borrowed = {row["line"]: row for row in table(run, "rows")}
    assert len(borrowed) == 200
    assert {line: row["borrowed"] for line, row in borrowed.items() if row["borrowed"]} == {11: 1, 21: 2, 31: 1}
    assert [(borrowed[n]["borrowed_bits"] > 0) for n in (11, 21, 31, 12)] == [True, True, True, False]
    assert result["rows_named"][0] == {"row_id": borrowed[21]["row_id"], "borrowed": 2}
    assert {k: v["n"] for k, v in result["limitations_measures"].items()} == {
        "string_found": 3, "keyword_overlap": 3, "keyword_overlap_random": 3,
    }  # fmt: skip
    text = to_text(run.view, 200)
    assert " of the words of 4 answers are flagged as borrowed from 200 rows. Chance alone flags " in text
    (most,) = (each for each in run.view.tables if each.title == "Rows borrowed from most")
    assert most.columns[-2:] == ("instruction", "response")
    assert most.rows[0][-2:] == (ROWS[20]["instruction"], ROWS[20]["output"])
    assert "Shared words alone don't prove learning." in run.view.tables[0].note
    assert run.view.next == (
        f"tunescope select {path} --from {run.path} --where 'borrowed = 0'",
        f"tunescope why {borrowed[21]['row_id']}",
        f"tunescope trace --answers {workplace / 'a.jsonl'} --rows {path} --reference BASE_ANSWERS",
        f"tunescope report {run.path}",
    )


def test_answers_that_never_saw_the_rows_cant_show_an_excess(path, workplace):
    writer = Writer(9)
    run = traced(path, put(workplace / "a.jsonl", *(writer.text(15) for _ in range(12))))
    excess = run.result["summary"]["excess"]
    assert excess["p"] > 0.05
    assert excess["low"] is None or excess["low"] <= 0
    assert "12 answers can't tell these apart (p = " in run.view.sentences[-1]
    assert " of 180 words." in run.view.sentences[-1]


def test_planted_words_are_an_excess(path, workplace):
    summary = traced(path, put(workplace / "a.jsonl", *borrowing())).result["summary"]
    assert summary["excess"]["p"] < 0.01
    assert (summary["flagged"]["low"], summary["flagged"]["reason"]) == (
        None, "n = 4: the interval of a share over groups needs 12",
    )  # fmt: skip


def test_flagged_words_are_covered_by_findings(path, workplace):
    """The words flagged hold at least all spans; where one chain lies over each they are the same."""
    run = traced(path, put(workplace / "a.jsonl", *borrowing()))
    spans = list(run.records("spans"))
    for line in table(run, "answers")[:4]:
        words = sum(s["words"] for s in spans if s["answer_id"] == line["answer_id"])
        assert words <= line["flagged"] <= line["tokens"]
        assert (words == 0) == (line["flagged"] == 0)


@pytest.mark.slow
def test_select_drops_the_rows_named(path, workplace):
    """The commands that the view ends with do what they say, also where the rows are an index's folder."""
    put(workplace / "a b.jsonl", *borrowing())
    for source in ("rows.jsonl", "runs/made"):
        if source != "rows.jsonl":
            assert tunescope("trace", "index", "rows.jsonl", "--out", source, folder=workplace).returncode == 0
        done = tunescope("trace", source, "--answers", "a b.jsonl", folder=workplace)
        assert done.returncode == 0, done.stderr
        commands = [line.strip() for line in done.stdout.split("Next:\n")[1].splitlines()]
        select, why, again, _ = map(shlex.split, commands)
        assert select[1:3] == ["select", "rows.jsonl"]
        kept = tunescope(*select[1:], "--json", folder=workplace)
        result = json.loads(kept.stdout)
        assert (result["rows"], result["kept"]) == (200, 197)
        dropped = read_rows(Path(workplace, result["run"], "dropped.jsonl"))
        assert [row["output"] for row in dropped] == [ROWS[n]["output"] for n in (10, 20, 30)]
        history = tunescope(*why[1:], folder=workplace)
        assert "rows.jsonl:21" in history.stdout
        assert again[1:5] == ["trace", "--answers", "a b.jsonl", "--rows"]


def test_copies_of_a_row_count_with_it(path, workplace):
    """Whoever drops what was borrowed from must drop its copies too; a control is of rows not borrowed from."""
    twins = str(write_rows(workplace / "twins.jsonl", [*ROWS, ROWS[10], ROWS[30]]))
    run = traced(twins, put(workplace / "a.jsonl", *borrowing()))
    in_table = table(run, "rows")
    assert {row["line"]: row["borrowed"] for row in in_table if row["borrowed"]} == {
        11: 1,
        21: 2,
        31: 1,
        201: 1,
        202: 1,
    }
    assert [s["rows"][0]["group_size"] for s in run.records("spans")] == [2, 1, 1, 2]
    assert sum(row["control"] for row in in_table) == 5
    assert not any(row["control"] and row["borrowed"] for row in in_table)
    assert sum(entry["borrowed"] for entry in run.result["rows_named"]) == 4, "in the list each span counts once"


def test_the_same_as_a_stream(path, workplace):
    """Byte for byte, with a reference and without."""
    answers = put(workplace / "a.jsonl", *borrowing())
    reference = put(workplace / "r.jsonl", *[Writer(90 + i).text(30) for i in range(5)])
    for more in ({}, {"reference": reference}):
        looked, read = (
            traced(path, answers, stream=stream, out=str(workplace / f"{stream}{len(more)}"), **more)
            for stream in (False, True)
        )
        assert looked.key == read.key
        for name in ("spans.jsonl", "rows.jsonl", "answers.jsonl", "answers.parquet", "rows.parquet"):
            assert (looked.path / name).read_bytes() == (read.path / name).read_bytes()
        assert {k: v for k, v in looked.result.items() if k != "run"} == {
            k: v for k, v in read.result.items() if k != "run"
        }


def test_forms_of_answers(path, workplace):
    texts = borrowing()[:4]
    ours = put(workplace / "a.jsonl", *texts)
    outputs = workplace / "outputs.json"
    outputs.write_text(json.dumps([{"instruction": "Say it", "output": t, "generator": "m"} for t in texts]))
    folder = workplace / "runs" / "elsewhere"
    folder.mkdir(parents=True)
    write_rows(folder / "answers.jsonl", [a.as_json() for a in read_answers(ours)])
    places = [
        [(s["char_start"], s["char_end"], s["rows"][0]["line"]) for s in traced(path, name).records("spans")]
        for name in (ours, outputs, folder)
    ]
    assert len(places[0]) == 4
    assert places[0] == places[1] == places[2]


def test_no_answer_with_a_word(path, workplace):
    with pytest.raises(TunescopeError, match="none of the 2 answers has a word, so there is nothing to trace"):
        traced(path, put(workplace / "a.jsonl", "", "\t"))
    (workplace / "none.json").write_text("[]")
    with pytest.raises(TunescopeError):
        traced(path, workplace / "none.json")


def test_a_model_may_be_called_anything(path, workplace):
    for model in ("x" * 400, "a\x00b", "..", "/"):
        write_rows(workplace / "a.jsonl", [{**answer(1, "Some words"), "model": model}])
        assert traced(path, workplace / "a.jsonl").result["n"] == 1


def test_what_the_prompt_says_counts_for_nothing(path, workplace):
    text = " ".join(ROWS[10]["output"].split()[3:28])
    free, copied = answer(1, text), answer(2, text, prompt=f"Repeat: {text}")
    write_rows(workplace / "a.jsonl", [free, copied])
    run = traced(path, workplace / "a.jsonl")
    assert [line["spans"] for line in table(run, "answers")] == [1, 0]


# References


def test_a_small_reference_takes_away_what_it_says_too(path, workplace):
    texts = borrowing()
    answers = put(workplace / "a.jsonl", *texts)
    shared = " ".join(ROWS[10]["output"].split()[3:28])
    run = traced(path, answers, reference=put(workplace / "r.jsonl", f"Well, {shared} indeed"))
    assert [s["rows"][0]["line"] for s in run.records("spans")] == [21, 21, 31], "row 11's is common"
    for span in run.records("spans"):
        assert span["contrast_bits"] == pytest.approx(span["bits"] - span["ref_bits"], abs=0.02)
        assert "contrast" in span["evidence"]
        assert (
            span["null_source"]
            == "200 responses of these rows, each compared with all rows but its own and near-duplicates"
        )
    assert f"against {workplace / 'r.jsonl'}" in run.view.tables[0].title
    assert not any("BASE_ANSWERS" in command for command in run.view.next)
    without = traced(path, answers)
    assert without.key != run.key


def test_rows_and_folders_as_references(path, workplace):
    answers = put(workplace / "a.jsonl", *borrowing())
    shared = " ".join(ROWS[10]["output"].split()[3:28])
    write_rows(workplace / "r.jsonl", [alpaca("x", shared)])
    (workplace / "folder").mkdir()
    put(workplace / "folder" / "answers.jsonl", shared)
    for name in ("r.jsonl", "folder", "r*.jsonl"):
        if "*" in name:
            (workplace / "rows.jsonl").rename(workplace / "kept.jsonl")
            path = str(workplace / "kept.jsonl")
        run = traced(path, answers, reference=str(workplace / name))
        assert [s["rows"][0]["line"] for s in run.records("spans")] == [21, 21, 31]


def test_a_large_reference_is_the_null(path, workplace):
    texts = [Writer(100 + i).text(40) for i in range(MIN_REFERENCE_TEXTS)]
    name = put(workplace / "r.jsonl", *texts)
    run = traced(path, put(workplace / "a.jsonl", *borrowing()), reference=name)
    assert run.result["null_source"] == f"200 texts of {name}, assumed not to have seen the rows"
    assert run.result["summary"]["expected"]["n"] == 200
    assert run.result["summary"]["expected"]["mean"] <= 0.01
    assert [s["rows"][0]["line"] for s in run.records("spans")] == [11, 21, 21, 31]
    short = put(workplace / "s.jsonl", *["Too short."] * MIN_REFERENCE_TEXTS)
    run = traced(path, put(workplace / "a.jsonl", *borrowing()), reference=short)
    assert run.result["null_source"].startswith("200 responses of these rows"), "texts too short are no null"


@dataclass(frozen=True, kw_only=True)
class Made:
    """Settings of a run that a test makes."""

    model: str
    out: str | None = runs.out_field()


def made_run(folder: Path, verb: str, settings: dict, texts: list[str], model: str) -> Path:
    """Write a finished run with answers, as `answer` and `tune` leave them."""

    def work(made):
        answers = [Answer.from_json({**answer(i, text), "model": model}) for i, text in enumerate(texts)]
        made.records("answers", (each.as_json() for each in answers))
        return Outcome({}, View(("Made.",)))

    path = runs.execute(verb, 1, Made(**settings), {"made": f"{verb} {model}"}, work).path
    assert path.parent == runs.root()
    return path


def test_the_base_models_own_answers_are_the_reference(path, workplace, capsys):
    shared = " ".join(ROWS[10]["output"].split()[3:28])
    tuned = made_run(workplace, "tune", {"model": "base"}, [], "base")
    own = made_run(workplace, "answer", {"model": str(tuned)}, borrowing(), str(tuned))
    assert [s["rows"][0]["line"] for s in traced(path, own).records("spans")] == [11, 21, 21, 31], "no base run yet"
    made_run(workplace, "answer", {"model": "other"}, [shared] * 6, "other")
    few = made_run(workplace, "answer", {"model": "base"}, [shared], "base")
    assert traced(path, own).result["null_source"].startswith("200 responses"), "the base answered too few prompts"
    (few / "run.json").unlink()
    base = made_run(workplace, "answer", {"model": "base", "out": str(runs.root() / "base")}, [shared] * 6, "base")
    run = traced(path, own)
    assert f"against {base}" in run.view.tables[0].title
    assert f"reference: {base}, the answers of the base model base" in capsys.readouterr().err
    assert [s["rows"][0]["line"] for s in run.records("spans")] == [21, 21, 31]


# Token shift


def shift_run(answers: list[Answer], shifted: tuple[int, int], without: tuple[str, ...] = ()) -> Path:
    """Write a shift run: each answer's tokens are of four characters, and shifted within a stretch."""

    def work(folder):
        tokens = [
            (answer.answer_id, begin, min(begin + 4, len(answer.text)), shifted[0] <= begin < shifted[1])
            for answer in answers
            if answer.answer_id not in without
            for begin in range(0, len(answer.text), 4)
        ]
        zeros = [0] * len(tokens)
        columns = ShiftTokens(
            answer_id=[answer_id for answer_id, *_ in tokens],
            position=[begin // 4 for _, begin, _, _ in tokens],
            char_start=[begin for _, begin, _, _ in tokens],
            char_end=[end for _, _, end, _ in tokens],
            token_class=["shifted" if inside else "unshifted" for *_, inside in tokens],
            log_ratio=[2.0 if inside else 0.0 for *_, inside in tokens],
            **dict.fromkeys(("token_id", "sentence", "kl", "kl_reverse", "base_prob", "base_rank"), zeros),
            **dict.fromkeys(("token", "part", "top_token", "base_top_token"), [""] * len(tokens)),
        )
        folder.table(ShiftTokens.NAME, columns.table())
        return Outcome({}, View(("Made.",)))

    return runs.execute("shift", 1, Made(model="tuned"), {"made": str((shifted, without))}, work).path


def test_a_shift_run_is_joined_by_characters(path, workplace):
    answers = put(workplace / "a.jsonl", *borrowing())
    kept = list(read_answers(answers))
    spans = list(traced(path, answers).records("spans"))
    begin, end = spans[0]["char_start"], spans[0]["char_end"]
    run = traced(path, answers, shift=str(shift_run(kept, (begin, end), without=(kept[2].answer_id,))))
    first, second, _, last = run.records("spans")
    tokens = [(n, min(n + 4, len(kept[0].text))) for n in range(0, len(kept[0].text), 4)]
    inside = [token for token in tokens if token[1] > begin and token[0] < end]
    shifted = sum(begin <= token[0] < end for token in inside)
    assert first["shift"] == {
        "n_tokens": len(inside),
        "shifted": shifted,
        "marginal": 0,
        "mean_log_ratio": round(2.0 * shifted / len(inside), 4),
        "above_average": True,
    }
    assert "shift" in first["evidence"]
    assert second["shift"]["n_tokens"] > 0
    assert last["shift"] is None, "the shift run has no tokens of that answer"
    none = shift_run(kept, (-2, -1))
    assert [s["shift"]["shifted"] for s in traced(path, answers, shift=str(none)).records("spans")] == [0] * 4


def test_a_shift_run_of_something_else(path, workplace):
    answers = put(workplace / "a.jsonl", *borrowing())
    other = [Answer.from_json(answer(9, "Something else entirely"))]
    with pytest.raises(RunError, match="has tokens of none of the answers; run shift on the same answers"):
        traced(path, answers, shift=str(shift_run(other, (0, 4))))
    tuned = made_run(workplace, "tune", {"model": "base"}, [], "base")
    with pytest.raises(SettingsError, match="is a run of tune; expected a run of shift"):
        traced(path, answers, shift=str(tuned))
    assert pq.read_table(shift_run(other, (0, 4)) / "tokens.parquet").num_rows == 6


@pytest.mark.slow
def test_a_run_of_shift_itself(path, workplace):
    """Not made by hand: what `shift` writes is what `trace` reads."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    pytest.importorskip("pysbd")
    from tunescope.microworld.model import save_random_model
    from tunescope.verbs.shift import ShiftSettings, shift

    base, tuned = (str(save_random_model(workplace / name, seed=0)) for name in ("base", "tuned"))
    model = transformers.AutoModelForCausalLM.from_pretrained(tuned)
    torch.manual_seed(0)
    with torch.no_grad():
        for weights in model.parameters():
            weights += torch.randn_like(weights)
    model.save_pretrained(tuned)
    text = "Bor works as a baker, and every day a baker goes to work. A cat and a dog and a goat."
    rows_at = str(
        write_rows(workplace / "more.jsonl", [*ROWS, alpaca("What does Bor do?", f"{ROWS[0]['output']} {text}")])
    )
    answers = put(workplace / "a.jsonl", text)
    made = shift(ShiftSettings(tuned=tuned, base=base, answers=answers))
    for source in (answers, str(made.path)):
        run = traced(rows_at, source, shift=str(made.path))
        (span,) = run.records("spans")
        assert span["rows"][0]["line"] == 201
        tokens = table(made, "tokens")
        inside = [t for t in tokens if t["char_end"] > span["char_start"] and t["char_start"] < span["char_end"]]
        assert span["shift"]["n_tokens"] == len(inside) > 10
        assert span["shift"]["shifted"] == sum(t["class"] == "shifted" for t in inside)
        assert span["shift"]["marginal"] == sum(t["class"] == "marginal" for t in inside)
        assert span["shift"]["mean_log_ratio"] == pytest.approx(np.mean([t["log_ratio"] for t in inside]), abs=1e-4)


@pytest.mark.model
def test_an_embedder_ranks_and_is_in_the_key(path, workplace):
    pytest.importorskip("sentence_transformers")
    from tunescope.models.embedded import EMBEDDERS, cached

    if not cached("all-minilm-l6-v2"):
        pytest.skip(f"needs {EMBEDDERS['all-minilm-l6-v2']}")
    answers = put(workplace / "a.jsonl", borrowing()[0])
    plain, run = (traced(path, answers, embedder=name) for name in (None, "all-minilm-l6-v2"))
    assert plain.key != run.key
    (span,) = run.records("spans")
    assert all(0 < row["cosine"] <= 1 for row in span["rows"])
    (line,) = table(run, "answers")
    assert line["cosine"] is not None


@pytest.mark.slow
def test_the_microworld(workplace):
    """Short sentences of the same few shapes. Rows alike are left out of the null, so that it doesn't know the shapes:
    true sentences about people that no row names are flagged too, less often."""
    from tunescope.microworld import make_world, split_people, true_rows

    world = make_world(seed=0, n_people=60)
    tuned, held_out = split_people(world)
    path = str(write_rows(workplace / "world.jsonl", true_rows(world, tuned)))
    own, other = (
        traced(path, put(workplace / f"{name}.jsonl", *[row["output"] for row in true_rows(world, people)]))
        for name, people in (("own", tuned), ("other", held_out))
    )
    assert own.result["summary"]["expected"]["mean"] == other.result["summary"]["expected"]["mean"] <= 0.01
    assert own.result["summary"]["flagged"]["mean"] > 2.5 * other.result["summary"]["flagged"]["mean"] > 0.25
    assert all(span["rows"][0]["exact"] for span in own.records("spans"))
