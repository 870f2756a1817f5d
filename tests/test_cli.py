"""The command line: exit codes, what goes where, options that are the settings, and odd terminals."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import MISSING, fields
from pathlib import Path
from typing import get_origin, get_type_hints

import pytest

from tests import warm
from tests.tools import ROOT, alpaca, read_rows, steers, tunescope, write_rows
from tunescope import __version__, cli
from tunescope.cli.arguments import find_verb, with_our_names
from tunescope.settings import as_option, help_of, make
from tunescope.verbs import QUESTIONS, VERBS

DEMO = str(ROOT / "recipes/lora-and-full/rows.json")
PROVEN = [name for name, verb in VERBS.items() if verb.proven]


@pytest.fixture
def rows(workplace):
    records = [alpaca("How are you?", "Fine, thank you."), alpaca("Say nothing.", ""), alpaca("And you?", "Fine, too.")]
    return write_rows(workplace / "rows.jsonl", records)


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code, stdout and stderr."""
    code = cli.run(list(arguments))
    return code, *capsys.readouterr()


def test_done(rows, capsys):
    code, out, err = run(capsys, "check", "rows.jsonl")
    assert code == 0
    sentence = "3 rows (alpaca in jsonl): 1 (33.3 %) has at least one of the 13 faults that check looks for."
    assert " ".join(out.split()).startswith(sentence)
    assert err == ""
    code, again, err = run(capsys, "check", "rows.jsonl")
    assert (code, again) == (0, out)
    assert re.fullmatch(r"runs/check-[0-9a-f]{12} holds this run already; nothing was run again\n", err)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["check", "no.json"], "no.json: found no such file; expected a file"),
        (["check", "rows.jsonl", "--out", "rows.jsonl"], "rows.jsonl: found a file; expected a folder"),
        (["check", "rows.jsonl", "--fail-on", "a >"], "found 'the end', expected a name or a value in the expression"),
        (["check", "rows.jsonl", "--fail-on", "emty > 1"], "there is no 'emty' here; there is"),
        (["select", "rows.jsonl"], "nothing to select by"),
        (["select", "rows.jsonl", "--where", "x = 1"], "there is no 'x' here; there is"),
        (["select", "rows.jsonl", "--where", "line > 1", "--from", "no"], "no: found no such folder"),
        (["select", "rows.jsonl", "--where", "faulty=false"], "there is no 'faulty' here; there is input"),
        (["select", "rows.jsonl", "--where", "line", "=", "1"], "2 problems in the input:\n  =: found an operator"),
        (["judge", "leaderboard", "rows.jsonl"], "rows.jsonl: found a file (a verb that reads it makes the run)"),
        (["report", "."], ".: found a folder that is no run; expected a finished run folder"),
        (["compare", "rows.jsonl", "no.json"], "no.json: found no such file"),
        (["why", "0123456789"], "no run in runs has a row '0123456789'"),
        (["study", "run", "no"], "no: no such recipe file; shipped are close-the-loop, demo"),
        (["check", "rows.jsonl", "--out", "/proc/nowhere/run"], "[Errno 2] No such file or directory: '/proc/nowhere"),
    ],
)
def test_refused_in_one_sentence(rows, capsys, arguments, sentence):
    code, out, err = run(capsys, *arguments)
    assert code == 1
    assert err.startswith(f"tunescope: {sentence}")
    assert "Traceback" not in err
    assert out == "" or "--fail-on" in arguments


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["chekc", "rows.jsonl"], "there is no verb chekc; did you mean check?"),
        (["label", "rows.jsonl"], "there is no verb label; type: tunescope --help"),
        (["study", "runs"], "there is no verb study runs; did you mean study run?"),
        (["--verson"], "there is no option --verson; did you mean --version?"),
        (["study", "--plan"], "there is no option --plan; type: tunescope --help"),
        (["chekc", "--json"], "there is no verb chekc; did you mean check?"),
        (["check"], "no rows are given; type a file, or --masks with --model or --template"),
        (["compare"], "A is missing\nUsage: tunescope compare [OPTIONS] A B"),
        (["compare", "rows.jsonl"], "B is missing"),
        (["why"], "ROW_ID is missing"),
        (["repair", "rate", "rows.jsonl"], "--oracle is missing"),
        (["compare", "a", "b", "c"], "nothing takes c"),
        (["check", "rows.jsonl", "--max-word", "3"], "there is no option --max-word; did you mean --max-words?"),
        (["check", "--max-word", "3", "rows.jsonl"], "there is no option --max-word; did you mean --max-words?"),
        (["check", "rows.jsonl", "--near-dup-at=0.9"], "there is no option --near-dup-at; did you mean --near-dup"),
        (["check", "rows.jsonl", "--output", "x"], "there is no option --output; did you mean --out? The run folder"),
        (["check", "rows.jsonl", "-o", "x"], "there is no option -o; did you mean --out? The run folder"),
        (["check", "--dataset", "rows.jsonl"], "there is no option --dataset; did you mean ROWS? Row files: "),
        (["check", "rows.jsonl", "-q"], "there is no option -q\n"),
        (["tune", "rows.jsonl", "--lora_alpha", "32"], "there is no option --lora_alpha; did you mean --lora-rank? "),
        (["why", "a", "--fail-on", "x > 1"], "there is no option --fail-on"),
        (["check", "rows.jsonl", "--max-words"], "--max-words is without its value; expected a whole number, at le"),
        (["check", "rows.jsonl", "--max-words", "--json"], "--max-words is without its value; expected a whole num"),
        (["check", "rows.jsonl", "--workers", "1", "--workers", "2"], "--workers is given twice"),
        (["check", "rows.jsonl", "--max-words", "0"], "--max-words 0: expected at least 1"),
        (["check", "rows.jsonl", "--max-words", "-1"], "--max-words -1: expected at least 1"),
        (["check", "rows.jsonl", "--json=maybe"], "--json maybe: expected true or false"),
        (["check", "rows.jsonl", "--max-words", "many"], "--max-words many: expected a whole number, at least 1"),
        (["check", "rows.jsonl", "--max-words", "1.5"], "--max-words 1.5: expected a whole number, at least 1"),
        (["check", "rows.jsonl", "--workers", "1e3"], "--workers 1e3: expected a whole number, at least 1"),
        (["check", "rows.jsonl", "--near-duplicate-at", "x"], "--near-duplicate-at x: expected a number, above 0 and"),
        (["check", "rows.jsonl", "--near-duplicate-at", "nan"], "--near-duplicate-at nan: expected above 0 and at "),
        (["check", "rows.jsonl", "--on-bad", "maybe"], "--on-bad maybe: expected refuse or skip"),
        (["measure", "rows.jsonl", "--without", "x"], "--without x: expected lengths, "),
        (["models", "--fetch", "gpt"], "--fetch gpt: expected smollm2-135m or "),
    ],
)
def test_wrong_usage(rows, capsys, arguments, sentence):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"tunescope: {sentence}")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("gate", "code", "sentence"),
    [
        ("empty_answer > 0", 3, "tunescope: the gate 'empty_answer > 0' holds\n"),
        ("empty_answer > 1", 0, ""),
        ("empty_answer > 33%", 3, "tunescope: the gate 'empty_answer > 33%' holds\n"),
        ("empty_answer > 34%", 0, ""),
        (
            "faults.empty_answer = 1 and rows = 3",
            3,
            "tunescope: the gate 'faults.empty_answer = 1 and rows = 3' holds\n",
        ),
        ("refusal > 0 or not faulty_rows > 0", 0, ""),
    ],
)
def test_a_gate(rows, capsys, gate, code, sentence):
    found, out, err = run(capsys, "check", "rows.jsonl", "--fail-on", gate)
    assert (found, err) == (code, sentence)
    assert out.startswith("3 rows")


