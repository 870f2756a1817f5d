"""Overlap with benchmarks, against brute force over Python sets of n-grams."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.tools import alpaca, examples, real, write_rows

from tunescope.errors import InputError
from tunescope.text.words import hash_words, words
from tunescope.verbs.check import CheckSettings, check
from tunescope.verbs.check.benchmark_files import find_files, read_items
from tunescope.verbs.check.overlap import MOST_ITEMS, build_index

LONG = [f"long{i}" for i in range(40)]


def grams(texts: list[str]) -> set[tuple[str, ...]]:
    """Return an item's runs: 13 words, or the whole of a text of 8 to 12."""
    found = set()
    for text in texts:
        split = words(text)
        n = min(len(split), 13)
        found |= {tuple(split[i : i + n]) for i in range(len(split) - n + 1)} if n >= 8 else set()
    return found


def brute(items: list[list[str]], rows: list[str]):
    """Return what `find` should: each row's longest first overlap, and all items seen."""
    owners = defaultdict(list)
    for number, texts in enumerate(items):
        for gram in grams(texts):
            owners[gram].append(number)
    best, seen = [], set()
    for number, row in enumerate(rows):
        split, hits = words(row), []
        for n in range(8, 14):
            for start in range(len(split) - n + 1):
                items_with = owners.get(tuple(split[start : start + n]), [])
                if 0 < len(items_with) <= MOST_ITEMS:
                    seen.update(items_with)
                    hits.append((-n, start, items_with[0]))
        if hits:
            n, start, item = min(hits)
            best.append((number, item, start, -n))
    return best, seen


TEXT = st.lists(st.sampled_from("ab"), max_size=20).map(" ".join)


@given(st.lists(st.lists(TEXT, min_size=1, max_size=2), max_size=14), st.lists(TEXT, max_size=6))
@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_against_brute_force(tmp_path_factory, items, rows):
    path = tmp_path_factory.getbasetemp() / "items.jsonl"
    write_rows(path, [{"texts": texts} for texts in items] or [{}])
    index = build_index([path])
    found = index.find_overlaps(*hash_words(rows))
    best, seen = brute(items, rows)
    assert found.rows == best
    assert found.items == seen
    assert index.too_short[str(path)] == sum(not grams(texts) for texts in items) + (not items)


def test_a_run_of_phrasing_is_left_out(tmp_path):
    phrase = " ".join(LONG[:13])
    for copies, hits in ((MOST_ITEMS, 1), (MOST_ITEMS + 1, 0)):
        path = write_rows(tmp_path / f"{copies}.jsonl", [{"q": f"{phrase} {i}"} for i in range(copies)])
        assert len(build_index([path]).find_overlaps(*hash_words([phrase])).rows) == hits


