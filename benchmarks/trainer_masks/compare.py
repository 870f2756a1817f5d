"""Hold what each trainer supervises against what `tune` does; write labels, kinds, and tables in docs/proofs/masks.md.

    python benchmarks/trainer_masks/compare.py WORK trl=TRL.json axolotl=AXOLOTL.json …

WORK is the folder that prepare.py wrote, and each other argument a trainer's dump.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
import prepare
from kinds import IGNORED, KINDS, Reader, Sequence_, differences

from tunescope import __version__
from tunescope.chat import Chat
from tunescope.chat.masks import MaskedTemplate, without_model
from tunescope.models import DEFAULT, load_tokenizer, silence_libraries
from tunescope.models.training_rows import examples, training_sequences
from tunescope.rows import open_rows

HERE = Path(__file__).parent
LABELS, RESULTS = HERE / "labels.jsonl.gz", HERE / "results.json"
PAGE = HERE.parents[1] / "docs" / "proofs" / "masks.md"
SHOWN = {"trl": "assistant_only", "axolotl": "chat_template", "llamafactory": "named", "unsloth": "responses_only"}
"""The way of each trainer that is meant to supervise answers alone; the page's large table shows it."""
TRAINERS = {"trl": "TRL", "axolotl": "axolotl", "llamafactory": "LLaMA-Factory", "unsloth": "unsloth"}


class Case(NamedTuple):
    """A case as we read it."""

    masked: MaskedTemplate
    reader: Reader
    max_length: int
    rows: Sequence[str]


def open_case(case: dict[str, Any]) -> Case:
    """Return a case of cases.json with its template and tokenizer."""
    if case["tokenizer"] == "stand-in":
        masked = without_model(str(prepare.trl_templates()[case["template"]]), {})
    else:
        tokenizer, stop_ids = load_tokenizer(DEFAULT)
        if case["template"] != "own":
            tokenizer.chat_template = prepare.trl_templates()[case["template"]].read_text("utf-8")
        masked = MaskedTemplate(Chat(tokenizer, stop_ids))
    chat = masked.chat
    reader = Reader(masked.decode, chat.stop_ids, chat.tokenizer.bos_token_id, masked.header())
    return Case(masked, reader, case["max_length"], case["rows"])


def our_sequences(case: Case) -> dict[str, tuple[list[Sequence_], str]]:
    """Return what `tune` trains on of each row of a case: its sequences, and the reason where there is one."""
    conversations = prepare.read_conversations()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        lines = [{key: value for key, value in conversations[name].items() if key != "row"} for name in case.rows]
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
        made = examples(case.masked.chat, open_rows([str(path)], None, ()), case.max_length)
        return {
            name: ([sequence(each.ids, each.labels) for each in training_sequences(example)], example.reason)
            for name, example in zip(case.rows, made, strict=True)
        }


def sequence(ids: Iterable[int], labels: Iterable[int]) -> Sequence_:
    """Return ids and labels as a sequence."""
    return Sequence_(tuple(ids), tuple(label != IGNORED for label in labels))


def kinds_of(record: dict[str, Any], case: Case, ours: list[Sequence_]) -> list[str] | None:
    """Return the kinds of difference of a dumped row; None where there is no such way for the case."""
    if "skipped" in record:
        return None
    if "error" in record:
        return ["row_refused"] if ours else []
    if record.get("dropped"):
        return ["row_dropped"] if ours else []
    row = prepare.read_conversations()[record["row"]]
    return differences(case.reader, row, ours, sequence(record["ids"], record["labels"]))


def as_ranges(flags: Sequence[bool]) -> list[list[int]]:
    """Return the stretches of tokens that are supervised, as [begin, end)."""
    ranges, place = [], 0
    for is_supervised, run in groupby(flags):
        length = len(list(run))
        if is_supervised:
            ranges.append([place, place + length])
        place += length
    return ranges


