"""Ask an oracle about many rows: through the journal, at the server's pace, within the budget.

A row's calls are asked one after the other, as `Calls`; rows are asked side by side by `each`. A call whose reply
is in the journal isn't made. What asking again can't mend fails its row (`Failed`); what no row can get past
stops the work (`Stopped`), after the calls at work have been kept.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from time import monotonic
from typing import Any, Protocol, TypeVar

from tunescope.errors import TunescopeError, WorkError
from tunescope.oracle.budget import Budget, Price, tokens_of
from tunescope.oracle.client import LENGTHS, LONGEST_ASKED, TRIES, Again, Raw, Refused, Reply, as_sent, backoff
from tunescope.oracle.fake import PREFIX
from tunescope.oracle.journal import Journal, key_of, refusal
from tunescope.oracle.rate_limit import Pace
from tunescope.oracle.replies import ParsedReply
from tunescope.oracle.reply_format import ReplyFormat
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.oracle.request import RenderedPrompt, Request
from tunescope.oracle.settings import OracleSettings
from tunescope.progress import say

T = TypeVar("T")
R = TypeVar("R")
HOPELESS = 20
"""Calls that fail alike, with none answered, after which no more are made."""
APART = 0.002
"""Seconds between the first calls of all; made in one moment, they would come back in one, round after round."""
PATIENCE = 8
"""Tries beyond `TRIES` while no call at all is answered: some four minutes, for a server that starts again."""
LATELY = 4
"""Tries in a row during which no call at all is answered, after which a server counts as away."""
LONG = re.compile(r"\d{3}: .*(?:context|too (?:long|large|many)|length|maximum)", re.IGNORECASE)
"""What servers say of a prompt that they have no room for; the row's reason then has its length."""
TEMPLATE = 16
"""Tokens that a server's chat template may add to a prompt."""
CALL_ID = 16
"""Hex digits of a call's key that name it in a row's lineage."""
PROBE = Request(
    ReplySchema(
        "colour", (Field("name", "a colour"), Field("letters", "how many letters its name has", maximum=float("inf")))
    ),
    lambda instructions: "Say in JSON which colour a ripe tomato has.",
)
"""Asked once, with a schema whose fields the prompt doesn't name: only a server that holds the model to it gets them.

The prompt says JSON, since small models that aren't told fill what a schema lets them with white space."""
PASSING = re.compile(r"4(?!00|22)\d\d:")
"""Refusals of that call that say nothing about schemas (an unknown model), and so aren't kept."""
FOUND: Mapping[ReplyFormat, str] = {
    "json": "as JSON, which the server holds the model to",
    "tags": "as text, without a schema",
}
"""What the small call found out about how replies are asked for."""
MENDS: Mapping[str | None, str] = {
    "temperature": "the model doesn't take this --temperature; OpenAI's newer ones take 1 alone: --temperature 1",
    "seed": "the server takes no seed: --seed -1 sends none",
    "response_format": "the server doesn't hold models to a schema: --replies tags asks for tagged sections",
    LENGTHS[0]: f"the model doesn't take the longest reply under this name: --length-name {LENGTHS[1]}, or auto",
}
"""What to type where a server refuses one of our parameters."""


class Failed(Exception):
    """This row can't be asked about; the text is the reason."""


class Stopped(Exception):
    """Nothing more is asked; `Oracle.stopped` says why."""


class Later(Exception):
    """A call that the journal doesn't have isn't made in this run."""


class Transport(Protocol):
    """What makes one call: a server's client, the server on this machine, or the fake."""

    most: int | None

    async def __aenter__(self) -> Any:
        """Open."""

    async def __aexit__(self, *error: Any) -> None:
        """Close."""

    async def once(self, messages: Sequence[Mapping[str, Any]], decoding: Mapping[str, Any]) -> Raw:
        """Call once."""

    async def answers(self) -> bool:
        """Tell whether anybody is there."""

    def read(self, body: bytes) -> Reply:
        """Read a reply."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply, and the name of the call that it came from."""

    call_id: str
    text: str
    finish_reason: str | None


