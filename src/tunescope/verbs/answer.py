"""`answer`: a model's answers to prompts, greedy or sampled, from a model loaded here or from a server."""

from __future__ import annotations

import asyncio
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope import runs
from tunescope.answers import Answer, Place, RecordLog, model_outputs
from tunescope.errors import ItemFailed, SettingsError, TunescopeError, WorkError
from tunescope.foreign import dump_json
from tunescope.models.embedded import DEFAULT
from tunescope.models.settings import ModelSettings
from tunescope.oracle.api import is_url, refuse_secrets
from tunescope.oracle.endings import ending_of, is_broken_off
from tunescope.oracle.replies import Reply
from tunescope.progress import Update, progress, say
from tunescope.prompts import Prompt, read_prompts
from tunescope.runs import INPUT, NOT_IN_KEY, Outcome, Run, RunFolder, Unanswered
from tunescope.settings import POSITIONAL, above, at_least
from tunescope.views import Table, View, counted, interval

if TYPE_CHECKING:
    from tunescope.oracle.calls import Calls

VERSION = 2
SHOWN = 20
"""Prompts without an answer that the view lists; `missing.jsonl` has all."""


@dataclass(frozen=True, kw_only=True)
class AnswerSettings(ModelSettings):
    """Answer prompts with a model, greedily or sampled."""

    prompts: str = field(metadata={**INPUT, **POSITIONAL})
    """A question file (tunescope's, AlpacaEval's, just-eval's, MT-bench's, WizardLM's, MedInstruct's, arena-hard's,
    IFEval's, CSV, or text with a question per line) or row file."""

    format: str | None = None
    """Format of the prompts: prompts, questions, alpaca_eval, arena_hard, ifeval, just_eval, mt_bench, wizardlm,
    medinstruct or a row format. By default the content decides."""

    model: str = field(default=DEFAULT, metadata={**INPUT, "refuse": refuse_secrets})
    """An embedded name, a folder, a GGUF file, a hub id, or the URL of an OpenAI-compatible server."""

    served_model: str | None = field(default=None, metadata={**INPUT, "alias": ("model_name",)})
    """The name that the server of --model URL has for the model. By default its only model."""

    max_new_tokens: int = field(default=256, metadata=at_least(1))
    """Longest answer in tokens."""

    temperature: float | None = field(default=None, metadata=above(0, hint="leave it out for greedy answers"))
    """Sample at this temperature; without it answers are greedy."""

    top_p: float | None = field(default=None, metadata=above(0, at_most=1))
    """Sample from the most probable tokens that make up this share of the probability; all by default."""

    n: int = field(default=1, metadata=at_least(1))
    """Samples per prompt."""

    seed: int = 0
    """Seed of the sampling; every prompt and sample has random numbers of its own."""

    limit: int | None = field(default=None, metadata=at_least(1))
    """Answer only this many prompts, in file order."""

    batch_size: int = field(default=16, metadata={**NOT_IN_KEY, **at_least(1)})
    """Prompts that are answered at a time by a model loaded here."""

    concurrency: int = field(default=8, metadata={**NOT_IN_KEY, **at_least(1)})
    """Calls to a server at a time."""

    timeout: float = field(default=600.0, metadata={**NOT_IN_KEY, **above(0)})
    """Seconds that one call to a server may take."""

    deadline: float = field(default=1800.0, metadata={**NOT_IN_KEY, **above(0)})
    """Seconds that a prompt may take at a server from its first call on, waiting and retries included."""

    again: bool = field(default=False, metadata=NOT_IN_KEY)
    """Ask again also where an earlier run got no answer for the prompt's own sake (its content, its length)."""

    out: str | None = runs.out_field()
    """The run folder; runs/answer-KEY by default."""


