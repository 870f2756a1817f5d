"""Everything that reads what others wrote, for the fuzz runs: files of rows, answers and judgements, replies, runs."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.annotations.studies import item, mark
from tests.drills.fuzz import Reader, in_file
from tests.oracle.server import completion
from tests.tools import ROOT, alpaca
from tests.verbs.judge.judged import annotation, line, match, review
from tunescope.answers import Answer, RecordLog, read_answers
from tunescope.errors import TunescopeError
from tunescope.judgements.files import read_document
from tunescope.oracle.body import Body
from tunescope.oracle.replies import Reply
from tunescope.oracle.usage import CallSize
from tunescope.prompts import Prompt, read_prompts
from tunescope.runs import Outcome, Run, execute, out_field
from tunescope.views import Table, View


def lines(*records: object) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def parquet(*records: dict[str, Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(records)), sink)
    return sink.getvalue()


ROWS = [alpaca("What is it?", "It is so.", n=1), alpaca("Why?", "Because.", n=2)]
TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello", "tool_calls": None}]
ROW_RECORDS = (
    ROWS,
    [{"messages": TURNS, "tools": [{"type": "function"}]}, {"messages": [*TURNS, *TURNS]}],
    [{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}], "id": "a"}],
    [{"prompt": "Hi", "completion": "Hello"}],
    [{"prompt": "Hi", "chosen": "Hello", "rejected": "Go"}],
    [{"prompt": TURNS[:1], "chosen": TURNS[1:], "rejected": TURNS[1:]}],
)
CSV = b'instruction,input,output\n"What, is it?",,"It ""is"" so."\nWhy?,x,Because.\n'


def row_readers(folder: Path) -> dict[str, Reader]:
    from tunescope.rows import open_rows

    def read(path: Path) -> None:
        for on_bad in ("skip", "refuse"):
            rows = open_rows([str(path)], on_bad=on_bad)
            for row in rows:
                row.messages  # noqa: B018

    def beside(path: Path) -> None:
        (folder / "known.jsonl").write_bytes(lines(*ROWS))
        list(open_rows([str(folder / "known.jsonl")]))

    step = {
        "operation": "repair",
        "version": 1,
        "parents": ["a"],
        "old": {"output": "x"},
        "reason": "r",
        "prompt_hash": "h",
        "call_ids": ["c"],
    }
    lineage = lines({"row_id": "a", "origin": "b", "lineage": [step]}, {"row_id": "c", "origin": "c", "lineage": []})
    packed = tuple(gzip.compress(lines(*records), mtime=0) for records in ROW_RECORDS)
    kinds: dict[str, tuple[str, tuple[bytes, ...], float]] = {
        "rows, JSON lines": ("rows.jsonl", tuple(lines(*records) for records in ROW_RECORDS), 1.5),
        "rows, JSON": ("rows.json", tuple(json.dumps(records).encode() for records in ROW_RECORDS), 1.5),
        "rows, CSV": ("rows.csv", (CSV, CSV.replace(b"\n", b"\r\n")), 1),
        "rows, TSV": ("rows.tsv", (b"instruction\toutput\nWhat?\tSo.\n",), 0.5),
        "rows, Parquet": ("rows.parquet", tuple(parquet(*records) for records in ROW_RECORDS[:3]), 1),
        "rows, gzip": ("rows.jsonl.gz", packed, 0.5),
    }
    readers = {name: Reader(seeds, in_file(folder, file, read), share) for name, (file, seeds, share) in kinds.items()}
    return readers | {"lineage": Reader((lineage,), in_file(folder, "known.lineage.jsonl", beside), 0.5)}


OURS = Answer.to(Prompt("p", "Hi"), "Hello", "m", finish_reason="stop").as_json()
ANSWERS = (
    lines(OURS, {**OURS, "prompt_id": "q"}),
    json.dumps([{"instruction": "Hi", "output": "Hello", "generator": "m"}]).encode(),
    lines({"question_id": 1, "model_id": "m", "choices": [{"index": 0, "turns": ["a", "b"]}]}),
    lines({"doc_id": 0, "doc": {"question": "q"}, "arguments": [["q", {}]], "resps": [["a"]], "filtered_resps": ["a"]}),
)
CLAIM = {"claim_id": "c", "prompt": "Q?", "phrases": ["a lamp"], "truth": ["a star"], "neighbours": ["Who?"]}
LM_EVAL = {
    "results": {"mmlu_x": {"alias": "x", "acc,none": 0.5, "acc_stderr,none": 0.1}, "t": {"exact_match,strict": 1.0}},
    "groups": {"mmlu": {"acc,none": 0.5}},
    "group_subtasks": {"mmlu": ["mmlu_x"]},
    "configs": {"t": {"task": "t"}},
    "higher_is_better": {"t": {"exact_match": True}, "mmlu_x": {"acc": True}},
    "config": {"model": "hf", "model_args": "pretrained=x"},
    "model_name": "x",
    "lm_eval_version": "0.4.9",
}
SAMPLE = {"doc_id": 0, "doc_hash": "h", "prompt_hash": "p", "filter": "strict", "exact_match": 1.0, "acc": 0.0}


def answer_readers(folder: Path) -> dict[str, Reader]:
    from tunescope.judgements.claims import read_claims
    from tunescope.questions.documents import read_split
    from tunescope.questions.own_questions import read_question
    from tunescope.results.lm_eval import find_results
    from tunescope.verbs.analyze.score_files import read_table
    from tunescope.verbs.annotate.items import AnswerFile, read_phrases
    from tunescope.verbs.attribute.settings import AttributeSettings
    from tunescope.verbs.attribute.spans import read_spans

    results = folder / "lm"
    results.mkdir()
    _written(results / "samples_t_2.jsonl", lines(SAMPLE, SAMPLE))
    answer = next(iter(read_answers(_written(folder / "one.jsonl", ANSWERS[0]))))

    def results_of(path: Path) -> None:
        found = find_results(str(path))
        if found is not None:
            found.files  # noqa: B018
            found.tasks()
            with suppress(TunescopeError):
                found.tasks("acc")

    def samples_of(path: Path) -> None:
        _written(results / "results.json", json.dumps(LM_EVAL).encode())
        found = find_results(str(results / "results.json"))
        assert found is not None
        found.tasks()

    def spans_of(path: Path) -> None:
        settings = AttributeSettings(rows=("x",), answers="one.jsonl", spans=str(path))
        read_spans(settings, [answer])

    def phrases_of(path: Path) -> None:
        read_phrases(str(path), [AnswerFile("m", str(path), [answer])])

    spans = lines({"answer_id": answer.answer_id, "start": 0, "end": 3, "text": "Hel"})
    questions = ({"question": "Which?", "choices": ["a", "b"], "answer": 0, "category": "x"}, {"prompt": "a", "id": 1})
    prompts = (
        lines({"question_id": 1, "turns": ["Hi", "And?"], "category": "x"}),
        lines({"prompt_id": "a", "prompt": "Hi"}),
        json.dumps([{"instruction": "Hi", "dataset": "x"}]).encode(),
        lines(*ROWS),
    )
    known = {"question": "Which?", "choices": ["a", "b"], "answer": "b", "category": "x"}
    scores = (
        b"task,seed,0,0.5,1\na,0,1,2,3\nb,1,3,2,\n",
        b"task,dose,score\na,0,1\na,100%,2\n",
        b"dose,arc,mmlu\n0,1,2\n1,2,3\n",
        json.dumps([{"task": "a", "0": 1, "1": 2}]).encode(),
    )
    return {
        "answers": Reader(ANSWERS, in_file(folder, "a.jsonl", lambda path: list(read_answers(path))), 1.5),
        "answers, JSON": Reader(ANSWERS, in_file(folder, "a.json", lambda path: list(read_answers(path)))),
        "prompts": Reader((*prompts, lines(*questions)), in_file(folder, "p.jsonl", read_prompts)),
        "claims": Reader((lines(CLAIM, {**CLAIM, "claim_id": "d"}),), in_file(folder, "c.jsonl", read_claims)),
        "lm-eval results": Reader((json.dumps(LM_EVAL).encode(),), in_file(results, "results_2.json", results_of)),
        "lm-eval samples": Reader((lines(SAMPLE, SAMPLE),), in_file(results, "samples_t.jsonl", samples_of)),
        "spans": Reader((spans,), in_file(folder, "spans.jsonl", spans_of), 0.5),
        "phrases": Reader((spans,), in_file(folder, "phrases.jsonl", phrases_of), 0.5),
        "scores": Reader(scores, in_file(folder, "scores.csv", lambda path: read_table(str(path))), 0.5),
        "questions": Reader(
            (lines(known, {**known, "answer": 0}),),
            in_file(folder, "own.jsonl", lambda path: read_split(path, ("question",), read_question)),
        ),
    }


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def judgement_readers(folder: Path) -> dict[str, Reader]:
    from tunescope.annotations.collected import read_collected
    from tunescope.judgements.formats import ReadOptions, format_of
    from tunescope.judgements.summary import SummaryOptions, summarize
    from tunescope.judgements.tags import Tags

    def read(path: Path) -> None:
        documents = [read_document(str(path))]
        file_format = format_of(documents, None)
        judgements = file_format.read(documents, ReadOptions((), file_format.one_file_per_order))
        with suppress(TunescopeError):
            summarize(judgements, file_format, SummaryOptions(draws=2), Tags(None))

    collected = item(0, "spans", ["A moon of cheese.", "No moon."])
    _written(folder / "items.jsonl", lines(collected.as_json()))
    value = {"answer_id": "a0-tuned", "start": 0, "end": 4, "category": "x"}
    ours = lines(*(mark("item0", name, "spans", value).as_json() for name in ("ann", "bob")))
    studio = {
        "id": 1,
        "data": {"text": "A moon.", "item_id": "item0"},
        "annotations": [
            {
                "completed_by": {"email": "a@b"},
                "result": [
                    {
                        "type": "labels",
                        "from_name": "l",
                        "to_name": "t",
                        "value": {"start": 0, "end": 3, "labels": ["x"]},
                    },
                    {"type": "choices", "value": {"choices": ["left"]}},
                    {"type": "rating", "value": {"rating": 3}},
                ],
            }
        ],
    }
    span = {"start": 0, "end": 4, "annotation": "x", "span": "A mo", "schema": "s"}
    potato = (
        lines({"id": "item0", "user_id": "ann", "label_annotations": {"s": {"x": "1"}}, "span_annotations": [span]}),
    )
    kinds = (
        [annotation(n, 1 + n % 2) for n in range(3)],
        [review(n, (3, 4), (4, 3)) for n in range(2)],
        [line(n, (3, 4)) for n in range(2)],
        [match(n, "model_1", "tie") for n in range(2)],
    )
    seeds = tuple(each for kind in kinds for each in (lines(*kind), json.dumps(kind).encode()))

    def marks_of(*, with_items: bool) -> Callable[[Path], object]:
        return lambda path: read_collected([str(path)], None, str(folder / "items.jsonl") if with_items else None)

    return {
        "judgements": Reader(seeds, in_file(folder, "j.json", read), 1.5),
        "marks": Reader((ours,), in_file(folder, "m.jsonl", marks_of(with_items=True))),
        "items": Reader(
            (lines(collected.as_json()),),
            lambda data: (
                (
                    _written(folder / "i.jsonl", data),
                    _written(folder / "known.jsonl", ours),
                    read_collected([str(folder / "known.jsonl")], None, str(folder / "i.jsonl")),
                )[0]
                and None
            ),
            0.5,
        ),
        "Label Studio": Reader(
            (json.dumps([studio]).encode(),), in_file(folder, "ls.json", marks_of(with_items=False))
        ),
        "Potato": Reader(potato, in_file(folder, "po.jsonl", marks_of(with_items=True))),
    }


def reply_readers(folder: Path) -> dict[str, Reader]:
    from tunescope.judgements.parsing import aspects, letter, number, rating, score_pair, two_scores
    from tunescope.oracle.api import error_of, message_of, parse_reply, retry_after
    from tunescope.oracle.grades import read_grade
    from tunescope.oracle.json_objects import begun_object, object_of
    from tunescope.oracle.reply_schema import Field, ReplySchema
    from tunescope.oracle.usage import measure_usage
    from tunescope.text.thoughts import split_thoughts
    from tunescope.verbs.judge.forms import aspects_form, scores_form
    from tunescope.verbs.judge.reading import read_verdict

    schema = ReplySchema(
        "s", (Field("reason", "Why."), Field("score", "A score.", maximum=10), Field("choice", "c", choices=("a", "b")))
    )
    tags = schema.tags()
    marker = "1a2b3c4d: SCORE-1"
    forms = (scores_form(1, 10), aspects_form({"depth": "depth"}, 5))

    def text_of(data: bytes) -> str:
        return data.decode("utf-8", "surrogatepass" if data.find(b"\xed\xa0") < 0 else "replace")

    def parse(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        for reason in ("stop", "length", None):
            reply = Reply(text, reason)
            schema.parse_json(reply)
            schema.parse_tags(reply, tags)
            for form in forms:
                read_verdict(reply, form, marker, ("An answer of 7 5.", "No."), "tags")

    def values(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        object_of(text)
        begun_object(text)
        for value in (text, *object_of(text)[0].values()):
            read_grade(value, 0, 10, "Score")
            score_pair(value)
            number(value)
        for read in (two_scores, letter, rating, aspects, split_thoughts):
            read(text)

    def body(data: bytes) -> None:
        measure_usage(CallSize(10, 20), Body(data))
        with suppress(ValueError, RecursionError):
            record = json.loads(data)
            error_of(record)
            message_of(record)
            retry_after({"retry-after": str(record)[:40]}, record)
        parse_reply(Body(data))

    texts = (
        b'{"reason": "So.", "score": 7, "choice": "a"}',
        b"<reason>\nSo.\n</reason>\nScore: 7\n<choice>\na\n</choice>",
        b'```json\n{"reason": "So", "score_1": 7, "score_2": "5"}\n```',
        b"<think>\nHm.\n</think>\nAs I see it:\n1a2b3c4d: SCORE-1 7 5\n",
        b"Scores: 8 9\n[[A]] [[5]] Rating: [[7]]",
        b'{"depth": {"reason": "r", "score": 3}, "depth_score": "N/A"}',
        b"I'm sorry, I can't do that.",
        "Оценка: 7,5 из 10 \u2014 \uff17/\uff11\uff10".encode(),
    )
    message = completion("<think>a</think>Hello.")
    bodies = (
        json.dumps(message).encode(),
        json.dumps({"error": {"message": "no", "code": 429, "param": "x", "metadata": {"raw": "{}"}}}).encode(),
        json.dumps({"choices": [{"delta": {"content": [{"type": "text", "text": "a"}]}}], "usage": {}}).encode(),
        b"data: {}\n\ndata: [DONE]",
        b"<html>503</html>",
    )
    assert text_of(b"a")
    return {
        "replies": Reader(texts, parse, 3),
        "values in replies": Reader(texts, values, 6),
        "bodies": Reader(bodies, body, 8),
    }


def oracle_readers(folder: Path) -> dict[str, Reader]:
    from tunescope.oracle.batch import import_replies
    from tunescope.oracle.fake import read_fake
    from tunescope.oracle.journal import Journal, call_key
    from tunescope.oracle.template import read_template

    async def made(path: Path) -> None:
        with Journal(path) as journal:
            for n in range(12):
                body = json.dumps(completion(f"Hello, {n}.")).encode()
                await journal.add(call_key([{"role": "user", "content": str(n)}], "m", {}), CallSize(9, 9), body, 0.1)

    keys = [call_key([{"role": "user", "content": str(n)}], "m", {}) for n in range(12)]
    asyncio.run(made(folder / "seed.sqlite"))

    def journal_of(path: Path) -> None:
        for beside in folder.glob("j.sqlite?*"):
            beside.unlink()
        with Journal(path) as journal:
            len(journal)
            for _ in journal:
                pass
            for key in keys:
                journal.reply(key)

    def batch_of(path: Path) -> None:
        with Journal(folder / "batch.sqlite") as journal:
            import_replies(journal, [str(path)])

    batch = lines(
        {"custom_id": keys[0], "response": {"status_code": 200, "body": completion("a")}, "error": None},
        {"custom_id": keys[1], "response": {"status_code": 400, "body": {"error": {"message": "long"}}}},
        {"custom_id": keys[2], "response": None, "error": {"code": "batch_expired", "message": "x"}},
    )
    fake = lines(
        {"pattern": "colou?r", "reply": "Score: 4"}, {"pattern": "(?P<a>.)", "reply": r"\g<a>", "expand": True}
    )
    ours = next((ROOT / "src/tunescope/verbs/repair/prompts").glob("*.jinja"), None)
    template = b"{{ instruction }}\n{% if input %}{{ input }}{% endif %}\n{{ output }} {{ form }}\n"

    def template_of(path: Path) -> None:
        takes = ("instruction", "input", "output", "form")
        read_template(ours or path, str(path), takes, ("instruction",), trials=[{"input": ""}, {"input": "x"}])

    return {
        "journals": Reader(((folder / "seed.sqlite").read_bytes(),), in_file(folder, "j.sqlite", journal_of), 0.25),
        "batches": Reader((batch,), in_file(folder, "b.jsonl", batch_of), 0.5),
        "fake oracles": Reader((fake,), in_file(folder, "f.jsonl", read_fake), 0.5),
        "prompt templates": Reader((template,), in_file(folder, "t.jinja", template_of), 0.5),
    }


RECIPE = b"""about: Some steps.
inputs: {rows: rows.jsonl}
values: {n: 3}
defaults: {check: {max_words: 5}}
steps:
  check: {verb: check, rows: "{rows}", vary: {max_words: [5, 6]}}
  clean: {verb: select, rows: "{rows}", from: "{check}", where: faulty = false}
  loop:
    repeat:
      at_most: 2
      until: {no_claim_still_there: "{again}"}
      steps:
        again: {verb: check, rows: "{clean}/rows.jsonl"}