def put(path: Path, texts: list[str]) -> Path:
    """Write benchmark items, a text each, in the form that the name asks for."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"q": texts}), path)
        return path
    if name.endswith(".csv"):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([text, "A"] for text in texts)
    elif name.endswith(".txt"):
        path.write_text("\n".join(texts) + "\n")
    elif name.endswith(".jsonl"):
        write_rows(path.with_name(name), [{"q": text} for text in texts])
        path.with_name(name).rename(path)
    elif name.startswith("task"):
        path.write_text(json.dumps({"canary": "x", "examples": [{"input": text} for text in texts]}, indent=1))
    else:
        path.write_text(json.dumps([{"q": {"deep": [text]}} for text in texts]))
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


FORMS = [
    "a.csv",
    "a.csv.gz",
    "a.txt",
    "a.txt.gz",
    "a.jsonl",
    "a.jsonl.gz",
    "a.json",
    "a.json.gz",
    "task.json",
    "a.parquet",
]


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_items(tmp_path, name):
    texts = ["First of all, an item.", 'Second, a "quoted" one,\twith ünïcode.', "third"]
    items = list(read_items(put(tmp_path / name, texts)))
    assert [item.texts[0] for item in items] == [text if ".txt" not in name else f"{text}\n" for text in texts]
    assert {item.location.file for item in items} == {str(tmp_path / name)}
    if "json" not in name or "jsonl" in name or name == "task.json":
        assert [item.location.line or item.location.record for item in items] == [1, 2, 3]


def test_lines_of_items(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbf"one,\nof two lines",x\n\n"two",y\n')
    assert [(item.location.line, item.texts) for item in read_items(tmp_path / "a.csv")] == [
        (1, ("one,\nof two lines", "x")),
        (4, ("two", "y")),
    ]
    (tmp_path / "a.txt").write_bytes(b"one\n\n \ntwo")
    assert [(item.location.line, item.texts) for item in read_items(tmp_path / "a.txt")] == [
        (1, ("one\n",)),
        (4, ("two",)),
    ]
    (tmp_path / "one.json").write_text('{"q": "a", "n": 1}')
    assert [(item.location.line, item.texts) for item in read_items(tmp_path / "one.json")] == [(None, ("a",))]
    (tmp_path / "lines.json").write_text('{"q": "a"}\n{"q": "b"}\n')
    assert [(item.location.line, item.texts) for item in read_items(tmp_path / "lines.json")] == [
        (1, ("a",)),
        (2, ("b",)),
    ]


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("a.csv", b"caf\xe9,1\n", "text that can't be read ('utf-8' codec can't decode byte 0xe9 in position 3"),
        ("a.txt", b"\xff\xfe", "text that can't be read ('utf-8' codec can't decode byte 0xff in position 0"),
        ("a.csv", b'"' + b"x" * 200_000 + b'"', "text that can't be read (field larger than field limit (131072))"),
        ("a.csv.gz", b"no gzip", "text that can't be read (Not a gzipped file (b'no'))"),
        ("a.json", b'{\n "examples": [\n', "found text that isn't JSON"),
        ("a.jsonl", b'{"q": "a"}\n{"q": \n', "a.jsonl:2: found text that isn't JSON"),
        ("a.json", b"", "an empty file"),
    ],
)
def test_what_cannot_be_read(tmp_path, name, data, found):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as caught:
        list(read_items(tmp_path / name))
    assert found in str(caught.value)


def test_files_folders_and_globs(tmp_path):
    for name in ("b/one.jsonl", "b/deep/two.csv", "b/readme.md", "b/list[1].txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")

    def found(*names: str) -> list[str]:
        return [str(path.relative_to(tmp_path)) for path in find_files([str(tmp_path / name) for name in names])]

    assert found("b") == ["b/deep/two.csv", "b/list[1].txt", "b/one.jsonl"]
    assert found("b/**/*.csv", "b/one.jsonl") == ["b/deep/two.csv", "b/one.jsonl"]
    assert found("b/one.jsonl", "b", "b/*") == ["b/one.jsonl", "b/deep/two.csv", "b/list[1].txt"]
    assert found("b/list[1].txt") == ["b/list[1].txt"]
    for nothing in ("c", "b/*.json", "b/readme.md"):
        with pytest.raises(InputError, match="found no benchmark file; expected a"):
            found(nothing)


def test_in_a_run(workplace):
    items = ["Which is the only one of the planets that turns on its side, and why?", "Too short to tell."]
    (workplace / "bench.txt").write_text("\n".join(items))
    put(workplace / "other.jsonl", [" ".join(LONG)])
    records = [
        alpaca("Nothing here.", "Nothing at all."),
        alpaca(f"Tell me: {items[0].upper()}", "It is Uranus."),
        alpaca("Which is the only one of the planets that turns on its head?", "None of them does."),
        alpaca("Long?", " ".join(LONG[5:25]) + "."),
    ]
    path = write_rows(workplace / "rows.jsonl", records)
    run = check(CheckSettings(rows=(str(path),), against=("bench.txt", "other.jsonl")))
    ids = run.tables["rows"]["row_id"].to_pylist()
    assert run.tables["rows"]["benchmark_overlap"].to_pylist() == [False, True, False, True]
    found = {f["row_id"]: f["detail"] for f in run.tables["faults"].to_pylist() if f["fault"] == "benchmark_overlap"}
    assert found == {
        ids[1]: "13 words of bench.txt:1: 'which is the only one of the planets that turns on its side'",
        ids[3]: f"13 words of other.jsonl:1: '{' '.join(LONG[5:18])}'",
    }
    assert run.result["benchmarks"] == [
        {"file": "bench.txt", "items": 2, "too_short": 1, "items_in_rows": 1},
        {"file": "other.jsonl", "items": 1, "too_short": 0, "items_in_rows": 1},
    ]
    assert run.view.tables[2].rows == (("bench.txt", 2, 1, 1), ("other.jsonl", 1, 0, 1))
    without = check(CheckSettings(rows=(str(path),)))
    assert "benchmark_overlap" not in without.tables["rows"].column_names
    assert "benchmarks" not in without.result
    (workplace / "bench.txt").write_text("changed")
    assert check(CheckSettings(rows=(str(path),), against=("bench.txt", "other.jsonl"))).path != run.path


def test_an_item_counts_also_where_a_row_shares_more_with_another(workplace):
    """One row holds three items; its detail names the longest, the count all."""
    items = [" ".join(LONG[:9]), " ".join(LONG[10:30]), " ".join(LONG[30:39])]
    put(workplace / "bench.txt", items)
    path = write_rows(workplace / "rows.jsonl", [alpaca("All?", " ".join(LONG))])
    run = check(CheckSettings(rows=(str(path),), against=("bench.txt",)))
    assert [f["detail"] for f in run.tables["faults"].to_pylist()] == [
        f"13 words of bench.txt:2: '{' '.join(LONG[10:23])}'"
    ]
    assert run.result["benchmarks"] == [{"file": "bench.txt", "items": 3, "too_short": 0, "items_in_rows": 3}]


@pytest.mark.slow
def test_planted_among_real_rows_and_real_benchmarks(workplace):
    benchmarks = real("benchmarks")
    rows = json.loads(real("instructions", "rasbt_1100.json").read_text("utf-8"))
    clean = check(CheckSettings(rows=(str(real("instructions", "rasbt_1100.json")),), against=(str(benchmarks),)))
    before = clean.result["faults"]["benchmark_overlap"]
    path = next(p for p in find_files([str(benchmarks)]) if p.name == "us_foreign_policy_test.csv")
    item = max(read_items(path), key=lambda item: len(words(item.texts[0])))
    rows.insert(500, alpaca("Discuss.", item.texts[0]))
    planted = check(CheckSettings(rows=(str(write_rows(workplace / "rows.jsonl", rows)),), against=(str(benchmarks),)))
    assert planted.result["faults"]["benchmark_overlap"] == before + 1
    row = planted.tables["rows"]["row_id"][500].as_py()
    details = [f["detail"] for f in planted.tables["faults"].to_pylist() if f["row_id"] == row]
    assert any(detail.startswith(f"13 words of {item.location}: ") for detail in details)
    counts = {b["file"]: b["items_in_rows"] for b in planted.result["benchmarks"]}
    assert counts[str(path)] == {b["file"]: b["items_in_rows"] for b in clean.result["benchmarks"]}[str(path)] + 1