def answer(settings: AnswerSettings) -> Run:
    """Answer every prompt; return the run with `answers.jsonl` and `model_outputs.json` (AlpacaEval's form).

    Answers are in the order of prompts, samples and turns. What has none is in `missing.jsonl`, with the reason, and
    whether it is open: the same command asks a server for it again.

    Raises:
        InputError: prompts that can't be read.
        SettingsError, TunescopeError: a setting, a model or a server that can't work.
        WorkError: a server that went away; what it had answered is kept, and the same command goes on.
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
    work = partial(_answer_here, settings, prompts)
    return runs.execute("answer", VERSION, settings, inputs, work, device_of(settings))


def _validate(settings: AnswerSettings, at_server: bool) -> None:
    refuse_secrets(settings.model)
    if settings.temperature is None and (settings.top_p is not None or settings.n > 1):
        given = "--top-p" if settings.top_p is not None else f"--n {settings.n}"
        raise SettingsError(f"{given} without --temperature: greedy answers are all the same; add --temperature 1")
    if at_server:
        here = [f for f in fields(ModelSettings) if f.name != "model" and getattr(settings, f.name) != f.default]
        if here:
            option = f"--{here[0].name.replace('_', '-')}"
            raise SettingsError(f"{option} with --model {settings.model}: the server decides that; leave it out")
    elif settings.served_model is not None:
        raise SettingsError(
            f"--served-model {settings.served_model} with --model {settings.model}: expected a server's URL"
        )


class _Missing(NamedTuple):
    """Why there is no answer, and whether it is open: there may be one when it is asked for again."""

    reason: str
    open: bool = False


class _AnswerBook:
    """The run's answers and what has none, each kept as soon as it is there; used as `with _AnswerBook(…) as book`."""

    def __init__(self, settings: AnswerSettings, model: str, prompts: Sequence[Prompt], folder: RunFolder) -> None:
        self.settings, self.model, self.prompts = settings, model, prompts
        self._log = RecordLog(folder.scratch / "answers.jsonl")
        self._settled_log = RecordLog(folder.scratch / "settled.jsonl")
        self.answers = {a.place: a for a in map(Answer.from_json, self._log)}
        settled = () if settings.again else self._settled_log
        self.missing = {Place(*record["place"]): _Missing(record["reason"]) for record in settled}
        self._progress = progress("answers", sum(1 for _ in self.places))
        self._update: Update
        self._start, self._n_new, self._n_tokens = monotonic(), 0, 0
        if self.answers:
            say(f"{len(self.answers):,} answers are here already")

    def __enter__(self) -> _AnswerBook:
        self._update = self._progress.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Close the file and say how fast it went."""
        self._progress.__exit__(*error)
        self._log.close()
        self._settled_log.close()
        if self._n_new:
            seconds = monotonic() - self._start
            say(f"{self._n_new:,} answers, {self._n_tokens:,} tokens in {seconds:.1f} s: {self._rate()}")

    @property
    def places(self) -> Iterator[tuple[Prompt, Place]]:
        """All answers there should be, in the order in which they are written."""
        for prompt in self.prompts:
            for sample in range(self.settings.n):
                for turn in range(prompt.turns):
                    yield prompt, Place(prompt.prompt_id, turn, sample)

    def before(self, place: Place) -> list[str] | None:
        """Return the answers of earlier turns; None, and this one is missing, where one of them is."""
        earlier = [Place(place.prompt_id, turn, place.sample) for turn in range(place.turn)]
        texts = [self.answers[each].text for each in earlier if each in self.answers]
        if len(texts) == place.turn:
            return texts
        first = self.missing.get(Place(place.prompt_id, len(texts), place.sample))
        self.missing[place] = _Missing(f"turn {len(texts)} before it has no answer", first is not None and first.open)
        return None

    def open_conversations(self) -> dict[tuple[str, int], list[tuple[Prompt, Place]]]:
        """Return the turns without an answer, by prompt and sample: one worker asks them one after the other."""
        turns: dict[tuple[str, int], list[tuple[Prompt, Place]]] = {}
        for prompt, place in self.places:
            if place not in self.answers and place not in self.missing:
                turns.setdefault((place.prompt_id, place.sample), []).append((prompt, place))
        return turns

    def keep(self, prompt: Prompt, place: Place, reply: Reply, before: Sequence[str], **known: Any) -> None:
        """Keep an answer on disk; of a reply that is none, why."""
        if reply.ending == "refused" or reply.is_only_thoughts or is_broken_off(reply.finish_reason):
            self.miss(place, reply.describe_ending())
            return
        settings = self.settings
        known |= {"finish_reason": reply.finish_reason, "usage": reply.usage, "thinking": reply.thinking}
        decoding: dict[str, Any] = {"method": "greedy", "max_new_tokens": settings.max_new_tokens}
        if settings.temperature is not None:
            top_p = 1.0 if settings.top_p is None else settings.top_p
            decoding |= {
                "method": "sampled",
                "temperature": settings.temperature,
                "top_p": top_p,
                "seed": settings.seed,
            }
        made = Answer.to(prompt, reply.text, self.model, before, place.sample, decoding=decoding, **known)
        self._log.add(made.as_json())
        self.answers[place] = made
        self._n_new += 1
        self._n_tokens += (made.usage or {}).get("completion_tokens", 0)
        self._show()

    def miss(self, place: Place, reason: str, is_for_good: bool = True) -> None:
        """Note why there is no answer; on disk where there would be none each time."""
        self.missing[place] = _Missing(reason, not is_for_good)
        if is_for_good:
            self._settled_log.add({"place": place, "reason": reason})
        self._show()

    def _show(self) -> None:
        self._update(len(self.answers) + len(self.missing), self._rate())

    def _rate(self) -> str:
        return f"{self._n_tokens / max(monotonic() - self._start, 1e-9):,.0f} tokens/s"

    def start(self) -> None:
        """Begin to count time."""
        self._start = monotonic()


def _write(book: _AnswerBook, folder: RunFolder) -> Outcome:
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
    return _outcome(book.settings, book.model, folder, answers, missing)


def _random(settings: AnswerSettings, place: Place) -> Random:
    """Return the random numbers of one answer, whatever else is answered with it."""
    return Random(f"{settings.seed} {place.sample} {place.turn} {place.prompt_id}")


def _answer_here(settings: AnswerSettings, prompts: list[Prompt], folder: RunFolder) -> Outcome:
    """Answer with a model loaded here."""
    with _AnswerBook(settings, settings.model, prompts, folder) as book:
        _generate(settings, book)
    return _write(book, folder)


def _generate(settings: AnswerSettings, book: _AnswerBook) -> None:
    """Have a model loaded here answer, turn after turn."""
    from tunescope.chat import Chat, Unrenderable, parse_template_args
    from tunescope.models import load, silence_libraries, stop_ids
    from tunescope.models.generate import Sampling, context_of, split_generated, stream

    arguments = parse_template_args(settings.template_arg)
    loaded = load(settings)
    say(f"{settings.model}: {loaded.dtype} on {loaded.device}")
    model, tokenizer = loaded.model, loaded.tokenizer
    chat = Chat(tokenizer, stop_ids(model, tokenizer), settings.template, arguments)
    context = context_of(model)
    sampling = None
    if settings.temperature is not None:
        sampling = Sampling(settings.temperature, 1.0 if settings.top_p is None else settings.top_p)
    book.start()
    for turn in range(max(prompt.turns for prompt in book.prompts)):
        asked: list[tuple[Prompt, Place, list[str]]] = []
        ids: list[tuple[int, ...]] = []
        for prompt, place in book.places:
            if place.turn != turn or place in book.answers or (before := book.before(place)) is None:
                continue
            try:
                found = chat.prompt(prompt.conversation_after(before), prompt.tools, prompt.fields)
            except Unrenderable as refused:
                book.miss(place, str(refused))
                continue
            if context is not None and len(found) >= context:
                book.miss(place, f"{len(found):,} tokens; the model's context holds {context:,} with the answer")
                continue
            asked.append((prompt, place, before))
            ids.append(found)
        draws = [_random(settings, place) for _, place, _ in asked] if sampling else ()
        with silence_libraries():
            for number, made in stream(
                model, tokenizer, ids, settings.max_new_tokens, settings.batch_size, sampling, draws
            ):
                prompt, place, before = asked[number]
                text, thinking = split_generated(tokenizer, ids[number], made)
                usage = {"prompt_tokens": len(ids[number]), "completion_tokens": len(made.token_ids)}
                reply = Reply(text, made.finish_reason, usage, thinking)
                book.keep(prompt, place, reply, before, token_ids=made.token_ids)


def _answer_at_server(settings: AnswerSettings, model: str, prompts: list[Prompt], folder: RunFolder) -> Outcome:
    """Answer by calls to a server; an answer is on disk before the next call of its worker."""
    from tunescope.oracle.caller import Caller
    from tunescope.oracle.client import Client
    from tunescope.oracle.pool import ask_all

    client = Client(settings.model, model, settings.timeout)
    decoding: dict[str, Any] = {"max_tokens": settings.max_new_tokens, "temperature": settings.temperature or 0}
    if settings.temperature is not None and settings.top_p is not None:
        decoding["top_p"] = settings.top_p
    with _AnswerBook(settings, model, prompts, folder) as book:
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
    settings: AnswerSettings, book: _AnswerBook, turns: Sequence[tuple[Prompt, Place]], calls: Calls
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


def _raise_halt(settings: AnswerSettings, book: _AnswerBook, error: TunescopeError | None) -> None:
    """Raise what stopped the work before its end."""
    n_left = sum(place not in book.answers and place not in book.missing for _, place in book.places)
    if isinstance(error, WorkError):
        raise WorkError(
            f"{settings.model}: {error}; {len(book.answers):,} answers are kept and {n_left:,} are left; "
            "type the same command to go on"
        )
    if error is not None:
        raise error


def _outcome(
    settings: AnswerSettings, model: str, folder: RunFolder, answers: list[Answer], missing: list[dict[str, Any]]
) -> Outcome:
    from tunescope.stats import mean
    from tunescope.text.words import words

    lengths = [*(float(len(words(a.text))) for a in answers), *(None for _ in missing)]
    length = mean(lengths, heavy_tailed=True, least=0)
    reasons = Counter(a.finish_reason for a in answers)
    ended = {name: reasons.pop(name, 0) for name in ("stop", "length")}
    ended |= {name or "null": count for name, count in reasons.items()}
    result = {
        "n": len(answers),
        "n_missing": len(missing),
        "words": length.as_json(),
        "finish_reasons": ended,
        "model": model,
    }
    about = (length.value, interval(length.low, length.high, 1))
    cells = (len(answers), len(missing), *about, *ended.values())
    tables = [
        Table(
            "Answers",
            ("n", "n_missing", "mean words", f"{100 * length.level:.0f} % interval", *ended),
            (cells,),
            f"Words per answer ({length.method}). stop: the model ended its turn; "
            f"length: cut at {settings.max_new_tokens} tokens.",
        )
    ]
    if missing:
        shown = tuple((record["prompt_id"], record["reason"]) for record in missing[:SHOWN])
        more = f"The first {SHOWN} of {len(missing)}; all are in missing.jsonl." if len(missing) > SHOWN else ""
        tables.append(Table("Not answered", ("prompt_id", "reason"), shown, more))
    due = len(answers) + len(missing)
    asked = len({a.prompt_id for a in answers} | {record["prompt_id"] for record in missing})
    what = "prompts" if due == asked else f"questions and samples of {asked} prompts"
    sentences = [f"{model} answered {len(answers)} of {due} {what}, {_manner(settings)}.", *_describe_endings(answers)]
    path = shlex.quote(str(folder.path))
    view = View(tuple(sentences), tuple(tables), (f"tunescope compare {path} OTHER_ANSWERS",))
    failures = ((record["reason"], not record["open"]) for record in missing)
    return Unanswered.of(due, "answers", failures).added_to(result, view)


def _describe_endings(answers: Sequence[Answer]) -> Iterator[str]:
    """Say how many answers may be cut, beside those that were cut at the length that the settings have."""
    endings = Counter(ending_of(each.finish_reason) for each in answers if each.finish_reason != "length")
    if endings["cut"]:
        yield f"{counted(endings['cut'], 'answer')} ended with a finish_reason that isn't a natural end."
    if endings["unknown"]:
        yield f"The server doesn't say how {counted(endings['unknown'], 'answer')} ended: they may be cut off."


def _manner(settings: AnswerSettings) -> str:
    if settings.temperature is None:
        return "greedily"
    top_p = "" if settings.top_p is None else f", top_p {settings.top_p:g}"
    return f"sampled at temperature {settings.temperature:g}{top_p}, seed {settings.seed}"
