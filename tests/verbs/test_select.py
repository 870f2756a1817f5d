"""`select` against the same selection in pandas or plain Python."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.tools import ROOT, alpaca, examples, read_rows, real, write_rows

from tunescope import runs
from tunescope.errors import ExpressionError, InputError, RunError, SettingsError, TunescopeError
from tunescope.rows import LineageStep, RowWriter, open_rows
from tunescope.runs import Outcome
from tunescope.verbs.check import CheckSettings, check
from tunescope.verbs.select import SelectSettings, select
from tunescope.views import View

DEMO = ROOT / "recipes/lora-and-full/rows.json"


def choose(*rows: Path | str, **options):
    options["from_"] = tuple(str(run.path) for run in options.get("from_", ()))
    return select(SelectSettings(rows=tuple(map(str, rows)), **options))


def kept(run):
    return read_rows(run.path / run.result["files"]["kept"])


def dropped(run):
    return read_rows(run.path / run.result["files"]["dropped"])


def reasons(run):
    return run.tables["decisions"]["reason"].to_pylist()


def canonical(records):
    return Counter(json.dumps(record, sort_keys=True) for record in records)


def measured(workplace, rows: Path, name: str = "measured", **columns):
    """Make a run folder with a table of one record per row, as `measure` would."""
    ids = [row.id for row in open_rows([str(rows)])]
    folder = workplace / "runs" / name
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"row_id": ids, **columns}), folder / "rows.parquet")
    record = {"key": name, "verb": "measure", "settings": {}, "result": {}, "view": View(()).as_json()}
    (folder / "run.json").write_text(json.dumps(record))
    return SimpleNamespace(path=folder)


SCORES = [3, None, 5, 3, 1.5, None, -2, 5, 0]
ROWS = [alpaca(f"Question {i}?", f"Answer {i}.", score=score, tag="ab"[i % 2]) for i, score in enumerate(SCORES)]


@pytest.fixture
def rows(workplace):
    return write_rows(workplace / "rows.jsonl", ROWS)


def test_where_over_a_check_run_as_pandas_does_it(workplace):
    checked = check(CheckSettings(rows=(str(DEMO),)))
    where = "not faulty and words > 60 or one_word_answer or line in (2, 7)"
    run = choose(DEMO, from_=[checked], where=where)
    table = checked.tables["rows"].to_pandas()
    expected = table.query(
        "(~faulty & words > 60) | one_word_answer | line in (2, 7)".replace("words > 60", "(words > 60)")
    )
    source = json.loads(DEMO.read_text("utf-8"))
    assert json.loads((run.path / "rows.json").read_text("utf-8")) == [source[i] for i in expected.index]
    rest = [row for i, row in enumerate(source) if i not in set(expected.index)]
    assert json.loads((run.path / "dropped.json").read_text("utf-8")) == rest
    assert run.result == {
        "rows": 100,
        "kept": len(expected),
        "changed": 0,
        "dropped": len(rest),
        "dropped_by": {"where": len(rest)},
        "rejected": 0,
        "files": {"kept": "rows.json", "dropped": "dropped.json"},
        "run": str(run.path),
    }
    decisions = run.tables["decisions"].to_pandas()
    assert decisions["row_id"].tolist() == table["row_id"].tolist()
    assert decisions["line"].tolist() == table["line"].tolist()
    assert decisions.index[decisions["kept"]].tolist() == expected.index.tolist()
    assert decisions["reason"].isna().tolist() == decisions["kept"].tolist()


def test_a_select_that_keeps_nothing_says_so(rows):
    run = choose(rows, where="output = 'nobody says this'")
    assert "No row is left." in " ".join(run.view.sentences)
    assert run.view.next == ()
    assert "No row is left." not in " ".join(choose(rows, where="output != 'nobody says this'").view.sentences)


def test_where_on_the_rows_own_columns_with_reasons(rows):
    run = choose(rows, where="score >= 3 and tag = 'a'")
    assert kept(run) == [ROWS[0], ROWS[2]]
    assert dropped(run) == [row for row in ROWS if row not in (ROWS[0], ROWS[2])]
    assert reasons(run) == [
        None,
        "where: score = null, tag = 'b'",
        None,
        "where: score = 3, tag = 'b'",
        "where: score = 1.5, tag = 'a'",
        "where: score = null, tag = 'b'",
        "where: score = -2, tag = 'a'",
        "where: score = 5, tag = 'b'",
        "where: score = 0, tag = 'a'",
    ]


def test_what_is_missing_is_neither_kept_nor_judged(rows):
    run = choose(rows, where="score < 100")
    assert run.result["dropped_by"] == {"missing": 2}
    assert reasons(run)[1] == "missing: score = null"
    assert kept(choose(rows, where="score is null")) == [ROWS[1], ROWS[5]]


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("top", [0, 1, 3, 100])
def test_top_as_pandas_does_it(rows, top, ascending):
    """Ties stay in file order, what is missing has no rank."""
    run = choose(rows, top=top, by="score", ascending=ascending)
    column = pd.Series(SCORES, dtype=float).dropna()
    ranked = column.sort_values(ascending=ascending, kind="stable").index.tolist()
    if not ascending:  # pandas reverses ties then; file order is meant
        ranked = sorted(column.index, key=lambda i: -column[i])
    chosen = set(ranked[:top])
    assert kept(run) == [row for i, row in enumerate(ROWS) if i in chosen]
    expected = [None] * len(ROWS)
    for rank, i in enumerate(ranked, 1):
        if rank > top:
            expected[i] = f"top: rank {rank} of 7 by score ({SCORES[i]:g})"
    for i, score in enumerate(SCORES):
        if score is None:
            expected[i] = "missing: score = null"
    assert reasons(run) == expected


def test_top_ranks_what_where_left(rows):
    run = choose(rows, where="tag = 'a'", top=2, by="score")
    assert kept(run) == [ROWS[0], ROWS[2]]
    assert run.result["dropped_by"] == {"where": 4, "top": 3}
    assert reasons(run)[4] == "top: rank 3 of 5 by score (1.5)"


def test_samples_are_drawn_by_seed_nested_and_in_file_order(workplace):
    path = write_rows(workplace / "rows.jsonl", [alpaca(f"Question {i}?", f"Answer {i}.") for i in range(50)])
    draws = {(n, seed): kept(choose(path, sample=n, seed=seed)) for n in (0, 5, 20, 50, 80) for seed in (0, 1)}
    for (n, seed), sample in draws.items():
        numbers = [int(row["output"].split()[1].rstrip(".")) for row in sample]
        assert len(sample) == min(n, 50)
        assert numbers == sorted(numbers)
        assert all(row in draws[80, seed] for row in sample)
    assert draws[5, 0] != draws[5, 1]
    assert all(row in draws[20, 0] for row in draws[5, 0])
    run = choose(path, sample=5, seed=3)
    assert Counter(reasons(run)) == {None: 5, "sample: not among the 5 drawn with seed 3": 45}


@pytest.mark.slow
def test_every_row_is_drawn_equally_often(workplace):
    path = write_rows(workplace / "rows.jsonl", [alpaca(f"Question {i}?", f"Answer {i}.") for i in range(4)])
    drawn = Counter(kept(choose(path, sample=1, seed=seed))[0]["output"] for seed in range(60))
    assert len(drawn) == 4
    assert min(drawn.values()) >= 5  # 15 expected; below 5 with probability 3e-4


@given(
    st.lists(st.tuples(st.none() | st.integers(-3, 3), st.booleans()), min_size=1, max_size=12),
    st.none() | st.integers(-3, 3),
    st.none() | st.integers(0, 5),
    st.none() | st.integers(0, 5),
    st.booleans(),
)
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_kept_and_dropped_are_the_rows(tmp_path_factory, cells, limit, top, sample, ascending):
    if limit is None and top is None and sample is None:
        return
    folder = tmp_path_factory.mktemp("rows")
    records = [alpaca("Same?", "Same." if same else f"Other {i}.", n=n) for i, (n, same) in enumerate(cells)]
    records.append(alpaca("Last?", "The last.", n=0))
    path = write_rows(folder / "rows.jsonl", records)
    where = None if limit is None else f"n > {limit}"
    by = None if top is None else "n"
    run = choose(path, where=where, top=top, by=by, sample=sample, ascending=ascending, out=str(folder / "run"))
    assert canonical(kept(run)) + canonical(dropped(run)) == canonical(records)
    assert run.result["kept"] + run.result["dropped"] == run.result["rows"] == len(records)
    assert sum(run.result["dropped_by"].values()) == run.result["dropped"]
    left = [i for i, record in enumerate(records) if limit is None or (record["n"] is not None and record["n"] > limit)]
    if top is not None:
        ranked = sorted(
            (i for i in left if records[i]["n"] is not None), key=lambda i: records[i]["n"] * (1 if ascending else -1)
        )
        left = sorted(ranked[:top])
    if sample is None:
        assert kept(run) == [records[i] for i in left]
    else:
        assert len(kept(run)) == min(sample, len(left))
        assert not canonical(kept(run)) - canonical([records[i] for i in left])


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.json.gz", "rows.jsonl.gz", "rows.parquet"])
def test_the_container_comes_back(workplace, name):
    demo = [record | {"n": number} for number, record in enumerate(json.loads(DEMO.read_text("utf-8")))]
    path = workplace / name
    lines = "jsonl" in name
    text = "".join(json.dumps(r) + "\n" for r in demo) if lines else json.dumps(demo)
    if name == "rows.parquet":
        pq.write_table(pa.Table.from_pylist(demo), path)
    else:
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    run = choose(path, where="n >= 90 or n = 3")

    def read(file: Path):
        if name == "rows.parquet":
            assert pq.read_schema(file) == pq.read_schema(path)
            return pq.read_table(file).to_pylist()
        data = gzip.decompress(file.read_bytes()) if name.endswith(".gz") else file.read_bytes()
        return [json.loads(line) for line in data.splitlines()] if lines else json.loads(data)

    assert run.result["files"] == {"kept": name, "dropped": name.replace("rows", "dropped")}
    assert read(run.path / name) == [demo[3], *demo[90:]]
    assert read(run.path / run.result["files"]["dropped"]) == [*demo[:3], *demo[4:90]]


FORMATS = {
    "sharegpt": [
        {"id": 7, "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": f"Hello {i}.", "w": 1}]}
        for i in range(4)
    ],
    "messages": [
        {
            "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": f"Hello {i}."}],
            "x": [None, 1.0],
        }
        for i in range(4)
    ],
    "prompt_completion": [{"prompt": "Hi", "completion": f"Hello {i}.", "meta": {"deep": "ü"}} for i in range(4)],
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_format_comes_back(workplace, name):
    path = write_rows(workplace / "rows.jsonl", FORMATS[name])
    run = choose(path, where="line != 2")
    assert kept(run) == [FORMATS[name][0], *FORMATS[name][2:]]
    assert dropped(run) == [FORMATS[name][1]]


def test_lines_files_and_columns_of_those_names(workplace):
    """`line` is the row's place; a column of that name is `source.line`; blanks need back quotes."""
    records = [alpaca("Q?", f"A {i}.", line=10 - i, **{"my score": i}) for i in range(3)]
    one, two = (write_rows(workplace / name, records) for name in ("one.jsonl", "two.jsonl"))
    assert kept(choose(one, where="line = 2")) == [records[1]]
    assert kept(choose(one, where="source.line = 10")) == [records[0]]
    assert kept(choose(one, where="`my score` > 0")) == records[1:]
    assert kept(choose(one, top=1, by="my score")) == records[2:]
    assert len(kept(choose(one, two, where=f"file = '{two}'"))) == 3
    (ident, *_) = [row.id for row in open_rows([str(one)])]
    assert kept(choose(one, where=f"row_id = '{ident}'")) == [records[0]]


