"""`trace index`: what is kept of rows, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tests.tools import ROOT, alpaca, write_rows
from tests.verbs.trace.planted import indexed, rows

from tunescope import runs
from tunescope.errors import InputError, RunError, SettingsError
from tunescope.matching import suffix_array
from tunescope.matching.word_ids import END
from tunescope.rows import open_rows
from tunescope.verbs.trace import index_rows, trace
from tunescope.verbs.trace.index import ROWS_PER_BLOCK, Index, Text
from tunescope.verbs.trace.settings import IndexSettings, TraceSettings

pytestmark = pytest.mark.usefixtures("workplace")

CHAT = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Uno.", "thinking": "Spanish, then."},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "count", "arguments": "{}"}}]},
        {"role": "tool", "content": "dos"},
        {"role": "assistant", "content": "Dos."},
    ]
}


def test_rows_come_back(tmp_path):
    made = indexed(tmp_path, rows(2 * ROWS_PER_BLOCK + 3))
    read = list(open_rows([str(tmp_path / "rows.jsonl")]))
    kept = list(made.rows())
    assert [(r.row_id, r.origin, r.location) for r in kept] == [(r.id, r.origin, r.location) for r in read]
    assert [(r.text("instruction"), r.text("response")) for r in kept] == [(r.instruction, r.response) for r in read]
    for number in (0, ROWS_PER_BLOCK - 1, ROWS_PER_BLOCK, 2 * ROWS_PER_BLOCK, 2 * ROWS_PER_BLOCK + 2):
        assert made.row(number) == kept[number]


def test_fields_of_a_conversation(tmp_path):
    made = indexed(tmp_path, [CHAT, CHAT])
    (first, second) = made.rows()
    assert first.texts == (
        Text("system", "Be brief."),
        Text("instruction", "One?"),
        Text("response thinking", "Spanish, then."),
        Text("response", "Uno."),
        Text("instruction 2", "Two?"),
        Text("tool", "dos"),
        Text("response 2", "Dos."),
    )
    assert second.row_id == f"{first.row_id}.2"
    assert made.field(5) == (first, Text("tool", "dos"))
    assert made.field(7 + 3) == (second, Text("response", "Uno."))
    assert made.first_texts.tolist() == [0, 7, 14]
    assert [int(n) for n in made.words_of(1)].count(END) == 7
    assert made.words_of(0).tolist() == made.words_of(1).tolist()


def test_words_and_their_places(tmp_path):
    made = indexed(tmp_path, rows(50))
    ids = np.array(made.ids)
    texts = [text.text for row in made.rows() for text in row.texts]
    for number, text in enumerate(texts):
        begin = int(made.starts[number])
        own = made.numbering.look_up(text)
        assert ids[begin : begin + len(own)].tolist() == own.tolist()
        assert ids[begin + len(own)] == END
        assert made.field(number)[1].text == text
    assert made.counts.tolist() == [0, *np.bincount(ids)[1:].tolist()]
    assert made.order.tolist() == suffix_array.build(ids).tolist()
    assert made.buckets.tolist() == suffix_array.bucket_starts(ids, len(made.counts) - 1).tolist()
    assert made.about["words"] == int((ids != END).sum()) == int(made.counts.sum())
    assert made.bits[1:] == pytest.approx(-np.log2(made.counts[1:] / made.counts.sum()))


def test_information_of_words(tmp_path):
    made = indexed(tmp_path, [alpaca("a b", "c d e f a b")])
    a, b, c = (made.numbering.look_up(word)[0] for word in "abc")
    bits = made.bits

    def of(text, prompt=None):
        look = made.numbering.look_up
        return made.information(look(text), None if prompt is None else look(prompt)).tolist()

    assert of("a b c") == [bits[a], bits[b], bits[c]]
    assert of("a zzz c") == [bits[a], 0, bits[c]], "no bits of a word that no row has"
    assert of("a b c a b") == [bits[a], bits[b], bits[c], bits[a], 0], "none of a pair that stood before"
    assert of("a b c", "x A B") == [bits[a], 0, bits[c]], "none of a pair of the prompt"
    assert of("b a", "a b") == [bits[b], bits[a]]
    assert of("") == []


def test_lineage_is_kept(tmp_path):
    from tunescope.verbs.select import SelectSettings, select

    write_rows(tmp_path / "all.jsonl", rows(12))
    kept = select(SelectSettings(rows=(str(tmp_path / "all.jsonl"),), sample=5)).path / "rows.jsonl"
    beside = kept.with_name("rows.lineage.jsonl")
    read = list(open_rows([str(kept)]))
    first = {"row_id": read[0].id, "origin": "0123456789abcdef"}
    step = {"operation": "mend", "version": 1, "parents": ["x"], "reason": "r", "prompt_hash": None, "call_ids": []}
    beside.write_text(json.dumps({**first, "lineage": [{**step, "old": {"output": "before"}}]}) + "\n")
    made = Index(index_rows(IndexSettings(rows=(str(kept),))).path)
    row, other = made.row(0), made.row(1)
    assert (row.origin, row.lineage) == ("0123456789abcdef", ({**step, "old": {"output": "before"}},))
    assert (other.origin, other.lineage) == (other.row_id, ())


def test_rows_without_words(tmp_path):
    made = indexed(tmp_path, [alpaca(" ", ""), alpaca("", "a"), alpaca("\n", " ")])
    assert [[text.text for text in row.texts] for row in made.rows()] == [[" "], ["a"], ["\n", " "]]
    assert made.ids.tolist() == [END, 1, END, END, END]
    bare = indexed(tmp_path, [alpaca("", "")] * 3, "bare.jsonl")
    assert (bare.about["rows"], bare.about["texts"], bare.about["words"]) == (3, 0, 0)
    assert bare.words_of(1).tolist() == []
    assert [row.texts for row in bare.rows()] == [()] * 3
    run = trace(TraceSettings(rows=(str(bare.path),), text="any words at all"))
    assert run.result["spans"] == run.result["rows_named"] == []
    assert run.view.sentences[0] == "No row shares an informative stretch with this text's 4 words."


def test_the_run_says_what_was_indexed(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", rows(300))
    run = index_rows(IndexSettings(rows=(str(path),)))
    made = Index(run.path)
    assert {k: run.result[k] for k in ("rows", "texts", "words")} == {"rows": 300, "texts": 600, "words": 300 * 48}
    assert run.result["vocabulary"] == len(made.numbering.words)
    assert run.result["bytes"] == sum(
        p.stat().st_size for p in run.path.iterdir() if p.is_file() and p.name not in ("run.json",)
    )
    assert made.fingerprint == run.result["dataset_fingerprint"] == next(iter(run.info["inputs"].values()))
    assert (
        run.result["null_source"]
        == "300 responses of these rows, each compared with all rows but its own and near-duplicates"
    )
    assert run.result["threshold_bits"] >= 30
    assert run.view.next == (
        f'tunescope trace --text "a sentence" --rows {path}',
        f"tunescope trace --answers ANSWERS --rows {path}",
    )
    assert index_rows(IndexSettings(rows=(str(path),))).path == run.path


def test_rows_too_short_to_say_what_chance_is(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", [alpaca("Two and two?", "Four.")] * 3)
    run = index_rows(IndexSettings(rows=(str(path),)))
    assert run.result["threshold_bits"] is None
    assert run.view.sentences[1] == (
        "No response has 8 words or more, so there is no null distribution. Trace answers with --reference."
    )
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt_id": "1", "prompt": "x", "text": "Two and two."}) + "\n")
    with pytest.raises(SettingsError, match=r"there is no null distribution: found no response .* at least 200"):
        trace(TraceSettings(rows=(str(path),), answers=str(tmp_path / "a.jsonl")))


def test_bad_rows_are_refused_or_skipped(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(20)) + '{"instruction": 3, "output": "x"}\n')
    with pytest.raises(InputError):
        index_rows(IndexSettings(rows=(str(path),)))
    assert not list(runs.root().glob("*/*")), "nothing is left of it"
    run = index_rows(IndexSettings(rows=(str(path),), on_bad="skip"))
    assert run.result["rows"] == 20
    assert [record["line"] for record in run.records("rejected")] == [21]


def test_an_index_is_found_by_its_folder(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", rows(60))
    made = index_rows(IndexSettings(rows=(str(path),)))
    text = rows(60)[7]["output"]
    by_folder = trace(TraceSettings(rows=(str(made.path),), text=text))
    by_file = trace(TraceSettings(rows=(str(path),), text=text))
    assert by_folder.key == by_file.key
    assert by_folder.result["rows_named"][0]["line"] == 8


def test_rows_that_changed_since(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", rows(30))
    made = index_rows(IndexSettings(rows=(str(path),)))
    write_rows(path, rows(31))
    with pytest.raises(InputError, match=r"rows.jsonl: found rows that changed since the index was built"):
        trace(TraceSettings(rows=(str(made.path),), text="any"))
    path.unlink()
    assert trace(TraceSettings(rows=(str(made.path),), text="any")).result["spans"] == [], "an index needs no rows"


def test_an_index_of_another_version(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", rows(30))
    made = index_rows(IndexSettings(rows=(str(path),)))
    about = json.loads((made.path / "index.json").read_text())
    (made.path / "index.json").write_text(json.dumps({**about, "version": 99}))
    with pytest.raises(RunError, match=r"found an index of version 99; expected version 4.2; rebuild it"):
        trace(TraceSettings(rows=(str(made.path),), text="any"))


def test_no_index(tmp_path):
    with pytest.raises(RunError, match=r"found no index of rows; build one with: tunescope trace index ROWS"):
        Index(tmp_path)
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(RunError, match="found no index of rows"):
        Index(tmp_path)


def test_indexes_of_the_same_file_read_differently_are_different_runs(tmp_path):
    """The columns are in the index; a trace of its folder must not find the run of another one."""
    records = [{"instruction": r["instruction"], "a": r["output"], "b": s["output"]} for r, s in
               zip(rows(40), rows(40, seed=1), strict=True)]  # fmt: skip
    path = write_rows(tmp_path / "rows.jsonl", records)
    one, two = (index_rows(IndexSettings(rows=(str(path),), columns=(f"output={name}",))) for name in "ab")
    text = records[3]["a"]
    right, wrong = (trace(TraceSettings(rows=(str(run.path),), text=text)) for run in (one, two))
    assert right.path != wrong.path
    assert right.result["rows_named"][0]["line"] == 4
    assert [row for row in wrong.result["rows_named"] if row["line"] == 4] == []


def test_an_index_moves(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", rows(40))
    made = index_rows(IndexSettings(rows=(str(path),)))
    shutil.move(made.path, tmp_path / "elsewhere")
    run = trace(TraceSettings(rows=(str(tmp_path / "elsewhere"),), text=rows(40)[2]["output"]))
    assert run.result["rows_named"][0]["line"] == 3


def test_more_words_than_two_bytes_number(tmp_path):
    names = [f"w{i}" for i in range(70_000)]
    made = indexed(tmp_path, [alpaca("all", " ".join(names)), *rows(20)])
    assert made.ids.dtype == np.uint32
    assert indexed(tmp_path, rows(20), "few.jsonl").ids.dtype == np.uint16
    run = trace(TraceSettings(rows=(str(made.path),), text=" ".join(names[69_000:69_020])))
    assert run.result["rows_named"][0]["shared"][0][2] == len(" ".join(names[:69_000])) + 1
    assert made.order.tolist() == suffix_array.build(np.array(made.ids)).tolist()


def test_rows_too_many_for_a_suffix_array(tmp_path):
    """Without order.npy, as of sets beyond 2 GiB, all is found by reading."""
    made = indexed(tmp_path, rows(80))
    text = rows(80)[5]["output"]
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt_id": "1", "prompt": "x", "text": text}) + "\n")
    asked = [{"text": text}, {"answers": str(tmp_path / "a.jsonl")}]
    with_it = [trace(TraceSettings(rows=(str(made.path),), **each, out=str(tmp_path / str(i)))) for i, each in
               enumerate(asked)]  # fmt: skip
    (made.path / "order.npy").unlink()
    assert Index(made.path).order is None
    for number, each in enumerate(asked):
        without = trace(TraceSettings(rows=(str(made.path),), **each, out=str(tmp_path / f"{number} without")))
        assert list(without.records("spans")) == list(with_it[number].records("spans")) != []


def test_several_files(tmp_path):
    one, two = (write_rows(tmp_path / f"{name}.jsonl", rows(30, seed=name)) for name in (1, 2))
    run = trace(TraceSettings(rows=(str(one), str(two)), text=rows(30, seed=2)[4]["output"]))
    assert (run.result["rows_named"][0]["file"], run.result["rows_named"][0]["line"]) == (str(two), 5)
    assert run.view.texts[1].title.startswith(f"1. {two}:5, row ")
    twice = trace(TraceSettings(rows=(str(one), str(one)), text=rows(30, seed=1)[4]["output"]))
    assert [row["group_size"] for row in twice.result["rows_named"][:1]] == [2]
    asked = Index(index_rows(IndexSettings(rows=(str(one), str(two)))).path)
    assert asked.fingerprint == " ".join(open_rows([str(one), str(two)]).inputs.values())


def test_a_later_turn_is_named(tmp_path):
    """Fields of later turns say which; a stretch in the second answer is found there."""
    text = rows(1, seed=77)[0]["output"]
    chat = {
        "messages": [
            {"role": "user", "content": "First?"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "Second?"},
            {"role": "assistant", "content": text},
        ]
    }
    others = [{"messages": [{"role": "user", "content": r["instruction"]},
                            {"role": "assistant", "content": r["output"]}]} for r in rows(40)]  # fmt: skip
    made = indexed(tmp_path, [*others, chat])
    run = trace(TraceSettings(rows=(str(made.path),), text=text))
    row = run.result["rows_named"][0]
    assert (row["line"], row["field"], row["row_char_start"], row["row_char_end"]) == (41, "response 2", 0, len(text))
    assert "response 2: " in run.view.texts[1].title


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "needed", "command"),
    [
        ("pydivsufsort", "indexing rows", ["trace", "index", "rows.jsonl"]),
        ("numba", "tracing many answers", ["trace", "index", "rows.jsonl"]),
        ("bm25s", "ranking rows by their prompts", ["trace", "rows.jsonl", "--answers", "a.jsonl"]),
    ],
)
def test_a_package_that_isnt_installed(tmp_path, package, needed, command):
    write_rows(tmp_path / "rows.jsonl", rows(40))
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt_id": "1", "prompt": "x", "text": rows(40)[0]["output"]}))
    code = f"import sys; sys.modules[{package!r}] = None; from tunescope import cli; sys.exit(cli.run({command!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(ROOT / "src")})  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert package in line
    assert needed in line
    assert "tunescope[trace]" in line


@pytest.mark.parametrize("name", ["ids.npy", "blocks.npy", "null-scores.npy", "rows.bin", "words.txt", "null.txt"])
def test_a_damaged_index_is_told_in_one_sentence(workplace, name):
    write_rows(workplace / "rows.jsonl", rows(30, 1))
    made = index_rows(IndexSettings(rows=("rows.jsonl",)))
    (made.path / name).write_bytes(b"x" if name.endswith((".npy", ".bin")) else b"")
    if name.endswith(".txt"):
        (made.path / name).unlink()
    with pytest.raises(RunError, match=r"found a damaged index .*; remove the folder and rebuild it with"):
        trace(TraceSettings(rows=(str(made.path),), text=rows(30, 1)[0]["output"]))


def test_of_an_index_the_files_that_are_there_are_looked_at(workplace, capsys):
    for name, seed in (("a", 1), ("b", 2)):
        write_rows(workplace / f"{name}.jsonl", rows(30, seed))
    made = index_rows(IndexSettings(rows=("a.jsonl", "b.jsonl"), out="made"))
    (workplace / "b.jsonl").unlink()
    trace(TraceSettings(rows=("made",), text="any words"))
    assert "made: can't find b.jsonl, so the index isn't checked against it" in capsys.readouterr().err
    write_rows(workplace / "a.jsonl", rows(30, 3))
    with pytest.raises(InputError) as caught:
        trace(TraceSettings(rows=(str(made.path),), text="other words"))
    assert str(caught.value) == (
        "a.jsonl: found rows that changed since the index was built; expected the content that was indexed\n"
        "Rebuild it with: tunescope trace index a.jsonl b.jsonl --out ANOTHER_FOLDER"
    )


def test_an_index_knows_how_it_was_read(workplace):
    write_rows(workplace / "rows.jsonl", rows(30, 1))
    made = index_rows(IndexSettings(rows=("rows.jsonl",)))
    with pytest.raises(SettingsError, match="--format doesn't apply to an index"):
        trace(TraceSettings(rows=(str(made.path),), text="any words", format="alpaca"))
