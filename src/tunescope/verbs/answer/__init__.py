"""`answer`: a model's answers to prompts, greedy or sampled, from a model loaded here or from a server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope import runs
from tunescope.answers import Answer, Place, model_outputs
from tunescope.errors import ItemFailed, SettingsError, TunescopeError, WorkError
from tunescope.foreign import dump_json
from tunescope.models.settings import refuse_loading
from tunescope.oracle.api import is_url, refuse_secrets
from tunescope.prompts import Prompt, read_prompts
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.verbs.answer.book import AnswerBook
from tunescope.verbs.answer.settings import AnswerSettings
from tunescope.verbs.answer.view import show_answers

if TYPE_CHECKING:
    from tunescope.models.answering import LoadedAnswerer
    from tunescope.oracle.calls import Calls

VERSION = 4
_SHARD = 64
"""Prompts that a worker answers before they are kept; fixed, so that another number of workers can go on."""
_PROBED_TOKENS = 24
"""Tokens of each answer that `--plan` begins."""


def answer(settings: AnswerSettings) -> Run:
    """Answer every prompt; return the run with `answers.jsonl` and `model_outputs.json` (AlpacaEval's form).

    Answers are in the order of prompts, samples and turns. What has no answer is in `missing.jsonl`,
    with the reason and with whether it is open. The same command asks a server again for what is open.

    Raises:
        InputError: prompts that can't be read.
        SettingsError, TunescopeError: a setting, a model or a server that can't work.
        WorkError: a server that went away; its answers are kept, and the same command continues.
        MissingPackageError: torch or transformers, or for a server the openai SDK, isn't installed.
    """
    from tunescope.rows.containers import content_hash

    at_server = is_url(settings.model)
    _validate(settings, at_server)
    prompts = read_prompts(settings.prompts, settings.format)[: settings.limit]
    inputs = {settings.prompts: content_hash(Path(settings.prompts))}
    if at_server:
        from tunescope.oracle.connect import served_model, server_inputs

        name = served_model(settings.model, settings.served_model, settings.timeout)
        inputs |= server_inputs("model", settings.model, name)
        work = partial(_answer_at_server, settings, name, prompts)
        return runs.execute("answer", VERSION, settings, inputs, work, "server")
    from tunescope.models import inputs_of
    from tunescope.models.load import device_of

    inputs |= inputs_of(settings)
    if settings.plan:
        return runs.execute("answer plan", VERSION, settings, inputs, partial(_plan, settings, prompts))
    work = partial(_answer_here, settings, prompts)
    return runs.execute("answer", VERSION, settings, inputs, work, device_of(settings))


def _validate(settings: AnswerSettings, at_server: bool) -> None:
    refuse_secrets(settings.model)
    if settings.temperature is None and (settings.top_p is not None or settings.n > 1):
        given = "--top-p" if settings.top_p is not None else f"--n {settings.n}"
        raise SettingsError(f"{given} without --temperature: greedy answers are all the same; add --temperature 1")
    if at_server:
        if settings.plan:
            raise SettingsError(f"--plan with --model {settings.model}: how fast a server is isn't known; leave it out")
        refuse_loading(settings, settings.model)
    elif settings.served_model is not None:
        raise SettingsError(
            f"--served-model {settings.served_model} with --model {settings.model}: expected a server's URL"
        )


def _write(book: AnswerBook, folder: RunFolder) -> Outcome:
    """Write the answers in the order of prompts, samples and turns, and what has none."""
    answers = [book.answers[place] for _, place in book.places if place not in book.missing]
    missing = [
        {**place._asdict(), **book.missing[place]._asdict()} for _, place in book.places if place in book.missing
    ]
    if not answers:
        raise TunescopeError(f"{book.model} can answer none of the {len(book.prompts)} prompts: {missing[0]['reason']}")
    folder.records("answers", [made.as_json() for made in answers])
    folder.text("model_outputs.json", dump_json(model_outputs(answers), indent=1) + "\n")
    if missing:
        folder.records("missing", missing)
    return show_answers(book.settings, book.model, folder, answers, missing)


def _random(settings: AnswerSettings, place: Place) -> Random:
    """Return the random numbers of one answer, whatever else is answered with it."""
    return Random(f"{settings.seed} {place.sample} {place.turn} {place.prompt_id}")


def _plan(settings: AnswerSettings, prompts: list[Prompt], folder: RunFolder) -> Outcome:
    """Probe with the beginnings of answers; the plan is for answers of the greatest length."""
    from tunescope.chat import Unrenderable
    from tunescope.compute_plan import plan_items
    from tunescope.models.generate import generate

    n_tokens = min(_PROBED_TOKENS, settings.max_new_tokens)
    asked = [prompt for prompt in prompts for _ in range(prompt.turns * settings.n)]

    def work(answering: LoadedAnswerer, batch: list[Prompt], target: Path) -> None:
        ids = []
        for prompt in batch:
            with suppress(Unrenderable):
                ids.append(answering.prompt(prompt.conversation_after([]), prompt.tools, prompt.fields))
        made = generate(answering.model, answering.tokenizer, ids, n_tokens, settings.batch_size)
        (target / "answers.jsonl").write_text(dump_json([each.text for each in made]), "utf-8")

    note = f"The plan is for answers of {settings.max_new_tokens} tokens, the longest allowed. Shorter ones take less."
    return plan_items(
        "answer",
        "answer",
        work,
        asked,
        partial(_load, settings),
        lambda prompt: n_tokens,
        folder.scratch,
        settings.batch_size,
        note,
        settings.max_new_tokens / n_tokens,
        smallest=settings.batch_size,
    )


def _answer_here(settings: AnswerSettings, prompts: list[Prompt], folder: RunFolder) -> Outcome:
    """Answer with a model loaded here, or one in each worker."""
    from tunescope.engine import map_shards

    book = AnswerBook(settings, settings.model, prompts, folder.scratch)
    shards = [prompts[start : start + _SHARD] for start in range(0, len(prompts), _SHARD)]
    place = folder.scratch / "shards"
    if not settings.is_here:
        todo = [_Shard(shard, book.answers_to(shard)) for shard in shards]
        work, setup = partial(_answer_shard, settings), partial(_load, settings)
        map_shards(work, todo, setup, place, settings, f"shards of {_SHARD} prompts")
    for number, shard in enumerate(shards):
        if (part := place / f"{number:05d}").is_dir():  # an earlier run may have had workers too
            book.take(AnswerBook(settings, settings.model, shard, part))
    if book.is_done:
        book.close()
    else:
        with book:
            _generate(settings, _load(settings), book)
    return _write(book, folder)


class _Shard(NamedTuple):
    """Prompts for a worker, and what an earlier run has of their answers."""

    prompts: list[Prompt]
    known: Sequence[Answer]


def _answer_shard(settings: AnswerSettings, answering: LoadedAnswerer, shard: _Shard, folder: Path) -> None:
    """Answer some prompts; the book of them is in `folder`."""
    book = AnswerBook(settings, settings.model, shard.prompts, folder, shard.known)
    _generate(settings, answering, book)
    book.close()


def _load(settings: AnswerSettings) -> LoadedAnswerer:
    from tunescope.models.answering import LoadedAnswerer

    return LoadedAnswerer.load(settings)


def _generate(settings: AnswerSettings, answering: LoadedAnswerer, book: AnswerBook) -> None:
    """Have a model loaded here answer, turn after turn."""
    from tunescope.chat import Unrenderable
    from tunescope.models import silence_libraries
    from tunescope.models.generate import Sampling, stream

    sampling = None
    if settings.temperature is not None:
        sampling = Sampling(settings.temperature, 1.0 if settings.top_p is None else settings.top_p)
    book.start()
    for turn in range(max(prompt.turns for prompt in book.prompts)):
        asked: list[tuple[Prompt, Place, list[str]]] = []
        ids: list[tuple[int, ...]] = []
        for prompt, place in book.places:
            if (
                place.turn != turn
                or place in book.answers
                or place in book.missing
                or (before := book.before(place)) is None
            ):
                continue
            try:
                ids.append(answering.prompt(prompt.conversation_after(before), prompt.tools, prompt.fields))
            except Unrenderable as refused:
                book.miss(place, str(refused))
                continue
            asked.append((prompt, place, before))
        draws = [_random(settings, place) for _, place, _ in asked] if sampling else ()
        with silence_libraries():
            for number, made in stream(
                answering.model,
                answering.tokenizer,
                ids,
                settings.max_new_tokens,
                settings.batch_size,
                sampling,
                draws,
            ):
                prompt, place, before = asked[number]
                book.keep(prompt, place, answering.reply(ids[number], made), before, token_ids=made.token_ids)


def _answer_at_server(settings: AnswerSettings, model: str, prompts: list[Prompt], folder: RunFolder) -> Outcome:
    """Answer by calls to a server; an answer is on disk before the next call of its worker."""
    from tunescope.oracle.caller import Caller
    from tunescope.oracle.client import Client
    from tunescope.oracle.pool import ask_all

    client = Client(settings.model, model, settings.timeout)
    decoding: dict[str, Any] = {"max_tokens": settings.max_new_tokens, "temperature": settings.temperature or 0}
    if settings.temperature is not None and settings.top_p is not None:
        decoding["top_p"] = settings.top_p
    with AnswerBook(settings, model, prompts, folder.scratch) as book:
        was_answered = bool(book.answers)
        caller = Caller(
            model,
            client,
            decoding,
            settings.concurrency,
            settings.deadline,
            extra_retries=0,
            was_answered=was_answered,
        )
        conversations = book.open_conversations()
        book.start()
        work = partial(_converse, settings, book)
        asyncio.run(ask_all(caller, conversations.items(), work, lambda place, result: None))
    _raise_halt(settings, book, caller.halt.error)
    return _write(book, folder)


async def _converse(
    settings: AnswerSettings, book: AnswerBook, turns: Sequence[tuple[Prompt, Place]], calls: Calls
) -> None:
    """Ask for the answers of a prompt's turns, one after the other."""
    from tunescope.oracle.api import message_json
    from tunescope.oracle.request import ChatRequest

    for prompt, place in turns:
        before = book.before(place)
        if before is None:
            continue
        messages = tuple(message_json(message) for message in prompt.conversation_after(before))
        seed = {} if settings.temperature is None else {"seed": _random(settings, place).getrandbits(31)}
        tools = {"tools": list(prompt.tools)} if prompt.tools else {}
        try:
            parsed = await calls.ask(ChatRequest.of(messages, {**seed, **tools}))
        except ItemFailed as error:
            book.miss(place, str(error.__cause__ or error), error.is_for_good)  # in the server's own words
        else:
            if parsed.status == "unparsed":  # a text that no file can hold
                book.miss(place, parsed.problem)
            else:
                book.keep(prompt, place, parsed.reply, before)


def _raise_halt(settings: AnswerSettings, book: AnswerBook, error: TunescopeError | None) -> None:
    """Raise what stopped the work before its end."""
    n_left = sum(place not in book.answers and place not in book.missing for _, place in book.places)
    if isinstance(error, WorkError):
        raise WorkError(
            f"{settings.model}: {error}; {len(book.answers):,} answers are kept and {n_left:,} are left; "
            "type the same command to go on"
        )
    if error is not None:
        raise error