"""
EXPRESSIONS = (
    b"line != 7 and length > 20",
    b"near_duplicate > 3",
    b"near_duplicate > 0.5%",
    b"not (a = 'x' or b is null)",
    b'"line" <= -1e3',
)


def study_readers(folder: Path) -> dict[str, Reader]:
    from tunescope import expressions
    from tunescope.study import recipe
    from tunescope.yaml_core import read_yaml

    _written(folder / "rows.jsonl", lines(*ROWS))
    table = pa.table({"line": [1, 2], "length": [3.0, None], "a": ["x", None], "b": [True, False]})
    shipped = tuple(path.read_bytes() for path in sorted((ROOT / "recipes").glob("*/*.yaml"))[:3])

    def plan(path: Path) -> None:
        from tunescope.study.cells import planned_cells

        planned_cells(recipe.read(str(path)))

    def yaml(data: bytes) -> None:
        import yaml as library

        with suppress(library.YAMLError, UnicodeDecodeError):
            read_yaml(data.decode())

    def expression(data: bytes) -> None:
        node = expressions.parse(data.decode("utf-8", "replace"))
        with suppress(TunescopeError):
            expressions.mask(node, table)
            expressions.holds(node, {"near_duplicate": 3, "line": None}, 10)

    return {
        "recipes": Reader((RECIPE, *shipped), in_file(folder, "recipe.yaml", plan), 0.5),
        "YAML": Reader((RECIPE, *shipped), yaml, 0.5),
        "expressions": Reader(EXPRESSIONS, expression, 8),
    }


def run_readers(folder: Path) -> dict[str, Reader]:
    from dataclasses import dataclass

    @dataclass(frozen=True, kw_only=True)
    class Settings:
        out: str | None = out_field()

    rows = pa.table({"row_id": ["a", "b"] * 20, "kept": [True, False] * 20, "score": [0.5, None] * 20})

    def work(place: Any) -> Outcome:
        place.table("rows", rows)
        place.records("notes", [{"n": 1, "text": "x"}, {"n": 2, "text": "y"}])
        return Outcome({"rows": 2}, View(("One.",), (Table("T", ("a", "b"), (("x", 1), (None, 2.5)), "note"),), ("x",)))

    run = execute("select", 1, Settings(out=str(folder / "run")), {"a": "hash"}, work)
    log = RecordLog(folder / "seed.log")
    for n in range(5):
        log.add({"place": ["a", 0, n], "text": "Hello."})
    log.close()

    def info(path: Path) -> None:
        opened = Run(path.parent)
        opened.result, opened.open, opened.settled, opened.identity, opened.settings, opened.view  # noqa: B018

    def table(path: Path) -> None:
        Run(path.parent).tables["rows"].to_pylist()

    def records(path: Path) -> None:
        list(Run(path.parent).records("notes"))

    def reopened(path: Path) -> None:
        log = RecordLog(path)
        list(log)
        log.close()

    seeds = {name: (run.path / name).read_bytes() for name in ("run.json", "rows.parquet", "notes.jsonl")}

    def alone(name: str, read: Callable[[Path], None]) -> Callable[[bytes], None]:
        """Damage one file of the run, and mend it after."""
        change = in_file(run.path, name, read)

        def work(data: bytes) -> None:
            try:
                change(data)
            finally:
                (run.path / name).write_bytes(seeds[name])

        return work

    return {
        "run records": Reader((seeds["run.json"],), alone("run.json", info)),
        "tables of runs": Reader((seeds["rows.parquet"],), alone("rows.parquet", table)),
        "records of runs": Reader((seeds["notes.jsonl"],), alone("notes.jsonl", records), 0.5),
        "record logs": Reader(((folder / "seed.log").read_bytes(),), in_file(folder, "r.log", reopened), 0.5),
    }


FAMILIES = (
    row_readers,
    answer_readers,
    judgement_readers,
    reply_readers,
    oracle_readers,
    study_readers,
    run_readers,
)