def test_a_run_comes_before_a_column_and_source_before_a_run(workplace, rows):
    run = measured(workplace, rows, score=list(range(9)))
    assert kept(choose(rows, from_=[run], where="score >= 7")) == ROWS[7:]
    assert kept(choose(rows, from_=[run], where="source.score > 3")) == [ROWS[2], ROWS[7]]


def test_two_runs_may_share_names_that_nobody_asks_for(workplace, rows):
    one = measured(workplace, rows, "one", words=list(range(9)), n=list(range(9)))
    two = measured(workplace, rows, "two", words=list(range(9)), m=list(range(9)))
    assert len(kept(choose(rows, from_=[one, two], where="n > 3 and m < 6"))) == 2
    with pytest.raises(SettingsError, match="words is in runs/one and in runs/two; give one of them"):
        select(SelectSettings(rows=(str(rows),), from_=("runs/one", "runs/two"), where="words > 1"))


def test_turns_are_joined_per_row(workplace, rows):
    """A record per turn: the mean of numbers, true where any turn is."""
    ids = [row.id for row in open_rows([str(rows)])]
    run = measured(workplace, rows, "turns", unused=[0] * 9)
    table = pa.table(
        {
            "row_id": [ids[0], ids[0], ids[1], ids[2], ids[2]],
            "turn": [0, 1, 0, 0, 1],
            "ifd": [1.0, 2.0, 5.0, None, 4.0],
            "long": [False, True, False, None, False],
            "note": ["a", "b", "c", "d", "e"],
        }
    )
    pq.write_table(table, run.path / "turns.parquet")
    made = choose(rows, from_=[run], where="ifd < 4.5 and not long")
    assert reasons(made)[:4] == [
        "where: ifd = 1.5, long = true",
        "where: ifd = 5, long = false",
        None,
        "missing: ifd = null, long = null",
    ]
    assert kept(choose(rows, from_=[run], where="long")) == [ROWS[0]]


