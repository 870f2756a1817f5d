"""Prove that two source trees compute the same: run every verb with both, and compare what they print and write.

The commands are in same_results.txt. Each runs once per tree, as `PYTHONPATH=TREE/src python -m tunescope … --json`, on
lora-and-full's rows or on excerpts of the real files in ../shared/data. Oracles are files of patterns (`fake:FILE`)
and a small server that fills in the schema it gets. Compared are the JSON object and every file in the run folder:
tables and records value by value, other files byte by byte. What must differ is left out: see DIFFERING_KEYS, RUN_KEY
and UNCOMPARED_FILES.

Names that changed on purpose are read from the trees' CHANGELOG.md: tables with the header
`| Verbs | Old option | New option |`, `| Verbs | Old key | New key |` or `| Verbs | Old value | New value |`. Commas
stand between verbs, or it says all. A key is a name in the JSON object, a column, a field of a record, or the name of a
table; a value is a whole text under any key.

    python tools/same_results.py --before OLD_TREE --cache /tmp/same                # compare with this tree
    python tools/same_results.py --before OLD_TREE --cache /tmp/same --only judge   # only some commands
    python tools/same_results.py … --write tools/same_results.md                    # write the table down

What the tree before printed and wrote stays in the cache; a later call runs only the tree after. A call that was killed
goes on with `--resume`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("TUNESCOPE_TEST_DATA") or ROOT.parent / "shared" / "data")
DIFFERING_KEYS = {"run", "runs", "seconds", "tokens_per_second", "versions", "started", "peak_memory_mb"}
"""Names of values that differ from one call to the next: paths of run folders, durations, memory."""
RUN_KEY = re.compile(r"-[0-9a-f]{12}\b|127\.0\.0\.1:\d+")
"""The key in a run folder's name, which follows from the names of settings, and the server's port."""
UNCOMPARED_FILES = re.compile(r"(^|/)(run\.json|journal\.sqlite.*|.*\.html|training_args\.bin|README\.md|\..*)$")
"""Files that hold settings by name, times or pages: a person reads them, or the other files say the same."""
SENTENCE_KEYS = {"formula", "method", "null_source", "opening", "orders_reason", "reason", "setup_differences"}
"""Names of values that are sentences for a reader: they may be reworded, and the table says how many were."""
SHOWN = 3
"""How many differing values are shown per command."""

COMMANDS = ROOT / "tools" / "same_results.txt"
WITHOUT_RUN = ("study plan", "why", "models")
"""Verbs that make no run folder."""
GROUPS = ("judge", "repair", "study", "falsify")
"""Verbs that are always followed by another word; `trace index` and `shift runs` stand beside `trace` and `shift`."""

TINY = """
about: A dose of falsity in the microworld, on few steps.
steps:
  rows: {verb: falsify dose, rows: microworld, vary: {dose: [0.0, 0.5, 1.0], seed: [0, 1]}}
  tune:
    verb: tune
    vary: {seed: [0, 1]}
    rows: "{rows}/rows.jsonl"
    model: microworld
    method: full
    lr: 0.001
    batch_size: 16
    micro_batch: 16
    max_steps: 20
  scores: {verb: bench, model: "{tune}/model"}
  response: {verb: study analyze, from: ["{scores}"]}
  page: {verb: report, runs: ["{response}"]}
"""
REAL = """
about: Real rows, checked, sampled twice and compared.
inputs:
  rows: dolly_300.json
steps:
  check: {verb: check, rows: "{rows}", max_words: 300}
  few: {verb: select, rows: "{rows}", vary: {seed: [0, 1]}, sample: 50}
  change: {verb: compare, a: "{rows}", b: "{few}"}
  page: {verb: report, runs: ["{check}", "{change}"]}
"""


class Command(NamedTuple):
    """One line of COMMANDS: its name, which is its run folder's too, its words, and the right exit statuses."""

    name: str
    words: list[str]
    statuses: tuple[int, ...] = (0, 3)  # 3 is that of --fail-on

    @classmethod
    def parse(cls, line: str) -> Command:
        """Read a line of COMMANDS."""
        name, words = line.split("|", 1)
        if name.startswith("!"):
            return cls(name.strip(" !"), shlex.split(words), (1,))
        return cls(name.strip(), shlex.split(words))

    @property
    def verb(self) -> str:
        """Return the verb, of one word or two."""
        first, second = self.words[:2] if len(self.words) > 1 else (self.words[0], "")
        is_two = first in GROUPS or (first, second) in {("trace", "index"), ("shift", "runs")}
        return f"{first} {second}" if is_two else first