def _told(decoding: Mapping[str, Any], schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the server is told beside the messages."""
    if schema is None:
        return {**decoding}
    return {**decoding, "response_format": {"type": "json_schema", "json_schema": dict(schema)}}


def _characters(messages: Sequence[Mapping[str, Any]], told: Mapping[str, Any]) -> int:
    """Return how long a prompt is with its schema, which servers put into it."""
    schema = told.get("response_format", {}).get("json_schema")
    characters = sum(len(str(message["content"])) for message in messages)
    return characters + (0 if schema is None else len(json.dumps(schema)))


class Oracle:
    """Where all rows' calls meet.

    Attributes:
        stopped: why nothing more is asked; None while it is.
        asked: replies wanted now that the journal doesn't have; `made`: calls made for them, those that failed
            included; `replayed`: replies from the journal.
        left: calls that `leave` took; `unfit`: those that the budget has no room for then.
        used: how replies were asked for; None before that was needed.
    """

    def __init__(
        self,
        transport: Transport,
        model: str,
        settings: OracleSettings,
        journal: Journal,
        sleep: Callable[[float], Coroutine[Any, Any, Any]] = asyncio.sleep,
        jitter: Random | None = None,
        leave: Callable[[str, Mapping[str, Any]], None] | None = None,
    ) -> None:
        """Count what the journal's replies used; `sleep` and `jitter` are the waits' between calls.

        With `leave`, nothing is asked: it gets the key and the body of each call that the journal doesn't have.
        """
        self.transport, self.model, self.journal = transport, model, journal
        self.decoding: dict[str, Any] = {"temperature": settings.temperature, "max_tokens": settings.max_new_tokens}
        if settings.temperature > 0 and settings.seed >= 0:
            self.decoding["seed"] = settings.seed
        self.concurrency, self.deadline = transport.most or settings.concurrency, settings.deadline
        self.jitter = jitter or Random()
        self.pace = Pace(self.concurrency, sleep=sleep, jitter=self.jitter)
        price = None if settings.price is None else Price.parse(settings.price)
        self.budget = Budget(settings.max_tokens_total, settings.max_cost, price)
        self.stopped: TunescopeError | None = None
        self.asked = self.made = self.replayed = 0
        self.heard_at = float("-inf")
        self._asking: dict[str, asyncio.Lock] = {}
        self._first: dict[int, str] = {}
        self._unheard = 0
        self.leave, self._left, self.unfit = leave, set[str](), 0
        self._length = LENGTHS[1] if settings.length_name == "auto" else settings.length_name
        self.used: ReplyFormat | None = None
        can_settle = settings.replies != "auto" or not settings.oracle.startswith(PREFIX)
        self._wanted = settings.replies if can_settle else "tags"
        self._settling = asyncio.Lock()
        for characters, body in journal:
            self._count(characters, body)
        self._is_known = self.budget.tokens > 0
        self._is_shared = settings.journal is not None

    @property
    def wanted(self) -> frozenset[str]:
        """The keys of all calls that were wanted."""
        return frozenset(self._asking)

    @property
    def left(self) -> int:
        """Calls that `leave` took."""
        return len(self._left)

    def _count(self, characters: int | None, body: bytes) -> None:
        """Count what a call used: the server's count, else an estimate by the prompt's and the reply's characters.

        A reply without text, as of a model that spent all its tokens on thinking, counts where the server counted it.
        """
        try:
            reply = self.transport.read(body)
        except Again:
            return
        except Refused as error:
            if error.usage is None:
                return
            usage = error.usage
        else:
            usage = reply.usage or {
                "prompt_tokens": 0 if characters is None else tokens_of(characters) + TEMPLATE,
                "completion_tokens": tokens_of(len(reply.text)),
            }
        self.budget.use(usage["prompt_tokens"], usage["completion_tokens"])

    def told_used(self, ways: Mapping[ReplyFormat, str]) -> str:
        """Say what the journal's replies used, and how they were asked for in the words of `ways`."""
        among = " in all the runs that share its journal" if self._is_shared else ""
        asked = "" if self.used is None else f", asked for {ways[self.used]}"
        return f"{self.model} used {self.budget.spent()}{among}{asked}"

    def stop(self, error: TunescopeError) -> Stopped:
        """Ask nothing more, for this reason unless there is one already."""
        self.stopped = self.stopped or error
        self.pace.halt()
        return Stopped()

    def note_refused(self, number: int | None, reason: str) -> None:
        """Stop once the first calls of all have failed alike; `number` counts them from 0, None stays out."""
        if self._is_known or number is None or number >= HOPELESS:
            return
        self._first[number] = reason
        if len(self._first) == HOPELESS and len({*self._first.values()}) == 1:
            hint = f"; is {self.model} what it calls the model (--oracle-model)?" if reason.startswith("404") else ""
            self.stop(TunescopeError(f"the oracle refuses the first {HOPELESS} calls alike: {reason}{hint}"))

    def kept(self, key: str) -> Reply | None:
        """Return the journal's reply to a call; None where there is none that can be read.

        Raises:
            Refused: all that it has is that the call can't be mended.
        """
        refused: Refused | None = None
        for body in self.journal.bodies(key):
            try:
                return self.transport.read(body)
            except Again:  # what came was no reply
                continue
            except Refused as error:
                refused = refused or error
        if refused is not None:
            raise refused
        return None

    async def way(self) -> ReplyFormat:
        """Return how replies are asked for: as the settings say, or as one small call finds out.

        What it finds is kept in the journal, so whoever goes on does alike. Where nothing is asked and nothing is
        known, they are asked for in tagged sections.
        """
        if self.used is None:
            async with self._settling:
                if self.used is None:
                    self.used = await self._settled() if self._wanted == "auto" else self._wanted
        return self.used

    async def settle(self) -> None:
        """Keep that replies are asked for in tagged sections where nobody can be asked and it isn't known yet."""
        key = self._probe[0]
        if self._wanted == "auto" and not self.journal.bodies(key):
            await self.journal.add(key, 0, refusal("nobody was asked whether JSON can be had"), 0.0)

    @property
    def _probe(self) -> tuple[str, list[dict[str, str]], RenderedPrompt]:
        rendered = PROBE.render("json")
        messages = [{"role": "user", "content": rendered.prompt}]
        return key_of(messages, self.model, self.decoding, rendered.schema), messages, rendered

    async def _settled(self) -> ReplyFormat:
        key, messages, rendered = self._probe
        try:
            reply = self.kept(key)
            if reply is None and self.leave is not None:
                return "tags"
            if reply is None:
                reply = await self._tried(Calls(self), key, messages, _told(self.decoding, rendered.schema), None)
        except Refused:
            return "tags"
        except Failed as error:
            if PASSING.match(str(error)) is None:
                await self.journal.add(key, 0, refusal(str(error)), 0.0)
            found: ReplyFormat = "tags"
        else:
            found = "json" if PROBE.parse(reply.text, reply.finish_reason, "json").status == "ok" else "tags"
        say(f"replies are asked for {FOUND[found]}")
        return found

    async def ask(
        self,
        calls: Calls,
        messages: Sequence[Mapping[str, Any]],
        sample: int,
        schema: Mapping[str, Any] | None = None,
    ) -> Answered:
        """Return the reply to a call, from the journal or from the oracle; see `Calls.ask`."""
        decoding = self._decoding(sample)
        key = key_of(messages, self.model, decoding, schema, sample)
        told = _told(decoding, schema)
        async with self._asking.setdefault(key, asyncio.Lock()):  # two rows alike are one call
            try:
                reply = self.kept(key)
            except Refused as error:
                raise Failed(str(error)) from None
            if reply is not None:
                self.replayed += 1
            elif self.leave is not None:
                raise self._later(self.leave, key, messages, told)
            else:
                number, self.asked = self.asked, self.asked + 1
                reply = await self._tried(calls, key, messages, told, number)
        return Answered(key[:CALL_ID], reply.text, reply.finish_reason)

    def _later(
        self,
        leave: Callable[[str, Mapping[str, Any]], None],
        key: str,
        messages: Sequence[Mapping[str, Any]],
        told: Mapping[str, Any],
    ) -> Later:
        """Leave a call, once, as far as the budget has room."""
        need = self._need(_characters(messages, told))
        if key not in self._left:
            if self.budget.fits(*need):
                self.budget.reserve(*need)
                self._left.add(key)
                leave(key, {"model": self.model, "messages": list(messages), **as_sent(told, self._length)})
            else:
                self.unfit += 1
        return Later()

    def _need(self, characters: int) -> tuple[int, int]:
        """Return the tokens that a call may use, in its prompt and its reply."""
        return tokens_of(characters, "high") + TEMPLATE, int(self.decoding["max_tokens"])

    def _decoding(self, sample: int) -> dict[str, Any]:
        """Return how a sample is drawn: each with a seed of its own, where one is sent."""
        return self.decoding | ({"seed": self.decoding["seed"] + sample} if "seed" in self.decoding else {})

    async def _tried(
        self,
        calls: Calls,
        key: str,
        messages: Sequence[Mapping[str, Any]],
        told: Mapping[str, Any],
        number: int | None,
    ) -> Reply:
        """Ask until there is a reply; `number` counts calls that may all be hopeless."""
        characters = _characters(messages, told)
        failed, failures = Again("not tried", unreachable=False), deque[float](maxlen=LATELY)
        allowed = TRIES
        for attempt in count():
            try:
                return await self._once(calls, key, messages, told)
            except Refused as error:
                is_settling = number is None and error.parameter == "response_format"
                if error.parameter in MENDS and not is_settling and not self._was_answered:
                    raise self.stop(TunescopeError(f"{error}; {MENDS[error.parameter]}")) from None
                self.note_refused(number, str(error))
                about = f" (about {tokens_of(characters):,} tokens in the prompt)" if LONG.match(str(error)) else ""
                raise Failed(f"{error}{about}") from None
            except TimeoutError:
                reason = "" if attempt == 0 else f"; the last try: {failed.reason}"
                raise Failed(f"not done within the row's {self.deadline:g} s{reason}") from None
            except Again as error:
                failed = error
                failures.append(monotonic())
            except TunescopeError as error:
                raise self.stop(error) from None
            if failed.after is not None and failed.after > LONGEST_ASKED:
                raise self.stop(WorkError(f"{failed.reason}; the server asks to wait {failed.after:.0f} s")) from None
            share = 1.0
            if failed.after is not None:
                self.pace.close_for(failed.after)
                share = self.jitter.random()  # beside what the server asks for, which may be 0
            reason = f"{failed.reason}, in the last of {attempt + 1} tries"
            away = failed.overloaded and self.heard_at < failures[0]  # nor was any other row answered lately
            if attempt + 1 >= TRIES and away:
                if await self._is_alone(failed):
                    break
                if attempt + 1 >= TRIES + PATIENCE:
                    raise self.stop(WorkError(reason))
                allowed = attempt + 1 + TRIES  # from when others are
            if attempt + 1 >= allowed:
                break
            try:
                async with asyncio.timeout_at(calls.ends):
                    await self.pace.nap(share * backoff(attempt, self.jitter))
            except TimeoutError:
                raise Failed(f"not done within the row's {self.deadline:g} s; the last try: {failed.reason}") from None
        self.note_refused(number, reason)
        raise Failed(reason)

    async def _is_alone(self, failed: Again) -> bool:
        """Tell whether only this row isn't answered, though nothing else was: the server still says what it has."""
        if not failed.silent or self._unheard + 1 >= HOPELESS or not await self.transport.answers():
            return False
        self._unheard += 1
        return True

    @property
    def _was_answered(self) -> bool:
        return self._is_known or self.heard_at > float("-inf")

    async def _once(
        self, calls: Calls, key: str, messages: Sequence[Mapping[str, Any]], told: Mapping[str, Any]
    ) -> Reply:
        """Make one call and keep what came before reading it."""
        characters = _characters(messages, told)
        need = self._need(characters)
        async with asyncio.timeout_at(calls.ends) as limit, self.pace.slot(lambda: self.budget.fits(*need)) as since:
            if self.stopped is not None:
                raise Stopped
            if not self.budget.fits(*need):
                raise WorkError(
                    f"the budget has no room for another call ({self.budget.spent()}; a call may use "
                    f"{sum(need):,} more); raise --max-tokens-total or --max-cost"
                )
            limit.reschedule(calls.start(self.deadline))
            self.budget.reserve(*need)
            try:
                self.made += 1
                raw = await self.transport.once(messages, told)
                limit.reschedule(None)  # what was paid for is kept, however late
                await self.journal.add(key, characters, raw.body, self.pace.now() - since)
                self._count(characters, raw.body)
            except Again as error:
                if error.overloaded:
                    self.pace.badly(since)
                raise
            finally:
                self.budget.reserve(-need[0], -need[1])
            if raw.full_for:
                self.pace.close_for(raw.full_for)
            reply = self.transport.read(raw.body)
            self.heard_at, self._unheard = monotonic(), 0
            self.pace.well()
            return reply

    async def each(
        self, items: Sequence[T], work: Callable[[T, Calls], Awaitable[R]], done: Callable[[R], None]
    ) -> None:
        """Work on every item, `concurrency` of them side by side; `done` gets each result as it comes.

        Ends early, with `stopped` set, where nothing more can be asked.
        """
        todo = iter(items)

        async def worker(number: int) -> None:
            await asyncio.sleep(number * APART)
            for item in todo:
                if self.stopped is not None:
                    return
                try:
                    done(await work(item, Calls(self)))
                except Later:
                    continue
                except Stopped:
                    return
                except TunescopeError as error:
                    self.stop(error)
                except OSError as error:  # a full disk, under a batch's file or the student's decisions
                    self.stop(WorkError(str(error)))

        async with self.transport, asyncio.TaskGroup() as group:
            for number in range(min(self.concurrency, len(items))):
                group.create_task(worker(number))


class Calls:
    """One row's calls.

    Attributes:
        ids: of the calls answered so far.
        ends: when the row's time is up, on the event loop's clock; None before its first call.
    """

    def __init__(self, oracle: Oracle) -> None:
        """Begin with none; the row's time runs from its first call."""
        self._oracle = oracle
        self.ids: list[str] = []
        self.ends: float | None = None

    def start(self, deadline: float) -> float:
        """Return when the row's time is up; it runs from the first time that this is asked."""
        if self.ends is None:
            self.ends = asyncio.get_running_loop().time() + deadline
        return self.ends

    async def way(self) -> ReplyFormat:
        """Return how the oracle's replies are asked for; raises as `ask`."""
        return await self._oracle.way()

    async def ask_prompt(self, prompt: str, sample: int = 0, schema: Mapping[str, Any] | None = None) -> Answered:
        """Ask one prompt, with the schema that the reply must follow where there is one.

        Another `sample` is another call, with another seed where one is sent.

        Raises:
            Failed: no reply can be had for this row.
            Stopped: nothing more is asked.
        """
        answered = await self._oracle.ask(self, [{"role": "user", "content": prompt}], sample, schema)
        self.ids.append(answered.call_id)
        return answered

    async def ask(self, request: Request, sample: int = 0) -> ParsedReply:
        """Ask in the format that the oracle can reply in; return the parsed reply. Raises as `ask_prompt`."""
        reply_format = await self.way() if request.schema.fields else "tags"
        rendered = request.render(reply_format)
        answered = await self.ask_prompt(rendered.prompt, sample, rendered.schema)
        return request.parse(answered.text, answered.finish_reason, reply_format)

    async def beside(self, work: Awaitable[R]) -> R:
        """Wait for other work on the row; it doesn't take of the row's time."""
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            return await work
        finally:
            if self.ends is not None:
                self.ends += clock() - began