def test_repeated_rows_are_told_apart(workplace):
    """Exact repeats have ordinals; `exact_duplicate` drops all but the first of them."""
    records = [alpaca("Same?", "The same."), alpaca("Else?", "No, no."), alpaca("Same?", "The same.", n=1)] * 2
    path = write_rows(workplace / "rows.jsonl", records)
    run = choose(path, from_=[check(CheckSettings(rows=(str(path),)))], where="exact_duplicate = false")
    assert kept(run) == records[:2]


def test_nothing_kept_and_nothing_dropped(rows):
    none, everything = choose(rows, where="line > 99"), choose(rows, where="line > 0")
    assert (kept(none), dropped(none)) == ([], ROWS)
    assert (kept(everything), dropped(everything)) == (ROWS, [])
    assert everything.view.tables == ()
    assert everything.view.sentences[0] == "9 rows in = 9 kept + 0 dropped."
    assert none.view.sentences[0] == "9 rows in = 0 kept + 9 dropped (where 9)."


def test_lineage_travels_with_the_rows(workplace, rows):
    changed = changed_rows(workplace, rows)
    run = choose(changed, where="line in (1, 3)")
    lines = read_rows(run.path / "rows.lineage.jsonl")
    originals = [row.id for row in open_rows([str(rows)])]
    assert [(line["origin"], line["lineage"][0]["operation"]) for line in lines] == [
        (originals[0], "shout"),
        (originals[2], "shout"),
    ]
    assert len(read_rows(run.path / "dropped.lineage.jsonl")) == 1
    assert [row.origin for row in open_rows([str(run.path / "rows.jsonl")])] == [originals[0], originals[2]]