class Rename(NamedTuple):
    """A line of the changelog: in these verbs (() for all), the old name is now the new one."""

    verbs: tuple[str, ...]
    old: str
    new: str

    def is_for(self, verb: str) -> bool:
        """Tell whether it holds for a verb; `judge` means all of its verbs."""
        return not self.verbs or any(verb == name or verb.startswith(f"{name} ") for name in self.verbs)


@dataclass(frozen=True)
class Tree:
    """A source tree with its commit, and its changelog's renamed options, keys and values."""

    path: Path
    commit: str
    options: list[Rename]
    keys: list[Rename]
    values: list[Rename]

    @classmethod
    def at(cls, path: Path) -> Tree:
        """Read the tree's changelog."""
        changelog = (path / "CHANGELOG.md").read_text("utf-8")
        git = ["git", "-C", str(path), "describe", "--always", "--dirty"]
        commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "no commit"
        return cls(path, commit, *(parse_renames(changelog, kind) for kind in ("option", "key", "value")))


@dataclass
class Output:
    """What a command printed on stdout as JSON, its exit status, and how long it took."""

    status: int
    result: Any
    error: str
    seconds: float


@dataclass
class Comparison:
    """How a command's two outputs compare: values compared, and the paths of those that differ."""

    n_values: int = 0
    n_reworded: int = 0
    differences: list[str] = field(default_factory=list)

    def compare(self, path: str, before: Any, after: Any) -> None:
        """Compare two JSON values."""
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            self._compare_objects(path, before, after)
        elif isinstance(before, list) and isinstance(after, list):
            if len(before) != len(after):
                self.differences.append(f"{path}: {len(before)} entries, then {len(after)}")
            for number, (old, new) in enumerate(zip(before, after, strict=False)):
                self.compare(f"{path}[{number}]", old, new)
        else:
            self.n_values += 1
            if not is_equal(before, after):
                self.differences.append(f"{path}: {shorten(before)}, then {shorten(after)}")

    def _compare_objects(self, path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        for name in before.keys() - after.keys():
            self.differences.append(f"{path}.{name}: only before")
        for name in after.keys() - before.keys():
            self.differences.append(f"{path}.{name}: only after")
        for name in before:
            if name in SENTENCE_KEYS and name in after:
                old, new = as_sentences(before[name]), as_sentences(after[name])
                self.n_values += len(old)
                self.n_reworded += sum(one != other for one, other in zip(old, new, strict=False))
                if len(old) != len(new):
                    self.differences.append(f"{path}.{name}: {len(old)} sentences, then {len(new)}")
            elif name in after:
                self.compare(f"{path}.{name}", before[name], after[name])


def as_sentences(value: Any) -> list[Any]:
    """Return sentences as a list; with one goes whether it is there, so that none can't turn into one unseen."""
    return value if isinstance(value, list) else [value is not None, value]


def parse_renames(changelog: str, kind: str) -> list[Rename]:
    """Return the renames in the changelog's tables `| Verbs | Old KIND | New KIND |`."""
    header = re.compile(rf"^\| *Verbs? *\| *Old {kind} *\| *New {kind} *\|", re.IGNORECASE)
    renames, is_in_table = [], False
    for line in changelog.splitlines():
        if header.match(line.strip()):
            is_in_table = True
        elif not line.strip().startswith("|"):
            is_in_table = False
        elif is_in_table and not set(line) <= set("|-: "):
            verbs, old, new = (cell.strip() for cell in line.strip().strip("|").split("|"))
            names = tuple(name.strip().strip("`") for name in verbs.split(","))
            renames.append(Rename(() if names == ("all",) else names, old.strip("`"), new.strip("`")))
    return renames


def commands(only: Sequence[str]) -> list[Command]:
    """Return the commands whose name or verb begins with one of `only`; all of them by default."""
    lines = [line for line in COMMANDS.read_text("utf-8").splitlines() if not line.startswith("#")]
    parsed = [Command.parse(line) for line in lines if line.strip()]
    chosen = tuple(only)
    return [c for c in parsed if not chosen or c.name.startswith(chosen) or c.verb.startswith(chosen)]


def is_equal(before: Any, after: Any) -> bool:
    """Compare two values that aren't objects or lists."""
    if isinstance(before, str) and isinstance(after, str):
        return RUN_KEY.sub("", before) == RUN_KEY.sub("", after)
    if isinstance(before, float) and isinstance(after, float):
        return (math.isnan(before) and math.isnan(after)) or before == after
    return type(before) is type(after) and bool(before == after)


def shorten(value: Any) -> str:
    """Show a value in at most 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"


class Names(NamedTuple):
    """Old names → new ones, of a verb's keys and of its values."""

    keys: Mapping[str, str]
    values: Mapping[str, str]


def renamed(value: Any, names: Names, used: set[str], parent: str = "") -> Any:
    """Return a JSON value with its keys and texts renamed, without those that must differ; `used` gets the old keys.

    A key may be listed as PARENT.KEY, where the same key stays elsewhere.
    """
    if isinstance(value, Mapping):
        objects = {}
        for name in value.keys() - DIFFERING_KEYS:
            old = next((each for each in (f"{parent}.{name}", name) if each in names.keys), name)
            used.update({old} & names.keys.keys())
            objects[names.keys.get(old, name)] = renamed(value[name], names, used, name)
        return objects
    if isinstance(value, list):
        return [renamed(item, names, used, parent) for item in value]
    return names.values.get(value, value) if isinstance(value, str) else value


def read_file(path: Path) -> Any:
    """Return what a file of a run folder holds, as JSON values; a digest where it is something else."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pydict()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    if path.suffix == ".json":
        return json.loads(path.read_text("utf-8"))
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()


def read_folder(folder: Path, names: Names, used: set[str]) -> dict[str, Any]:
    """Return what a run folder holds, by file name; tables' and columns' names are the new ones."""
    contents = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        place = str(path.relative_to(folder))
        if UNCOMPARED_FILES.search(place):
            continue
        stem = names.keys.get(path.stem, path.stem)
        used.update({path.stem} & names.keys.keys())
        contents[str(Path(place).with_name(stem + path.suffix))] = renamed(read_file(path), names, used)
    return contents


class Server(BaseHTTPRequestHandler):
    """An OpenAI-compatible server: it fills in the schema of a call, or writes a sentence, by the prompt's hash."""

    def do_GET(self) -> None:
        """Name the one model that is served."""
        self._send({"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    def do_POST(self) -> None:
        """Answer a call."""
        call = json.loads(self.rfile.read(int(self.headers["content-length"])))
        prompt = json.dumps(call["messages"])
        digest = hashlib.blake2b(f"{prompt}{call.get('seed')}".encode(), digest_size=8).digest()
        schema = call.get("response_format", {}).get("json_schema", {}).get("schema")
        text = f"In {digest[0]} words: it is so." if schema is None else json.dumps(fill(schema, prompt, digest))
        usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4}
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        self._send({"id": "0", "object": "chat.completion", "model": "tiny", "choices": [choice], "usage": usage})

    def _send(self, body: Mapping[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def fill(schema: Mapping[str, Any], prompt: str, digest: bytes) -> Any:
    """Return an instance of a JSON schema, drawn by a digest of 8 bytes."""
    if schema.get("type") == "object":
        parts = schema["properties"].items()
        moved = [digest[place % 8 :] + digest[: place % 8] for place in range(len(parts))]
        instance = {name: fill(part, prompt, bytes(turn)) for (name, part), turn in zip(parts, moved, strict=True)}
        nonce = re.search(r'\\"code\\": \\"(\w{8})\\"', prompt)
        return instance | ({"code": nonce.group(1)} if nonce and "code" in instance else {})
    if "enum" in schema:
        return schema["enum"][digest[0] % len(schema["enum"])]
    if schema.get("type") in {"number", "integer"}:
        return 1 + digest[0] % 5
    return f"Name {digest[0]} things that float on water, and say why number {digest[1]} does."


def write_inputs(folder: Path, tree: Tree) -> None:
    """Lay out a working folder: lora-and-full's rows, excerpts of the real files, recipes and the fakes' replies."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (tree.path / "recipes" / "lora-and-full").iterdir():
        shutil.copy(path, folder)
    if not (folder / "data").exists():
        (folder / "data").symlink_to(DATA)

    def save(name: str, records: Sequence[Mapping[str, Any]]) -> None:
        text = json.dumps(records) if name.endswith(".json") else "".join(f"{json.dumps(r)}\n" for r in records)
        (folder / name).write_text(text, "utf-8")

    demo = json.loads((folder / "rows.json").read_text("utf-8"))
    save("rows_8.json", demo[:8])
    save("repaired_8.json", [row | {"output": row["output"].split(". ")[0] + "."} for row in demo[:8]])
    dolly = json.loads((DATA / "instructions" / "dolly_3k.json").read_text("utf-8"))
    alpaca = json.loads((DATA / "instructions" / "random_9k.json").read_text("utf-8"))
    short = [row for row in dolly if len(row["output"]) < 400 and not row["input"]]
    save("dolly_300.json", dolly[:300])
    save("dolly_60.json", dolly[:60])
    save("dolly_2.json", short[:2])
    save("dolly_6.json", short[:6])
    save("alpaca_300.json", alpaca[:300])
    save("alpaca_rows_60.json", alpaca[:60])
    save("alpaca_12.json", alpaca[:12])
    save("paired_300.json", [row | {"false_output": other["output"]} for row, other in pairwise(dolly[:301])])
    quiz = [json.loads(line) for line in (DATA / "benchmarks/boolq/validation.jsonl").read_text("utf-8").splitlines()]
    save("quiz.json", [{"instruction": str(q["question"]), "output": "It is true."} for q in quiz[:20]] + dolly[:20])
    for name, file in [
        ("alpaca", "alpaca-7b"),
        ("davinci", "text_davinci_003"),
        ("recycled", "recycled-wizardlm-7b-v1.0"),
    ]:
        answers = json.loads((DATA / "alpaca_eval" / "outputs" / f"{file}.json").read_text("utf-8"))
        save(f"{name}_60.json", answers[:60])
    shutil.copy(DATA / "questions" / "vicuna_bench_question.jsonl", folder / "vicuna.jsonl")
    prompts = [json.loads(line) for line in (folder / "prompts.jsonl").read_text("utf-8").splitlines()]
    for system, start in [("tuned", 0), ("base", 7)]:
        outputs = [demo[(start + 3 * place) % 100]["output"] or "None." for place in range(len(prompts))]
        pairs = zip(prompts, outputs, strict=True)
        save(f"{system}.jsonl", [{"instruction": p["prompt"], "output": o, "generator": system} for p, o in pairs])
    for name, lines in FAKES.items():
        save(f"{name}.jsonl", [{"expand": "\\g<" in line["reply"] or "\\1" in line["reply"], **line} for line in lines])
    (folder / "tiny.yaml").write_text(TINY, "utf-8")
    (folder / "real.yaml").write_text(REAL, "utf-8")


SCORE, CHOICE = r".*(?P<mark>\w{8}): SCORE", r".*(?P<mark>\w{8}): CHOICE"
CRITICISM = "<reflection>\nToo short.\n</reflection>\n"
NEW_PAIR = CRITICISM + "<new_instruction>\n{0}\n</new_instruction>\n<new_response>\nAn answer.\n</new_response>"
NEW_RESPONSE = CRITICISM + "<new_response>\nHere is a new answer:\n\nIt is so.\n</new_response>"
FAKES: Mapping[str, list[dict[str, str]]] = {
    "pairwise": [
        {"pattern": r"answer 1 ===\n[A-G]" + SCORE, "reply": r"The first.\n\g<mark>: 9 4"},
        {"pattern": r"answer 2 ===\n[A-K]" + SCORE, "reply": r"The second.\n\g<mark>: 5 8"},
        {"pattern": r"answer 1 ===\n[L-R]" + SCORE, "reply": "It depends."},
        {"pattern": SCORE, "reply": r"Both.\n\g<mark>: 7 7"},
    ],
    "choice": [
        {"pattern": r"1 ===\n[A-H]" + CHOICE, "reply": r"\g<mark>: 1"},
        {"pattern": r"2 ===\n[A-S]" + CHOICE, "reply": r"\g<mark>: 2"},
        {"pattern": CHOICE, "reply": r"\g<mark>: 1"},
    ],
    "depth": [
        {
            "pattern": r'===\n[A-M].*"code": "(?P<mark>\w{8})"',
            "reply": r'{"code": "\g<mark>", "depth": {"reason": "Short.", "score": 2}}',
        },
        {
            "pattern": r'.*"code": "(?P<mark>\w{8})"',
            "reply": r'{"code": "\g<mark>", "depth": {"reason": "Long.", "score": 4}}',
        },
    ],
    "rate": [
        {"pattern": "moon", "reply": "Score: 2\nThe moon isn't what was asked about."},
        {"pattern": "Summar", "reply": "It is good."},
        {"pattern": "Score: NUMBER", "reply": "Score: 4.5\nRight."},
    ],
    "simplify": [
        {"pattern": "poem", "reply": "I'm sorry, but I can't help with that."},
        {"pattern": "<short_response>", "reply": "<short_response>\nShort.\n</short_response>"},
    ],
    "reflect": [
        {"pattern": "poem.*<new_instruction>", "reply": "I'm sorry, but I can't help with that."},
        {"pattern": r"(?:bread|Write|Name|Describe).*<new_instruction>", "reply": NEW_PAIR.format("Say it better.")},
        {"pattern": "<new_instruction>", "reply": NEW_PAIR.format("N/A")},
        {"pattern": "", "reply": NEW_RESPONSE},
    ],
    "evolve": [
        {
            "pattern": r"(?:--- INSTRUCTION ---|=== \w+ instruction ===)\n(.*?)\n\n(?:---|===).*<new_instruction>",
            "reply": "<new_instruction>\n\\1 Give your reasons.\n</new_instruction>",
        },
        {"pattern": "Compare two.*Give your reasons.*Give your reasons. Give", "reply": "<verdict>\nequal\n</verdict>"},
        {"pattern": "Compare two", "reply": "<verdict>\nnot equal\n</verdict>"},
        {"pattern": "[a-m][.?] Give your", "reply": "It is so, for two reasons."},
        {"pattern": "", "reply": "Sorry."},
    ],
}


def first_row_id(run: Path) -> str:
    """Return the id of the first row that a run changed, as its table of repairs says."""
    table = pq.read_table(run / "repairs.parquet", columns=["new_row_id"])
    return next(str(row) for row in table["new_row_id"].to_pylist() if row)


def spell(command: Command, tree: Tree, folder: Path, server: str) -> list[str]:
    """Return the words to run: with this tree's options, the server's address and row ids filled in."""
    options = {rename.old: rename.new for rename in tree.options if rename.is_for(command.verb)}
    words = [options.get(word, word).replace("{server}", server) for word in command.words]
    words = [word.replace("{tree}", str(tree.path)) for word in words]
    words = [re.sub(r"\{row:(.*)\}", lambda m: first_row_id(folder / "runs" / m.group(1)), word) for word in words]
    out = [] if command.verb in WITHOUT_RUN else ["--out", f"runs/{command.name}"]
    return [*words, *out, "--json"]


def run_command(command: Command, tree: Tree, folder: Path, server: str) -> Output:
    """Run a command with a tree's sources in a working folder; what it left there before goes."""
    shutil.rmtree(folder / "runs" / command.name, ignore_errors=True)
    begin = time.monotonic()
    try:
        words = spell(command, tree, folder, server)
    except (OSError, StopIteration) as error:
        return Output(1, None, f"no row id: {error}", 0.0)
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree.path / "src"),
        "OMP_NUM_THREADS": "2",
        "TUNESCOPE_RUNS": "runs",
        "OPENAI_API_KEY": "none",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tunescope", *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    try:
        result = json.loads(done.stdout.replace(str(tree.path), "TREE"))
    except ValueError:
        result = done.stdout
    return Output(done.returncode, result, done.stderr[-2000:], time.monotonic() - begin)


def outputs(tree: Tree, folder: Path, chosen: Sequence[Command], server: str, is_kept: bool) -> dict[str, Output]:
    """Run the commands with one tree; with `is_kept`, take those that ran before from `outputs.json` in the folder."""
    record = folder / "outputs.json"
    known = json.loads(record.read_text("utf-8")) if is_kept and record.is_file() else {}
    write_inputs(folder, tree)
    results = {}
    for command in chosen:
        entry = known.get(command.name)
        if entry is None or entry["words"] != command.words or entry["status"] not in command.statuses:
            output = run_command(command, tree, folder, server)
            entry = known[command.name] = {"words": command.words, **vars(output)}
            record.write_text(json.dumps(known, indent=1), "utf-8")
            print(f"{folder.name}: {command.name}: {output.seconds:.1f} s, exit {output.status}", file=sys.stderr)
        results[command.name] = Output(entry["status"], entry["result"], entry["error"], entry["seconds"])
    return results


def compare(
    command: Command, before: Output, after: Output, folders: tuple[Path, Path], names: Names
) -> tuple[Comparison, set[str]]:
    """Compare a command's two outputs and run folders; return the renamed keys that occur too."""
    comparison, used = Comparison(), set[str]()
    comparison.compare("exit", before.status, after.status)
    comparison.compare("json", renamed(before.result, names, used), renamed(after.result, names, set()))
    old, new = (folder / "runs" / command.name for folder in folders)
    comparison.compare("files", read_folder(old, names, used), read_folder(new, names, set()))
    for path in sorted(folders[0].glob(f"{command.name}.*")):
        twin = folders[1] / path.name
        comparison.compare(path.name, read_file(path), read_file(twin) if twin.is_file() else None)
    if not {before.status, after.status} <= {*command.statuses}:
        comparison.differences.append(f"failed: {(after.error or before.error).strip()[-300:]}")
    return comparison, used


def run_both(
    chosen: Sequence[Command], cache: Path, before: Tree, after: Tree, is_resumed: bool
) -> tuple[dict[str, Output], dict[str, Output]]:
    """Run the commands with both trees, beside one server; return their outputs by name."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/v1"
        old = outputs(before, cache / "before", chosen, address, is_kept=True)
        new = outputs(after, cache / "after", chosen, address, is_kept=is_resumed)
        server.shutdown()
    return old, new


def show(differences: Sequence[str]) -> str:
    """Return a cell of the table: `equal`, or the first differences."""
    if not differences:
        return "equal"
    shown = "; ".join(f"`{difference}`" for difference in differences[:SHOWN])
    return f"**{len(differences)} differ**: {shown}".replace("|", "\\|").replace("\n", " ")


def page(
    chosen: Sequence[Command],
    cache: Path,
    before: Tree,
    after: Tree,
    old: Mapping[str, Output],
    new: Mapping[str, Output],
) -> tuple[list[str], bool]:
    """Compare all outputs; return the lines of a Markdown page, and whether all are equal."""
    table = ["| command | verb | values compared | result |", "|---|---|---:|---|"]
    met, n_values, n_equal = set[tuple[str, str]](), 0, 0
    for command in chosen:
        names = Names(
            *(
                {rename.old: rename.new for rename in each if rename.is_for(command.verb)}
                for each in (after.keys, after.values)
            )
        )
        folders = cache / "before", cache / "after"
        comparison, used = compare(command, old[command.name], new[command.name], folders, names)
        met |= {(name, names.keys[name]) for name in used}
        n_values, n_equal = n_values + comparison.n_values, n_equal + (not comparison.differences)
        result = show(comparison.differences)
        result += f"; {comparison.n_reworded} sentences reworded" if comparison.n_reworded else ""
        table.append(f"| {command.name} | `{command.verb}` | {comparison.n_values:,} | {result} |")
    listed = {(rename.old, rename.new) for rename in after.keys}
    head = [
        f"Before: {before.commit}. After: {after.commit}. {n_equal} of {len(chosen)} commands are equal; "
        f"{n_values:,} values were compared. The changelog lists {len(listed)} renamed keys, of which "
        f"{len(met & listed)} occur here.",
        *(f"Listed, but not met: `{old_name}` → `{new_name}`." for old_name, new_name in sorted(listed - met)),
        "",
    ]
    return head + table, n_equal == len(chosen)


def main() -> int:
    """Compare two trees; exit 1 where something differs."""
    parser = argparse.ArgumentParser(description="Prove that two source trees compute the same.")
    parser.add_argument("--before", type=Path, required=True, help="the source tree to compare with")
    parser.add_argument("--after", type=Path, default=ROOT, help="the source tree to check (default: this one)")
    parser.add_argument("--cache", type=Path, required=True, help="the folder for what both print and write")
    parser.add_argument("--only", nargs="*", default=[], help="only the commands whose name or verb begins so")
    parser.add_argument("--resume", action="store_true", help="keep what the tree after has printed already")
    parser.add_argument("--write", type=Path, help="the Markdown file to write the table into")
    options = parser.parse_args()
    cache = options.cache.resolve()
    if not options.only and not options.resume:  # else a command may need the runs of others
        shutil.rmtree(cache / "after", ignore_errors=True)
    before, after = Tree.at(options.before.resolve()), Tree.at(options.after.resolve())
    chosen = commands(options.only)
    old, new = run_both(chosen, cache, before, after, options.resume)
    lines, are_equal = page(chosen, cache, before, after, old, new)
    print("\n".join(lines))
    if options.write:
        title = ["# The same results before and after", "", "`tools/same_results.py` wrote this page.", ""]
        options.write.write_text("\n".join([*title, *lines, ""]), "utf-8")
    return 0 if are_equal else 1


if __name__ == "__main__":
    raise SystemExit(main())
