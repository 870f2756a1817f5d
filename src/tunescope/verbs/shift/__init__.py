"""`shift`: what tuning changed in a model, token by token (the Limitations paper, section 3).

At each token of the tuned model's own answer, the next-token distributions of both models are compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope import runs
from tunescope.answers import ANSWERS_FILE, Answer, Place, RecordLog, read_answers
from tunescope.chat import NAMED
from tunescope.errors import SettingsError, TunescopeError
from tunescope.models.settings import with_model
from tunescope.progress import progress, say
from tunescope.results.shift import ShiftAnswer, ShiftTokens
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.verbs.shift.settings import ShiftSettings

if TYPE_CHECKING:
    import pyarrow as pa

    from tunescope.models.bases import BaseModel
    from tunescope.prompts import Prompt
    from tunescope.rows import RowSet
    from tunescope.verbs.shift.pair import ModelPair
    from tunescope.verbs.shift.shard import Reader

VERSION = 2
_SHARD = 16
"""Answers per shard; fixed, so that a killed run goes on where it stopped."""
_SHOWN_UNANSWERED = 5
"""Prompts without an answer whose reason is printed."""


def shift(settings: ShiftSettings) -> Run:
    """Compare the models; return the run with the tables `tokens` and `answers`, and `answers.jsonl`.

    `tokens` has a row per token of an answer. `answers` has a row per answer, with its own means or the reason why it
    couldn't be read. The definitions are in docs/reference/shift-numbers.md.

    Raises:
        InputError: answers, prompts or rows can't be read.
        SettingsError, TunescopeError: the base isn't the tuned model's, tokenizers differ, or no answer can be read.
        MissingPackageError: torch, transformers, peft or pysbd isn't installed.
    """
    from tunescope.models import inputs_of
    from tunescope.models.bases import find_base
    from tunescope.models.load import device_of
    from tunescope.rows import open_rows
    from tunescope.rows.containers import content_hash

    _validate(settings)
    tuned = with_model(settings, settings.tuned, settings.revision)
    named_base = None if settings.base is None else with_model(settings, settings.base, settings.base_revision)
    base = find_base(named_base, tuned)
    source = _source(settings)
    inputs = {f"base {base.name}": base.hash, **inputs_of(tuned)}
    inputs[str(source)] = content_hash(source) + (" prompts" if settings.prompts is not None else "")
    for name in (settings.template, settings.base_template):
        if name is not None and name.endswith(".jinja") and Path(name).is_file():
            inputs[name] = content_hash(Path(name))
    row_sets = [open_rows(names, None, ()) if names else None for names in (settings.rows, settings.other_rows)]
    for rows, what in zip(row_sets, ("rows", "other rows"), strict=True):
        inputs |= {} if rows is None else {f"{what} {name}": f"{hashed} {what}" for name, hashed in rows.inputs.items()}
    if settings.plan:
        return runs.execute("shift plan", VERSION, settings, inputs, partial(_plan, settings, base, source))
    work = partial(_work, settings, base, source, row_sets)
    return runs.execute("shift", VERSION, settings, inputs, work, device_of(tuned))


def _validate(settings: ShiftSettings) -> None:
    if (settings.answers is None) == (settings.prompts is None):
        given = "neither --answers nor --prompts" if settings.answers is None else "both --answers and --prompts"
        raise SettingsError(f"found {given}; expected the tuned model's answers, or prompts that it answers first")
    if settings.other_rows and not settings.rows:
        raise SettingsError("--other-rows without --rows: there is nothing to compare them with; add --rows")
    if settings.plan and settings.answers is None:
        raise SettingsError(
            "--plan with --prompts: how long the answers will be isn't known; plan them with tunescope answer --plan, "
            "and shift with --answers"
        )
    name = settings.base_template
    if name not in ("same", "bare", *NAMED) and not (name.endswith(".jinja") and Path(name).is_file()):
        choices = f"same, bare, {', '.join(NAMED)} or the path of a .jinja file"
        raise SettingsError(f"--base-template {name}: found no such file; expected {choices}")


def _source(settings: ShiftSettings) -> Path:
    """Return the file of the answers or prompts."""
    path = Path(settings.answers or settings.prompts or "")
    if settings.answers is not None and path.is_dir():
        path = path / ANSWERS_FILE
    if not path.is_file():
        what = "answers" if settings.answers is not None else "prompts"
        raise SettingsError(f"--{what} {path}: found no such file; expected a file of {what}")
    return path


def _plan(settings: ShiftSettings, base: BaseModel, source: Path, folder: RunFolder) -> Outcome:
    from tunescope.compute_plan import plan_items
    from tunescope.verbs.shift.shard import compare_shard

    answers = list(islice(read_answers(source), settings.limit))
    setup = partial(_load_reader, settings, base)
    return plan_items("shift", "answer", compare_shard, answers, setup, _n_characters, folder.scratch, _SHARD)


def _n_characters(answer: Answer) -> int:
    """Count the characters that a model reads."""
    return 1 + len(answer.text) + sum(len(message.content or "") for message in answer.messages)


def _work(
    settings: ShiftSettings, base: BaseModel, source: Path, row_sets: Sequence[RowSet | None], folder: RunFolder
) -> Outcome:
    from tunescope.engine import map_shards
    from tunescope.prompts import read_prompts
    from tunescope.verbs.shift.shard import compare_shard
    from tunescope.verbs.shift.summary import summarize
    from tunescope.verbs.shift.view import view

    load_reader = cache(partial(_load_reader, settings, base))  # finished work needs no model
    unanswered = 0
    if settings.answers is not None:
        answers = list(islice(read_answers(source), settings.limit))
    else:
        prompts = read_prompts(source, settings.format)[: settings.limit]
        answers = _answer_prompts(settings, prompts, load_reader, folder)
        unanswered = sum(prompt.turns for prompt in prompts) - len(answers)
    if not answers:
        raise SettingsError(f"--answers {source}: no answers; expected at least one")
    shards = [answers[start : start + _SHARD] for start in range(0, len(answers), _SHARD)]
    label = f"shards of {_SHARD} answers"
    setup: Callable[[], Reader] = load_reader if settings.is_here else partial(_load_reader, settings, base)
    folders = map_shards(compare_shard, shards, setup, folder.scratch / "shards", settings, label)
    lines = [line for part in folders for line in (part / "answers.jsonl").read_text("utf-8").splitlines()]
    records = [ShiftAnswer.from_json(json.loads(line)) for line in lines]
    if all(record.reason for record in records):
        raise TunescopeError(f"none of the {len(records)} answers can be read: {records[0].reason}")
    tokens = _read_tokens(folders)
    folder.records("answers", [answer.as_json() for answer in answers])
    folder.table(ShiftTokens.NAME, tokens)
    folder.table(ShiftAnswer.NAME, ShiftAnswer.table(records))
    result = summarize(settings, base.name, answers, records, ShiftTokens.of(tokens), row_sets, unanswered)
    return Outcome(result.as_json(), view(settings, result, records, folder.path))


def _load_reader(settings: ShiftSettings, base: BaseModel) -> Reader:
    from tunescope.chat import Chat, parse_template_args
    from tunescope.models import stop_ids
    from tunescope.verbs.shift.pair import ModelPair
    from tunescope.verbs.shift.shard import Reader

    arguments = parse_template_args(settings.template_arg)
    models = (
        with_model(settings, base.name, settings.base_revision),
        with_model(settings, settings.tuned, settings.revision),
    )
    pair = ModelPair(*models, base.is_adapter)
    weights = "the same weights without the adapter" if pair.shares_weights else base.name
    say(f"{settings.tuned}, {pair.tuned.dtype} on {pair.tuned.device}; its base: {weights}")
    tokenizer = pair.tuned.tokenizer
    chat = Chat(tokenizer, stop_ids(pair.tuned.model, tokenizer), settings.template, arguments)
    return Reader(pair, chat, _base_context(settings, pair), settings.top_k)


def _base_context(settings: ShiftSettings, pair: ModelPair) -> Callable[[Answer], tuple[int, ...]] | None:
    """Return the function that gives the ids before an answer for the base; None: the same as for the tuned model."""
    from tunescope.chat import Chat
    from tunescope.models import stop_ids

    if settings.base_template == "same":
        return None
    tokenizer = pair.base.tokenizer
    if settings.base_template == "bare":

        def bare(answer: Answer) -> tuple[int, ...]:
            text = "\n".join(message.content or "" for message in answer.messages)
            return tuple(tokenizer(f"{text}\n")["input_ids"])

        return bare
    chat = Chat(tokenizer, stop_ids(pair.base.model, tokenizer), settings.base_template)
    return lambda answer: chat.prompt(answer.messages)


def _answer_prompts(
    settings: ShiftSettings, prompts: Sequence[Prompt], load_reader: Callable[[], Reader], folder: RunFolder
) -> list[Answer]:
    """Answer prompts with the tuned model, greedily, turn after turn; each answer is written as soon as it exists."""
    kept = RecordLog(folder.scratch / "answers.jsonl")
    answers = {answer.place: answer for answer in map(Answer.from_json, kept)}
    places = [Place(prompt.prompt_id, turn, 0) for prompt in prompts for turn in range(prompt.turns)]
    reasons: dict[Place, str] = {}
    try:
        with progress("answers", len(places)) as update:
            for turn in range(max(prompt.turns for prompt in prompts)):
                for answer in _answer_turn(settings, prompts, turn, answers, load_reader, reasons):
                    kept.add(answer.as_json())
                    answers[answer.place] = answer
                    update(len(answers) + len(reasons))
    finally:
        kept.close()
    for place, reason in islice(reasons.items(), _SHOWN_UNANSWERED):
        say(f"prompt {place.prompt_id}, turn {place.turn}, has no answer: {reason}")
    if not answers:
        reason = next(iter(reasons.values()))
        raise TunescopeError(f"{settings.tuned} can answer none of the {len(prompts)} prompts: {reason}")
    return [answers[place] for place in places if place in answers]


def _answer_turn(
    settings: ShiftSettings,
    prompts: Sequence[Prompt],
    turn: int,
    answers: dict[Place, Answer],
    load_reader: Callable[[], Reader],
    reasons: dict[Place, str],
) -> Iterator[Answer]:
    """Yield one turn's answers that don't exist yet; where there can be none, add the reason to `reasons`."""
    from tunescope.chat import Unrenderable
    from tunescope.models import silence_libraries
    from tunescope.models.generate import context_of, stream

    open_prompts: list[tuple[Prompt, list[str]]] = []
    prompt_ids: list[tuple[int, ...]] = []
    for prompt in prompts:
        place = Place(prompt.prompt_id, turn, 0)
        earlier = [answers.get(place._replace(turn=number)) for number in range(turn)]
        before = [answer.text for answer in earlier if answer is not None]
        if turn >= prompt.turns or place in answers:
            continue
        try:
            if len(before) < turn:
                raise Unrenderable("a turn before it has no answer")
            ids = load_reader().chat.prompt(prompt.conversation_after(before), prompt.tools, prompt.fields)
            limit = context_of(load_reader().pair.tuned.model)
            if limit is not None and len(ids) >= limit:
                raise Unrenderable(f"{len(ids):,} tokens; the model's context holds {limit:,} with the answer")
        except Unrenderable as error:
            reasons[place] = str(error)
            continue
        open_prompts.append((prompt, before))
        prompt_ids.append(ids)
    if not open_prompts:
        return
    tuned = load_reader().pair.tuned
    limits = (settings.max_new_tokens, settings.batch_size)
    decoding = {"method": "greedy", "max_new_tokens": settings.max_new_tokens}
    with silence_libraries():
        for number, reply in stream(tuned.model, tuned.tokenizer, prompt_ids, *limits):
            prompt, before = open_prompts[number]
            yield Answer.to(
                prompt,
                reply.text,
                settings.tuned,
                before,
                token_ids=reply.token_ids,
                finish_reason=reply.finish_reason,
                decoding=decoding,
                usage={"prompt_tokens": len(prompt_ids[number]), "completion_tokens": len(reply.token_ids)},
            )


def _read_tokens(folders: Sequence[Path]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa.concat_tables([pq.read_table(folder / "tokens.parquet") for folder in folders])