def changed_rows(workplace: Path, rows: Path) -> Path:
    """Write the rows again with three answers in capitals, as a repair would."""
    source = open_rows([str(rows)])
    folder = workplace / "changed"
    folder.mkdir()
    with RowWriter(folder, "rows", source.files[0]) as writer:
        for number, row in enumerate(source):
            if number < 3:
                user, answer = row.messages
                loud = type(answer)("assistant", answer.content.upper())
                row = row.with_messages(
                    (user, loud), LineageStep("shout", 1, (row.id,), old={"response": answer.content})
                )
            writer.write(row)
    return writer.path


def test_rejected_rows_are_counted_apart(workplace):
    records = [*ROWS, {"instruction": "No answer?", "input": "", "output": None}]
    path = write_rows(workplace / "rows.jsonl", records)
    with pytest.raises(InputError, match="found no answer"):
        choose(path, where="score > 0")
    run = choose(path, where="score > 0", on_bad="skip")
    assert (run.result["rows"], run.result["rejected"]) == (9, 1)
    assert [record["line"] for record in run.records("rejected")] == [10]


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({}, SettingsError, "nothing to select by; type --where, --top with --by, --sample, --tokens or --control-of"),
        ({"top": 3}, SettingsError, "--top and --by go together: --top 1000 --by ifd_ppl"),
        (
            {"by": "score"},
            SettingsError,
            "nothing to select by; type --where, --top with --by, --sample, --tokens or --control-of",
        ),
        ({"top": 1, "by": "tag"}, SettingsError, "has text or a list there; expected a number"),
        ({"where": "scores > 1"}, ExpressionError, "there is no 'scores' here; there is score"),
        ({"top": 1, "by": "scor"}, ExpressionError, "there is no 'scor' here; there is score"),
        ({"where": "tag > 1"}, ExpressionError, "can't compare tag (string) with 1"),
        ({"where": "mixed = 1"}, SettingsError, "the column 'mixed' holds values of several types"),
        ({"where": "huge = 1"}, SettingsError, "or numbers beyond 64 bits, so it can't be used to select"),
        ({"where": "tag ="}, ExpressionError, "found 'the end', expected a name or a value"),
    ],
)
def test_refusals(workplace, options, error, sentence):
    records = [row | {"mixed": value, "huge": 10**30} for row, value in zip(ROWS, [1, "a"] * 9, strict=False)]
    path = write_rows(workplace / "rows.jsonl", records)
    with pytest.raises(error) as caught:
        choose(path, **options)
    assert sentence in str(caught.value)
    assert not list(workplace.glob("runs/*"))


