"""How fast `trace` is: indexing, one sentence, answers with and without chains, streaming, and beside infini-gram.

    python benchmarks/trace.py [--rounds 5] [--big 600000] [--infini-gram] [--save]

Rows: `real_rows.py`, 52,000 of them. Queries: 200 answers of alpaca-7b to AlpacaEval. Whole commands are processes of
their own; what is per answer is timed within one, warmed up, in turn, medians over rounds. infini-gram,
in an environment of its own, searches the same numbers for the same maximal spans of at least 5 words, and both sides'
spans are compared. `--big` adds the stream over so many more rows, about 300 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from real_rows import DATA, rows, write
from sides import Comparison, peer_python

from tunescope.matching import suffix_array
from tunescope.matching.stream import stream_seeds
from tunescope.matching.word_ids import Numbering
from tunescope.verbs.trace.find import Finder
from tunescope.verbs.trace.index import Index

INFINI_GRAM = "infini-gram==2.6.0"
SHORTEST = 5
SENTENCE = "I am told that the fastest land animal is the lion, which can run up to 75 mph."
MOST = 65_534
"""A number that no word has, for infini-gram's 16 bits; 65,535 parts its documents."""


def command(folder: Path, *words: str) -> float:
    """Run tunescope as a process; return its seconds."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tunescope", *words],
        cwd=folder,
        env={**os.environ, "TUNESCOPE_RUNS": "runs"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    assert done.stdout
    return time.perf_counter() - begun


def report(name: str, values: list[float], unit: str = "s") -> None:
    """Print a line of the result."""
    scale = 1e3 if unit == "ms" else 1
    values = [value * scale for value in values]
    print(f"{name}: median {statistics.median(values):.3g} {unit} ({min(values):.3g} to {max(values):.3g})", flush=True)


def indexing(folder: Path, rounds: int) -> Path:
    """Time indexing and one sentence; return the index."""
    seconds = []
    for number in range(rounds):
        seconds.append(command(folder, "trace", "index", "rows.json", "--out", f"index{number}"))
    report("trace index, whole process", seconds)
    index = Index(folder / "index0")
    size = sum(path.stat().st_size for path in index.path.iterdir() if path.suffix in (".npy", ".bin", ".txt", ".json"))
    text = sum(len(part.text.encode()) for row in index.rows() for part in row.texts)
    print(f"{index.about['rows']:,} rows, {text / 1e6:.1f} MB of text; {size / text:.2f} index bytes per text byte")
    command(folder, "trace", "--text", "warm up", "--rows", "rows.json")
    sentences = [f"{SENTENCE} {number}" for number in range(2 * rounds)]
    report(
        "trace --text, whole process", [command(folder, "trace", "--text", s, "--rows", "rows.json") for s in sentences]
    )
    return index.path


def maximal(matches: np.ndarray, shortest: int) -> np.ndarray:
    """Return the matches of `longest_matches` that lie in no longer one: [matches, 3] of start, length and count."""
    lengths = matches[:, 0]
    ends = np.arange(len(lengths)) + lengths
    before = np.concatenate([[0], np.maximum.accumulate(ends)[:-1]]) if len(ends) else ends
    keep = np.flatnonzero((lengths >= shortest) & (ends > before))
    return np.column_stack([keep, matches[keep]]).reshape(-1, 3)


def per_answer(index: Index, queries: list, rounds: int, peer: subprocess.Popen | None, save: bool) -> None:
    """Time answers in turn with the peer's."""
    theirs = None
    finder = Finder(index, compile=True)
    lists = {"verbatim": [], "with chains": [], "infini-gram": []}
    for number in range(rounds + 1):
        begun = time.perf_counter()
        spans = [
            maximal(suffix_array.longest_matches(q, index.ids, index.order, index.buckets, True), SHORTEST)
            for q in queries
        ]
        middle = time.perf_counter()
        for query in queries:
            finder.find(query)
        end = time.perf_counter()
        theirs = json.loads(_ask(peer)) if peer else None
        if number:  # the first warms up
            lists["verbatim"].append((middle - begun) / len(queries))
            lists["with chains"].append((end - middle) / len(queries))
            if theirs:
                lists["infini-gram"].append(theirs["seconds"] / len(queries))
    for name, values in lists.items():
        if values:
            report(f"per answer, {name}", values, "ms")
    if theirs:
        ours = [[list(map(int, span)) for span in of_answer] for of_answer in spans]
        same = sum(sorted(a) == sorted(b) for a, b in zip(ours, theirs["spans"], strict=True))
        ratios = [b / a for a, b in zip(lists["verbatim"], lists["infini-gram"], strict=True)]
        print(f"infini-gram: {statistics.median(ratios):.1f} times slower; {same} of {len(ours)} answers' spans equal")
        for a, b in zip(ours, theirs["spans"], strict=True):
            if sorted(a) != sorted(b):
                print("a difference:", [s for s in a if s not in b][:3], [s for s in b if s not in a][:3])
                break
        if save:
            Comparison(
                name="trace",
                what=f"`trace`: an answer's maximal spans of {SHORTEST} words in {index.about['rows']:,} rows "
                f"(of {len(queries)} answers)",
                peer=f"{INFINI_GRAM.replace('==', ' ')}, on the same words' numbers",
                ours=lists["verbatim"],
                theirs=lists["infini-gram"],
                same=f"the spans of {same} of {len(ours)} answers are equal",
                asked=10,
                packages=("numpy", "numba", "pydivsufsort"),
            ).save()