def pack(records: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Yield a line per case and row: its different sequences of ids, and per trainer and way what is supervised."""
    by_row = defaultdict(list)
    for trainer, record in records:
        by_row[record["case"], record["row"]].append((trainer, record))
    for (case, row), each in by_row.items():
        pool: list[list[int]] = []
        ways: dict[str, Any] = {}
        for trainer, record in each:
            if "ids" in record:
                if record["ids"] not in pool:
                    pool.append(record["ids"])
                ranges = as_ranges([label != IGNORED for label in record["labels"]])
                packed: Any = {"ids": pool.index(record["ids"]), "supervised": ranges}
            else:
                packed = {key: record[key] for key in ("error", "dropped", "skipped") if key in record}
            ways[f"{trainer} {record['way']}"] = packed
        yield {"case": case, "row": row, "ids": pool, "ways": ways}


def unpack(line: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the records of a line, as they were dumped, with the trainer's name before the way's."""
    for way, packed in line["ways"].items():
        record = {"case": line["case"], "row": line["row"], "way": way}
        if "ids" not in packed:
            yield record | packed
            continue
        ids = line["ids"][packed["ids"]]
        flags = [any(begin <= place < end for begin, end in packed["supervised"]) for place in range(len(ids))]
        labels = [i if flag else IGNORED for i, flag in zip(ids, flags, strict=True)]
        yield record | {"ids": ids, "labels": labels}


def read_labels() -> list[dict[str, Any]]:
    """Read the committed lines."""
    return [json.loads(line) for line in gzip.decompress(LABELS.read_bytes()).decode("utf-8").splitlines()]


def compare(cases: list[dict[str, Any]], lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a record per case, row and way: its kinds of difference."""
    by_case = defaultdict(list)
    for line in lines:
        by_case[line["case"]].append(line)
    for about in cases:
        if about["case"] not in by_case:
            continue
        case = open_case(about)
        ours = our_sequences(case)
        for line in by_case[about["case"]]:
            sequences, reason = ours[line["row"]]
            for record in unpack(line):
                kinds = kinds_of(record, case, sequences)
                made = {"case": about["case"], "row": line["row"], "way": record["way"], "kinds": kinds}
                yield (
                    made
                    | ({} if sequences else {"we_refuse": reason})
                    | ({"error": record["error"]} if "error" in record else {})
                )


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Return the page's tables by name, as Markdown."""
    return {
        "ways": "\n".join(_ways(results)),
        "templates": "\n".join(_templates(results)),
        "kinds": "\n".join(_kinds(results)),
    }


def _ways(results: dict[str, Any]) -> Iterator[str]:
    """Yield a line per trainer and way: in how many rows it does as tune does, and what differs how often."""
    yield "| trainer | way | rows | as `tune` | what differs (rows) |"
    yield "|---|---|---|---|---|"
    for trainer, about in results["trainers"].items():
        for way in about["ways"]:
            kinds = [
                each["kinds"]
                for each in results["rows"]
                if each["way"] == f"{trainer} {way}" and each["kinds"] is not None
            ]
            counts = Counter(kind for each in kinds for kind in each)
            cell = ", ".join(f"`{kind}` {count}" for kind, count in counts.most_common())
            yield f"| {TRAINERS[trainer]} | {way} | {len(kinds)} | {sum(not each for each in kinds)} | {cell or '–'} |"


def _templates(results: dict[str, Any]) -> Iterator[str]:
    """Yield a line per template of TRL's: what differs of the way of each trainer that is meant for answers."""
    yield f"| template | {' | '.join(f'{TRAINERS[name]}, {SHOWN[name]}' for name in results['trainers'])} |"
    yield "|---|" + "---|" * len(results["trainers"])
    cells: dict[str, dict[str, dict[str, list[str]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    applies = defaultdict(set)
    for each in results["rows"]:
        trainer, way = each["way"].split(" ", 1)
        if each["case"].startswith("stand-in ") and way == SHOWN[trainer]:
            template = each["case"].removeprefix("stand-in ")
            if each["kinds"] is not None:
                applies[template].add(trainer)
            for kind in each["kinds"] or ():
                cells[template][trainer][kind].append(each["row"])
    rows = {each["row"] for each in results["rows"] if each["case"].startswith("stand-in ")}
    for template in prepare.trl_templates():
        line = []
        for trainer in results["trainers"]:
            kinds = cells[template][trainer]
            texts = [_kind_cell(kind, kinds[kind], len(rows)) for kind in KINDS if kind in kinds]
            line.append(", ".join(texts) if texts else "as `tune`" if trainer in applies[template] else "no template")
        yield f"| {template} | {' | '.join(line)} |"


def _kind_cell(kind: str, rows: list[str], n: int) -> str:
    return f"`{kind}`" if len(rows) == n else f"`{kind}` ({', '.join(rows)})"


def _kinds(results: dict[str, Any]) -> Iterator[str]:
    """Yield a line per kind that occurred: what it means."""
    seen = {kind for each in results["rows"] for kind in each["kinds"] or ()}
    yield "| kind | meaning |"
    yield "|---|---|"
    yield from (f"| `{kind}` | {meaning} |" for kind, meaning in KINDS.items() if kind in seen)


def write_page(results: dict[str, Any]) -> None:
    """Write the tables into the page, between their marks."""
    text = PAGE.read_text("utf-8")
    for name, table in tables(results).items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)
    PAGE.write_text(text, "utf-8")


def main() -> None:
    """Compare, and write labels, results and tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("dumps", nargs="+", help="NAME=FILE")
    options = parser.parse_args()
    cases = json.loads((options.work / "cases.json").read_text("utf-8"))
    known = {case["case"] for case in cases}
    trainers, records = {}, []
    for name, _, path in (dump.partition("=") for dump in options.dumps):
        dumped = json.loads(Path(path).read_text("utf-8"))
        trainers[name] = {"versions": dumped["versions"], "ways": dumped["ways"]}
        records += [(name, record) for record in dumped["records"] if record["case"] in known]
    lines = [*pack(records)]
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    LABELS.write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))
    with silence_libraries():
        rows = [*compare(cases, lines)]
    results = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "tunescope": __version__,
        "trainers": trainers,
        "cases": cases,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(results, ensure_ascii=False, indent=0) + "\n", "utf-8")
    if PAGE.exists():
        write_page(results)
    print("\n".join(_ways(results)))


if __name__ == "__main__":
    main()