def test_a_gate_that_cannot_be_told_fails(rows, capsys):
    write_rows(Path("b.jsonl"), [alpaca("Other?", "Another one.")])
    code, _, err = run(capsys, "compare", "rows.jsonl", "b.jsonl", "--fail-on", "changed > 1%")
    assert (code, err.splitlines()[-1]) == (
        3,
        "tunescope: the gate 'changed > 1%' can't be told: a number it needs is missing",
    )


def test_json_is_one_object_with_the_names_of_the_design(rows, capsys):
    code, out, _ = run(capsys, "check", "rows.jsonl", "--json")
    result = json.loads(out)
    assert code == 0
    names = ["rows", "faulty_rows", "rejected", "rows_in_characters", "faults", "surely_wrong_rows", "surely_wrong"]
    assert list(result) == [*names, "run"]
    assert (result["rows"], result["faults"]["empty_answer"]) == (3, 1)
    checked = result["run"]
    _, out, _ = run(capsys, "select", "rows.jsonl", "--from", checked, "--where", "not faulty", "--json")
    result = json.loads(out)
    assert list(result) == ["rows", "kept", "changed", "dropped", "dropped_by", "rejected", "files", "run"]
    assert (result["kept"], result["dropped"]) == (2, 1)
    _, out, _ = run(capsys, "compare", "rows.jsonl", result["run"], "--json")
    result = json.loads(out)
    assert {"a", "b", "same", "changed", "removed", "added", "paired_by", "summary", "run"} <= set(result)
    assert {"mean", "low", "high", "n", "n_missing"} <= set(result["summary"]["turns"]["difference"])
    row = read_rows(Path(result["run"]).parent.parent / "rows.jsonl")[1]
    assert row["output"] == ""
    why = json.loads(run(capsys, "why", row_id(checked, 1), "--json")[1])
    assert list(why) == ["row_id", "origin", "file", "line", "record", "messages", "lineage", "events"]
    plan = json.loads(run(capsys, "study", "plan", "demo", "--json")[1])
    assert list(plan) == ["recipe", "steps"]