def test_a_run_on_other_rows(workplace, rows):
    other = write_rows(workplace / "other.jsonl", [alpaca("Other?", "Another.")])
    with pytest.raises(RunError, match="was made on other rows: it has none of the 9 row ids"):
        choose(rows, from_=[check(CheckSettings(rows=(str(other),)))], where="words > 1")


def test_one_file_is_written_so_one_shape_is_read(workplace, rows):
    other = workplace / "other.json"
    other.write_text(json.dumps(ROWS))
    with pytest.raises(SettingsError, match="select writes one file, but"):
        choose(rows, other, sample=1)


def test_the_key_counts_the_content_of_the_run(workplace, rows):
    def empty(folder):
        folder.table("rows", pa.table({"row_id": [row.id for row in open_rows([str(rows)])], "n": list(range(9))}))
        return Outcome({}, View(()))

    first, second = (runs.execute("measure", version, CheckSettings(rows=()), {}, empty) for version in (1, 2))
    made = choose(rows, from_=[first], where="n > 1")
    assert choose(rows, from_=[first], where="n > 1").path == made.path
    assert choose(rows, from_=[second], where="n > 1").path != made.path
    assert choose(rows, from_=[first], where="n > 2").path != made.path


def test_real_rows_as_pandas_does_it(workplace):
    path = real("instructions", "dolly_3k.json")
    frame = pd.read_json(path)
    column = next(name for name in frame.columns if name in ("category", "input", "context"))
    value = frame[column].value_counts().index[0]
    literal = str(value).replace("'", "''")
    run = choose(path, where=f"{column} = '{literal}'")
    source = json.loads(path.read_text("utf-8"))
    assert json.loads((run.path / "rows.json").read_text("utf-8")) == [r for r in source if r[column] == value]
    assert run.result["kept"] == int((frame[column] == value).sum())