def _ask(peer: subprocess.Popen) -> str:
    peer.stdin.write("go\n")
    peer.stdin.flush()
    return peer.stdout.readline()


PEER = """
import json, sys, time, subprocess, os
folder = sys.argv[1]
done = subprocess.run([sys.executable, "-m", "infini_gram.indexing", "--data_dir", folder, "--save_dir", folder,
    "--token_dtype", "u16", "--cpus", "2", "--mem", "8", "--shards", "1", "--ulimit", "1024"], capture_output=True)
from infini_gram.engine import InfiniGramEngine
engine = InfiniGramEngine(index_dir=folder, eos_token_id=0, vocab_size=65535, token_dtype="u16")
queries = json.load(open(os.path.join(folder, "queries.json")))
for line in sys.stdin:
    begun = time.perf_counter()
    found = [engine.attribute(input_ids=q, delim_ids=[], min_len=5, max_cnt=10**9, enforce_bow=False) for q in queries]
    seconds = time.perf_counter() - begun
    spans = [[[s["l"], s["length"], s["count"]] for s in f["spans"]] for f in found]
    print(json.dumps({"seconds": seconds, "spans": spans}), flush=True)
"""


def infini_gram(python: str, index: Index, queries: list, folder: Path) -> subprocess.Popen:
    """Hand infini-gram the same numbers, and start it."""
    place = folder / "infini-gram"
    place.mkdir()
    ids = np.array(index.ids, np.uint32)
    starts = np.asarray(index.starts)
    parts = np.insert(ids[ids != 0].astype(np.uint16), starts - np.arange(len(starts)), 65_535)
    parts.tofile(place / "tokenized.0")
    (2 * (starts - np.arange(len(starts)) + np.arange(len(starts)))).astype(np.uint64).tofile(place / "offset.0")
    plain = [[int(w) if w > 0 else MOST for w in query] for query in queries]
    (place / "queries.json").write_text(json.dumps(plain))
    return subprocess.Popen([python, "-c", PEER, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def streaming(queries: list, numbering: Numbering, count: int, rounds: int) -> None:
    """Time the stream of all answers over many more rows."""
    texts = [text for row in rows(count) for text in (f"{row['instruction']}\n\n{row['input']}", row["output"])]
    size = sum(len(text.encode()) for text in texts)
    ids, _ = numbering.encode(texts)
    del texts
    joined = np.concatenate([np.append(query, 0) for query in queries])
    seconds = []
    for number in range(rounds + 1):
        begun = time.perf_counter()
        stream_seeds(joined, ids)
        if number:
            seconds.append(time.perf_counter() - begun)
    report(f"{len(queries)} answers streamed against {size / 1e6:.0f} MB ({len(ids):,} words)", seconds)


def main() -> None:
    """Run all of it and print what came out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--big", type=int, default=0)
    parser.add_argument("--infini-gram", action="store_true")
    parser.add_argument("--save", action="store_true", help="keep the comparison for RESULTS.md")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, numpy {np.__version__}, load {os.getloadavg()[0]:.1f}")
    texts = [r["output"] for r in json.loads((DATA / "alpaca_eval/outputs/alpaca-7b.json").read_text("utf-8"))[:200]]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(folder / "rows.json")
        index = Index(indexing(folder, arguments.rounds))
        queries = [index.numbering.look_up(text) for text in texts]
        print(f"{len(queries)} answers of {np.mean([len(q) for q in queries]):.0f} words")
        python = peer_python("infini-gram", INFINI_GRAM, "numpy") if arguments.infini_gram else None
        peer = infini_gram(python, index, queries, folder) if python else None
        per_answer(index, queries, arguments.rounds, peer, arguments.save)
        if peer:
            peer.kill()
        if arguments.big:
            numbering = Numbering(index.numbering.words)
            streaming([numbering.look_up(text) for text in texts], numbering, arguments.big, arguments.rounds)


if __name__ == "__main__":
    main()