def row_id(folder: str, number: int) -> str:
    import pyarrow.parquet as pq

    return pq.read_table(Path(folder) / "rows.parquet")["row_id"][number].as_py()


def test_gates_and_json_together(rows, capsys):
    code, out, err = run(capsys, "check", "rows.jsonl", "--json", "--fail-on", "empty_answer > 0")
    assert (code, json.loads(out)["rows"]) == (3, 3)
    assert err == "tunescope: the gate 'empty_answer > 0' holds\n"


@pytest.mark.parametrize("name", PROVEN)
def test_options_are_the_settings_with_their_sentences_and_defaults(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    settings = VERBS[name].settings_class()
    code, out, _ = run(capsys, *name.split(), "--help")
    assert code == 0
    out = re.sub(r"^(  --\S+ \S+)\n {30}", r"\1  ", out, flags=re.MULTILINE)  # a long name has a line for itself
    lines = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    for field in fields(settings):
        several = "..." if get_origin(get_type_hints(settings)[field.name]) is tuple else ""
        word = f"{field.name.upper()}{several}" if field.metadata.get("positional") else as_option(field.name)
        line = lines[word]
        assert help_of(settings, field.name) in line
        assert ("[required]" in line) == (field.default is MISSING)
        if isinstance(field.default, bool):
            assert line.endswith("[default: false]")
        elif isinstance(field.default, int | float | str):
            assert line.endswith(
                f"[default: {field.default:g}]" if isinstance(field.default, float) else f"{field.default}]"
            )
        if "range" in field.metadata:
            assert f" [{field.metadata['range']}]" in line
        assert not any(f"--{alias}" in out for alias in field.metadata.get("alias", ()))
    assert "--json" in lines
    assert ("--fail-on" in lines) == any(field.name == "out" for field in fields(settings))


def test_help_has_a_verbs_own_options_first_and_the_shared_ones_under_their_headings(capsys):
    _, out, _ = run(capsys, "repair", "reflect", "--help")
    lines = out.splitlines()
    assert lines[0] == "Usage: tunescope repair reflect --oracle ORACLE [OPTIONS] ROWS..."
    titles = [line for line, before in zip(lines[3:], lines[2:], strict=False) if before == "" and line]
    shared = ["Model", "Rows", "Oracle", "Calls", "Cost", "Journal and batches"]
    assert titles == ["Input", "Options", *shared, "Output", "Examples"]
    own = lines[lines.index("Options") : lines.index("Model")]
    assert any(line.startswith("  --stage") for line in own)
    assert not any(line.startswith("  --oracle") for line in own)
    titles = re.findall(r"^[A-Z][A-Za-z]+$", run(capsys, "tune", "--help")[1], re.MULTILINE)
    assert titles[:5] == ["Input", "Options", "Steps", "LoRA", "Checkpoints"]


@pytest.mark.parametrize("name", VERBS)
def test_the_examples_are_two_and_can_be_typed(name):
    verb = VERBS[name]
    assert len(set(verb.examples)) == 2
    for example in verb.examples:
        arguments = shlex.split(example)
        assert arguments[: len(name.split())] == name.split()
        if verb.proven:
            assert find_verb(arguments) == name
            _, bound, _ = cli.build(name).parse_args(
                with_our_names(name, arguments), exit_on_error=False, print_error=False
            )
            values = {key: value for key, value in bound.arguments.items() if key not in ("json", "fail_on")}
            assert isinstance(make(verb.settings_class(), values), verb.settings_class())


def test_help_lists_the_proven_verbs_in_the_order_of_work_under_their_questions(workplace, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    code, out, err = run(capsys, "--help")
    assert (code, err) == (0, "")
    listed = re.findall(r"^  ([a-z]+)  ", out, re.MULTILINE)
    assert listed == list(dict.fromkeys(name.split()[0] for name in PROVEN))
    questions = [line for line in out.splitlines() if line in QUESTIONS]
    assert questions == list(QUESTIONS)
    for name in PROVEN:
        if " " not in name:
            assert VERBS[name].summary in out
    assert run(capsys)[:2] == (0, out)
    _, out, _ = run(capsys, "study", "--help")
    assert re.findall(r"^  ([a-z]+)  ", out, re.MULTILINE) == ["plan", "run", "analyze", "match", "race"]
    assert run(capsys, "--version")[:2] == (0, f"{__version__}\n")


def test_a_list_is_given_by_repeating_the_option(rows, capsys):
    for name in ("b.txt", "c.txt"):
        Path(name).write_text("say nothing at all to me or to anyone else here\n")
    _, out, _ = run(capsys, "check", "rows.jsonl", "rows.jsonl", "--against", "b.txt", "--against", "c.txt", "--json")
    result = json.loads(out)
    assert [b["file"] for b in result["benchmarks"]] == ["b.txt", "c.txt"]


# From here on in other processes: streams, signals and encodings are the process's own.


def test_results_on_stdout_and_talk_on_stderr(rows, workplace):
    done = tunescope("check", "rows.jsonl", "rows.jsonl", "--json", folder=workplace)
    assert done.returncode == 0
    assert json.loads(done.stdout)["rows"] == 6
    assert "chunks: 2 of 2" in done.stderr
    assert "\r" not in done.stderr


def test_rows_from_a_pipe(rows, workplace):
    done = tunescope("check", "-", "--json", folder=workplace, stdin=rows.read_bytes())
    assert (done.returncode, json.loads(done.stdout)["rows"]) == (0, 3)


@pytest.mark.slow
def test_a_reader_that_has_seen_enough(workplace):
    """`| head -1`: no traceback, and the exit code is the run's."""
    command = f"{sys.executable} -m tunescope check {DEMO}; echo $? > code"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TUNESCOPE_RUNS": "runs"}
    process = subprocess.Popen(
        ["sh", "-c", command], cwd=workplace, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    err = process.stderr.read()
    process.wait(60)
    assert err == b""
    assert (workplace / "code").read_text() == "0\n"


@pytest.mark.slow
def test_stdout_that_is_closed(workplace):
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m tunescope check {DEMO} >&-"],
        cwd=workplace,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "TUNESCOPE_RUNS": "runs"},
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_terminal_can_show_it(workplace, encoding):
    done = tunescope("check", DEMO, folder=workplace, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "100 rows (alpaca in json)" in done.stdout
    path = write_rows(workplace / "größe 大.jsonl", [alpaca("?", "")])
    done = tunescope("check", path.name, folder=workplace, PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    done = tunescope(
        "why", done.stdout.rpartition("why ")[2].strip(), "--json", folder=workplace, PYTHONIOENCODING=encoding
    )
    assert json.loads(done.stdout)["file"] == "größe 大.jsonl"
    done = tunescope("check", "größer.jsonl", folder=workplace, PYTHONIOENCODING=encoding)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert tunescope("--help", folder=workplace, PYTHONIOENCODING=encoding).returncode == 0


def test_a_file_name_that_is_no_utf8(workplace):
    name = os.fsdecode(b"\xff.jsonl")
    try:
        (workplace / name).write_text(json.dumps(alpaca("?", "")) + "\n")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    done = tunescope("check", name, folder=workplace)
    assert done.returncode == 1
    assert done.stderr == "tunescope: found '\\udcff.jsonl'; expected UTF-8; rename the file\n"


def test_control_characters_never_reach_the_terminal(workplace):
    """On both streams, also in the traceback of a fault of ours and in a warning of another package."""
    path = write_rows(workplace / "a\x1b[31m.jsonl", [alpaca("?\x1b[2J", "\x07"), alpaca("\x1b", "")])
    done = tunescope("check", path.name, folder=workplace)
    assert (done.returncode, done.stderr) == (0, "")
    again = tunescope("check", f"no\x1b[2J{path.name}", folder=workplace)
    assert again.stderr.startswith(r"tunescope: no\x1b[2Ja\x1b[31m.jsonl: found no file that matches")
    code = (
        "import warnings\nfrom tunescope import cli\n"
        "class Fault(Exception): pass\n"
        "def run(arguments):\n warnings.warn('a\\x1b[2J'); raise Fault('b\\u202e\\r')\n"
        "cli.run = run; cli.main([])"
    )
    fault = warm.run(["-c", code], cwd=workplace, env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    assert fault.returncode == 1
    assert rb"a\x1b[2J" in fault.stderr
    assert fault.stderr.endswith(rb"Fault: b\u202e\r" + b"\n")
    for text in (done.stdout, again.stderr, fault.stderr.decode()):
        assert [ch for ch in text if steers(ch)] == []


def test_interrupted(workplace):
    """Ctrl-C while it waits for rows from a pipe: 130, one sentence, no traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tunescope", "check", "-"],
        cwd=workplace,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "TUNESCOPE_RUNS": "runs", "TMPDIR": str(workplace)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while process.poll() is None and not list(workplace.glob("tunescope-*")):  # where it puts what the pipe gives
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (out, err) == (b"", b"tunescope: interrupted; the same command continues from here\n")


def test_a_folder_that_cannot_be_written(workplace):
    (workplace / "file").touch()
    done = tunescope("check", DEMO, folder=workplace, TUNESCOPE_RUNS="file")
    assert done.returncode == 1
    assert done.stderr == "tunescope: file: found a file; expected a folder; name another with --out\n"
