"""`shift`: what tuning changed in a model, token by token (paper 2, section 3).

At each token of the tuned model's own answer, its next-token distribution beside its base's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
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

    from tunescope.prompts import Prompt
    from tunescope.rows import RowSet
    from tunescope.verbs.shift.pair import Bases, Pair
    from tunescope.verbs.shift.shard import Reader

VERSION = 1
SHARD = 16
"""Answers per shard; fixed, so that a killed run goes on where it stopped."""
SAID = 5
"""Prompts without an answer of which the talk says why."""


def shift(settings: ShiftSettings) -> Run:
    """Compare the models; return the run with the tables `tokens` and `answers`, and `answers.jsonl`.

    `tokens` has a row per token of an answer, `answers` a row per answer with its own means and, where it couldn't
    be read, the reason. The definitions are in docs/shift.md.

    Raises:
        InputError: answers, prompts or rows that can't be read.
        SettingsError, TunescopeError: a base that isn't the tuned model's, two tokenizers, no answer that can be read.
        MissingPackageError: torch, transformers, peft or pysbd isn't installed.
    """
    from tunescope.models import inputs_of
    from tunescope.models.load import device_of
    from tunescope.rows import open_rows
    from tunescope.rows.containers import content_hash
    from tunescope.verbs.shift.pair import base_for

    _refuse_what_cant_work(settings)
    tuned = with_model(settings, settings.tuned, settings.revision)
    typed = None if settings.base is None else with_model(settings, settings.base, settings.base_revision)
    base = base_for(typed, tuned)
    source = _source(settings)
    inputs = {f"base {base.name}": base.hash, **inputs_of(tuned)}
    inputs[str(source)] = content_hash(source) + (" prompts" if settings.prompts is not None else "")
    for name in (settings.template, settings.base_template):
        if name is not None and name.endswith(".jinja") and Path(name).is_file():
            inputs[name] = content_hash(Path(name))
    sets = [open_rows(names, None, ()) if names else None for names in (settings.rows, settings.other_rows)]
    for rows, what in zip(sets, ("rows", "other rows"), strict=True):
        inputs |= {} if rows is None else {f"{what} {name}": f"{known} {what}" for name, known in rows.inputs.items()}
    work = partial(_work, settings, base, source, sets)
    return runs.execute("shift", VERSION, settings, inputs, work, device_of(tuned))


def _refuse_what_cant_work(settings: ShiftSettings) -> None:
    if (settings.answers is None) == (settings.prompts is None):
        found = "neither --answers nor --prompts" if settings.answers is None else "both --answers and --prompts"
        raise SettingsError(f"found {found}; expected the tuned model's answers, or prompts that it answers first")
    if settings.other_rows and not settings.rows:
        raise SettingsError("--other-rows without --rows: there is nothing to set them beside; add --rows")
    name = settings.base_template
    if name not in ("same", "bare", *NAMED) and not (name.endswith(".jinja") and Path(name).is_file()):
        known = f"same, bare, {', '.join(NAMED)} or the path of a .jinja file"
        raise SettingsError(f"--base-template {name}: found no such file; expected {known}")


def _source(settings: ShiftSettings) -> Path:
    """Return the file that answers or prompts are in."""
    path = Path(settings.answers or settings.prompts or "")
    if settings.answers is not None and path.is_dir():
        path = path / ANSWERS_FILE
    if not path.is_file():
        what = "answers" if settings.answers is not None else "prompts"
        raise SettingsError(f"--{what} {path}: found no such file; expected a file of {what}")
    return path


def _work(
    settings: ShiftSettings, base: Bases, source: Path, sets: Sequence[RowSet | None], folder: RunFolder
) -> Outcome:
    from tunescope.engine import map_shards
    from tunescope.prompts import read_prompts
    from tunescope.verbs.shift.shard import compare_shard
    from tunescope.verbs.shift.summary import summarize
    from tunescope.verbs.shift.view import view

    reader: list[Reader] = []

    def ready() -> Reader:
        if not reader:
            reader.append(_reader(settings, base))
        return reader[0]

    unanswered = 0
    if settings.answers is not None:
        answers = list(islice(read_answers(source), settings.limit))
    else:
        prompts = read_prompts(source, settings.format)[: settings.limit]
        answers = _answered(settings, prompts, ready, folder)
        unanswered = sum(prompt.turns for prompt in prompts) - len(answers)
    if not answers:
        raise SettingsError(f"--answers {source}: no answers; expected at least one")
    shards = [answers[start : start + SHARD] for start in range(0, len(answers), SHARD)]
    done = map_shards(compare_shard, shards, ready, folder.scratch / "shards", label=f"shards of {SHARD} answers")
    lines = [line for shard in done for line in (shard / "answers.jsonl").read_text("utf-8").splitlines()]
    records = [ShiftAnswer.from_json(json.loads(line)) for line in lines]
    if all(record.reason for record in records):
        raise TunescopeError(f"none of the {len(records)} answers can be read: {records[0].reason}")
    tokens = _tokens(done)
    folder.records("answers", [answer.as_json() for answer in answers])
    folder.table(ShiftTokens.NAME, tokens)
    folder.table(ShiftAnswer.NAME, ShiftAnswer.table(records))
    result = summarize(settings, base.name, answers, records, ShiftTokens.of(tokens), sets, unanswered)
    return Outcome(result.as_json(), view(settings, result, records, folder.path))


def _reader(settings: ShiftSettings, base: Bases) -> Reader:
    """Load both models."""
    from tunescope.chat import Chat, parse_template_args
    from tunescope.models import stop_ids
    from tunescope.verbs.shift.pair import Pair
    from tunescope.verbs.shift.shard import Reader

    arguments = parse_template_args(settings.template_arg)
    models = (
        with_model(settings, base.name, settings.base_revision),
        with_model(settings, settings.tuned, settings.revision),
    )
    pair = Pair(*models, base.is_adapter)
    how = "the same weights without the adapter" if pair.shares_weights else base.name
    say(f"{settings.tuned}, {pair.tuned.dtype} on {pair.tuned.device}; its base: {how}")
    tokenizer = pair.tuned.tokenizer
    chat = Chat(tokenizer, stop_ids(pair.tuned.model, tokenizer), settings.template, arguments)
    return Reader(pair, chat, _base_context(settings, pair), settings.top_k)


def _base_context(settings: ShiftSettings, pair: Pair) -> Callable[[Answer], tuple[int, ...]] | None:
    """Return what gives the ids that the base sees before an answer; None: the same as the tuned model."""
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


def _answered(
    settings: ShiftSettings, prompts: Sequence[Prompt], ready: Callable[[], Reader], folder: RunFolder
) -> list[Answer]:
    """Answer prompts with the tuned model, greedily, turn after turn; an answer is on disk as soon as it is there."""
    kept = RecordLog(folder.scratch / "answers.jsonl")
    found = {answer.place: answer for answer in map(Answer.from_json, kept)}
    places = [Place(prompt.prompt_id, turn, 0) for prompt in prompts for turn in range(prompt.turns)]
    refused: dict[Place, str] = {}
    try:
        with progress("answers", len(places)) as update:
            for turn in range(max(prompt.turns for prompt in prompts)):
                for answer in _turn(settings, prompts, turn, found, ready, refused):
                    kept.add(answer.as_json())
                    found[answer.place] = answer
                    update(len(found) + len(refused))
    finally:
        kept.close()
    for place, reason in islice(refused.items(), SAID):
        say(f"prompt {place.prompt_id}, turn {place.turn}, has no answer: {reason}")
    if not found:
        why = next(iter(refused.values()))
        raise TunescopeError(f"{settings.tuned} can answer none of the {len(prompts)} prompts: {why}")
    return [found[place] for place in places if place in found]


def _turn(
    settings: ShiftSettings,
    prompts: Sequence[Prompt],
    turn: int,
    found: dict[Place, Answer],
    ready: Callable[[], Reader],
    refused: dict[Place, str],
) -> Iterator[Answer]:
    """Yield the answers to one turn's questions that aren't there yet; note why there is none."""
    from tunescope.chat import Unrenderable
    from tunescope.models import silence_libraries
    from tunescope.models.generate import context_of, stream

    asked: list[tuple[Prompt, list[str]]] = []
    ids: list[tuple[int, ...]] = []
    for prompt in prompts:
        place = Place(prompt.prompt_id, turn, 0)
        earlier = [found.get(place._replace(turn=number)) for number in range(turn)]
        before = [answer.text for answer in earlier if answer is not None]
        if turn >= prompt.turns or place in found:
            continue
        try:
            if len(before) < turn:
                raise Unrenderable("a turn before it has no answer")
            chosen = ready().chat.prompt(prompt.conversation_after(before), prompt.tools, prompt.fields)
            limit = context_of(ready().pair.tuned.model)
            if limit is not None and len(chosen) >= limit:
                raise Unrenderable(f"{len(chosen):,} tokens; the model's context holds {limit:,} with the answer")
        except Unrenderable as error:
            refused[place] = str(error)
            continue
        asked.append((prompt, before))
        ids.append(chosen)
    if not asked:
        return
    model, tokenizer = ready().pair.tuned.model, ready().pair.tuned.tokenizer
    decoding = {"method": "greedy", "max_new_tokens": settings.max_new_tokens}
    with silence_libraries():
        for number, made in stream(model, tokenizer, ids, settings.max_new_tokens, settings.batch_size):
            prompt, before = asked[number]
            yield Answer.to(
                prompt,
                made.text,
                settings.tuned,
                before,
                token_ids=made.token_ids,
                finish_reason=made.finish_reason,
                decoding=decoding,
                usage={"prompt_tokens": len(ids[number]), "completion_tokens": len(made.token_ids)},
            )


def _tokens(shards: Sequence[Path]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa.concat_tables([pq.read_table(shard / "tokens.parquet") for shard in shards])