def test_a_control_drops_as_many_of_the_rows_that_were_kept(workplace):
    rows = write_rows(workplace / "rows.jsonl", [alpaca(f"Question {i}?", f"Answer {i}", n=i) for i in range(20)])
    first = choose(rows, where="n >= 3")
    second = choose(str(first.path), where="n >= 5")
    control = choose(rows, control_of=str(second.path), seed=1)
    assert (control.result["kept"], control.result["dropped"]) == (15, 5)
    assert control.result["dropped_by"] == {"control": 5}
    assert all(record["n"] >= 5 for record in dropped(control))
    assert dropped(choose(rows, control_of=str(second.path), seed=1, out="again")) == dropped(control)
    assert dropped(choose(rows, control_of=str(second.path), seed=2)) != dropped(control)
    most = choose(rows, where="n >= 12")
    assert control.result["control_drawn_from"] == "kept rows"
    of_all = choose(rows, control_of=str(most.path))
    assert (of_all.result["kept"], of_all.result["dropped"]) == (8, 12)
    assert of_all.result["control_drawn_from"] == "all rows"
    assert {record["n"] < 12 for record in dropped(of_all)} == {True, False}
    reasons = of_all.tables["decisions"]["reason"].to_pylist()
    assert reasons.count("control: one of 12 drawn with seed 0 from all rows") == 12
    said = f"{most.path} kept fewer rows than it dropped, so the control is drawn from all rows"
    assert said in of_all.view.sentences[2]
    with pytest.raises(RunError, match="is a run of check; expected a run of select"):
        choose(rows, control_of=str(check(CheckSettings(rows=(str(rows),))).path))
    other = write_rows(workplace / "other.jsonl", [alpaca("Something", "else")])
    with pytest.raises(RunError, match="was made on other rows: it kept none of the 1 rows"):
        choose(other, control_of=str(second.path))


def test_a_part_of_what_was_dropped(workplace):
    records = [alpaca(f"Question {i}?", f"Answer {i}", n=i, rank=None if i == 2 else 10 - i) for i in range(12)]
    rows = write_rows(workplace / "rows.jsonl", records)
    first = choose(rows, where="n >= 3")
    second = choose(str(first.path), where="n >= 5")  # without n = 0 to 4, ranks 10, 9, none, 7, 6
    for part, out in ((0.4, [3, 4]), (0.5, [1, 3, 4]), (1, [0, 1, 2, 3, 4])):
        run = choose(rows, part_of=str(second.path), part=part, by="rank", ascending=True)
        assert [record["n"] for record in dropped(run)] == out
    half = choose(rows, part_of=str(second.path), by="rank", ascending=True)
    assert reasons(half)[4] == "part: rank 1 of 5 by rank (6)"
    assert half.result["dropped_by"] == {"part": 3}
    with pytest.raises(SettingsError, match="--part-of goes with --by, and without --top"):
        choose(rows, part_of=str(second.path))


@pytest.fixture
def reader(workplace):
    """Return the folder of a model whose tokenizer knows the microworld's words, and rows of it with a score."""
    pytest.importorskip("torch")
    from tunescope.microworld import make_world, true_rows
    from tunescope.microworld.model import save_random_model

    rows = [{**row, "n": (7 * i) % 20} for i, row in enumerate(true_rows(make_world(0))[:20])]
    return str(save_random_model(workplace / "reader", 0)), rows, write_rows(workplace / "worlds.jsonl", rows)


