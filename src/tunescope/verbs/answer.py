"""`answer`: a model's greedy answers to prompts."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope import runs
from tunescope.answers import Answer, Prompt, read_prompts
from tunescope.errors import SettingsError, TunescopeError
from tunescope.models.embedded import DEFAULT
from tunescope.runs import INPUT, PACE, Outcome, Run, RunFolder
from tunescope.views import Table, View, interval

if TYPE_CHECKING:
    from tunescope.chat import Chat
    from tunescope.models import Loaded

VERSION = 1
SHARD = 16
"""Prompts per shard; fixed, so that a killed run goes on where it stopped."""


@dataclass(frozen=True, kw_only=True)
class AnswerSettings:
    """Answer prompts with a model, greedily."""

    prompts: str = field(metadata=INPUT)
    """A JSON-lines file with prompt_id and prompt in each line."""

    model: str = field(default=DEFAULT, metadata=INPUT)
    """The model that answers: an embedded name, a folder (of a model, an adapter or a tune run) or a hub id."""

    max_new_tokens: int = 256
    """Longest answer in tokens."""

    limit: int | None = None
    """Answer only this many prompts, from the first."""

    batch_size: int = field(default=SHARD, metadata=PACE)
    """Prompts answered at a time."""

    out: str | None = runs.out_field()
    """The run folder; runs/answer-KEY by default."""


class _Answering(NamedTuple):
    loaded: Loaded
    chat: Chat


def answer(settings: AnswerSettings) -> Run:
    """Answer every prompt; return the run with `answers.jsonl` (`Answer` records, in the prompts' order).

    Raises:
        InputError: prompts that can't be read.
        SettingsError, TunescopeError: a setting or a model that can't work.
        MissingPackageError: torch or transformers isn't installed.
    """
    from tunescope.models import fingerprint
    from tunescope.rows.containers import content_hash

    for name in ("max_new_tokens", "limit", "batch_size"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise SettingsError(f"--{name.replace('_', '-')} {value}: expected at least 1")
    prompts = read_prompts(settings.prompts)[: settings.limit]
    inputs = {
        settings.prompts: content_hash(Path(settings.prompts)),
        f"model {settings.model}": fingerprint(settings.model),
    }
    return runs.execute("answer", VERSION, settings, inputs, partial(_work, settings, prompts))


def _work(settings: AnswerSettings, prompts: list[Prompt], folder: RunFolder) -> Outcome:
    from tunescope.engine import map_shards

    shards = [prompts[start : start + SHARD] for start in range(0, len(prompts), SHARD)]
    work, setup = partial(_answer_shard, settings), partial(_setup, settings.model)
    done = map_shards(work, shards, setup, folder.scratch / "shards", label="shards of answers")
    records = [json.loads(line) for shard in done for line in _lines(shard / "answers.jsonl")]
    missing = [json.loads(line) for shard in done for line in _lines(shard / "missing.jsonl")]
    if not records:
        raise TunescopeError(f"{settings.model} can answer none of the {len(prompts)} prompts: {missing[0]['reason']}")
    folder.records("answers", records)
    return _outcome(settings, folder, [Answer.from_json(record) for record in records], missing)


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").split("\n")[:-1]


def _setup(model: str) -> _Answering:
    from tunescope.chat import Chat
    from tunescope.models import load, stop_ids

    loaded = load(model)
    return _Answering(loaded, Chat(loaded.tokenizer, stop_ids(loaded.model, loaded.tokenizer)))


def _answer_shard(settings: AnswerSettings, state: _Answering, prompts: list[Prompt], folder: Path) -> None:
    from tunescope.chat import Unrenderable
    from tunescope.models import generate, quiet

    ids: dict[Prompt, tuple[int, ...]] = {}
    missing = []
    for prompt in prompts:
        try:
            ids[prompt] = state.chat.prompt(prompt.messages)
        except Unrenderable as refused:
            missing.append({"prompt_id": prompt.prompt_id, "reason": str(refused)})
    model, tokenizer = state.loaded.model, state.loaded.tokenizer
    with quiet():
        made = generate(model, tokenizer, list(ids.values()), settings.max_new_tokens, settings.batch_size)
    decoding = {"method": "greedy", "max_new_tokens": settings.max_new_tokens}
    answers = [
        Answer.to(
            prompt,
            text,
            settings.model,
            token_ids=token_ids,
            decoding=decoding,
            finish_reason=finish_reason,
        ).as_json()
        for prompt, (text, token_ids, finish_reason) in zip(ids, made, strict=True)
    ]
    for name, records in (("answers", answers), ("missing", missing)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


def _outcome(
    settings: AnswerSettings, folder: RunFolder, answers: list[Answer], missing: list[dict[str, Any]]
) -> Outcome:
    from tunescope.stats import mean_t
    from tunescope.text.words import words

    length = mean_t([*(float(len(words(a.text))) for a in answers), *(None for _ in missing)])
    reasons = Counter(a.finish_reason for a in answers)
    result = {
        "n": len(answers),
        "n_missing": len(missing),
        "words": length.as_json(),
        "finish_reasons": {"stop": reasons["stop"], "length": reasons["length"]},
        "model": settings.model,
    }
    about = (length.value, interval(length.low, length.high, 1))
    cells = (len(answers), len(missing), *about, reasons["stop"], reasons["length"])
    tables = [
        Table(
            "Answers",
            ("n", "n_missing", "mean words", f"{100 * length.level:.0f} % interval", "stop", "length"),
            (cells,),
            f"Words per answer ({length.method}). stop: the model ended its turn; "
            f"length: cut at {settings.max_new_tokens} tokens.",
        )
    ]
    if missing:
        shown = tuple((record["prompt_id"], record["reason"]) for record in missing)
        tables.append(Table("Not answered", ("prompt_id", "reason"), shown))
    sentence = f"{settings.model} answered {len(answers)} of {len(answers) + len(missing)} prompts, greedily."
    path = shlex.quote(str(folder.path))
    return Outcome(result, View((sentence,), tuple(tables), (f"tunescope compare {path} OTHER_ANSWERS",)))