def lengths(model, rows):
    """Count the tokens of each row by transformers' own chat template, and those of the reply with its end of turn."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    counts = []
    for row in rows:
        prompt = row["instruction"] + (f"\n{row['input']}" if row["input"] else "")
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": row["output"]}]
        whole, asked = (
            tokenizer.apply_chat_template(m, tokenize=True, return_dict=False, add_generation_prompt=len(m) == 1)
            for m in (messages, messages[:1])
        )
        counts.append((len(whole), len(whole) - len(asked)))
    return counts


@pytest.mark.parametrize("ascending", [False, True])
def test_as_many_rows_as_fit_into_tokens(reader, ascending):
    model, records, path = reader
    counts = lengths(model, records)
    order = sorted(range(20), key=lambda i: records[i]["n"], reverse=not ascending)
    total, chosen = 0, set()
    for i in order:
        total += counts[i][0]
        if total > 200:
            break
        chosen.add(i)
    run = choose(path, tokens=200, by="n", ascending=ascending, model=model)
    assert kept(run) == [row for i, row in enumerate(records) if i in chosen]
    decisions = run.tables["decisions"]
    assert [*zip(decisions["tokens"].to_pylist(), decisions["supervised_tokens"].to_pylist(), strict=True)] == counts
    assert run.result["tokens"] == {
        "budget": 200,
        "kept": sum(counts[i][0] for i in chosen),
        "supervised": sum(counts[i][1] for i in chosen),
        "all_rows": sum(count for count, _ in counts),
        "model": model,
        "max_length": 1024,
    }
    last = order[len(chosen)]
    rank = f"tokens: rank {len(chosen) + 1} of 20 by n ({records[last]['n']}), behind the first 200 tokens"
    assert reasons(run)[last] == rank
    assert f"{run.result['tokens']['kept']} tokens of the 200 allowed" in run.view.sentences[2]


def test_tokens_without_a_number_draw_at_random(reader):
    model, records, path = reader
    counts = lengths(model, records)
    drawn = {
        seed: [kept(choose(path, tokens=tokens, seed=seed, model=model)) for tokens in (80, 160)] for seed in (0, 1)
    }
    for few, many in drawn.values():
        assert len(few) < len(many)
        assert all(row in many for row in few)
        assert sum(counts[records.index(row)][0] for row in many) <= 160
    assert drawn[0] != drawn[1]
    run = choose(path, tokens=80, where="source = 'open'", model=model)
    assert {row["source"] for row in kept(run)} == {"open"}
    assert any(reason and reason.endswith("with seed 0, behind the first 80 tokens") for reason in reasons(run))
    whole = choose(path, tokens=10_000, model=model)
    assert whole.result["dropped"] == 0
    assert "none was dropped for its tokens" in whole.view.sentences[2]


def test_tokens_count_what_tune_trains_on(reader, tmp_path):
    """Tokens beyond --max-length, and rows that can't be trained on, don't count."""
    model, records, _ = reader
    (first, supervised), *_ = lengths(model, records)
    path = write_rows(tmp_path / "two.jsonl", [records[0], {**records[1], "instruction": "cat " * 50}])
    run = choose(path, tokens=500, model=model, max_length=first - 1)
    decisions = run.tables["decisions"].to_pydict()
    assert decisions["tokens"] == [first - 1, 0]
    assert decisions["supervised_tokens"] == [supervised - 1, 0]
    cut = f"missing: no tokens to train on (its answer begins behind the first {first - 1} tokens)"
    assert decisions["reason"] == [None, cut]
    assert choose(path, tokens=500, model=model).path != run.path


def test_tokens_that_do_not_work(reader):
    model, _, path = reader
    for option, value in {"top": 3, "sample": 3, "control_of": "x", "part_of": "x"}.items():
        named = option.replace("_", "-")
        with pytest.raises(SettingsError, match=f"--tokens with --{named}: each says how many rows are kept"):
            choose(path, tokens=10, by="n", **{option: value})
    with pytest.raises(SettingsError, match=r"--tokens 3: the first row, \w+, has \d+; expected room for it at least"):
        choose(path, tokens=3, by="n", model=model)
    with pytest.raises(TunescopeError, match="no model nowhere/at/all"):
        choose(path, tokens=30, model="nowhere/at/all")
