"""One client for every OpenAI-compatible server: vLLM, llama.cpp, Ollama, a provider.

The `openai` SDK carries the calls over aiohttp, with its own retries off; what is asked again, when, and what isn't
is decided here. Its adapter calls every lost connection a time-out, so what led to an error tells what it was. The key
comes from OPENAI_API_KEY and goes nowhere but into the request.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from socket import gaierror
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from tunescope.errors import MissingPackageError, SettingsError, TunescopeError
from tunescope.rows import Message

T = TypeVar("T")
KEY_VARIABLE = "OPENAI_API_KEY"
TRIES = 7
"""Calls for one reply at most."""
FIRST_WAIT = 0.5
"""Seconds before the second call; doubled before each further one, up to `LONGEST_WAIT`, with jitter."""
LONGEST_WAIT = 30.0
LONGEST_ASKED = 600.0
"""Seconds that a server may ask us to wait (Retry-After); when it asks for more, we stop."""
AGAIN = frozenset({408, 409, 425, 429})
"""Statuses, beside 500 and above, after which the same call may succeed."""
OVERLOADED = frozenset({429, 502, 503, 504, 529})
"""Statuses after which fewer calls at a time are made."""
LENGTHS = ("max_tokens", "max_completion_tokens")
"""What the longest reply is called: by most servers, and by OpenAI's newer models, which refuse the other name."""
PARAMETERS = (LENGTHS[0], "temperature", "seed", "response_format")
"""What a server may not take, for which a setting of ours stands."""
UNSUPPORTED = re.compile(
    r"un-?supported|not? (?:yet )?support|only .*support|unrecogni[sz]ed|extra_forbidden|not permitted|"
    r"invalid (?:parameter|value)|unknown|unavailable|failed to (?:parse|compile)|can be specified",
    re.IGNORECASE,
)


NOT_THE_APIS = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)
"""What reading a body raises that isn't the API's."""


class Refused(Exception):
    """One call that asking again can't mend; the text is the reason.

    Attributes:
        parameter: the one of `PARAMETERS` that the server doesn't take as it is; None where it is none of them.
        usage: the tokens of a reply without text, as `Reply.usage`; None where it doesn't count, or none came.
    """

    def __init__(self, reason: str, parameter: str | None = None, usage: dict[str, int] | None = None) -> None:
        """Say why."""
        super().__init__(reason)
        self.parameter, self.usage = parameter, usage


class Unreachable(Exception):
    """The server can't be reached now, or has no room for us; later, the same call may succeed."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said: the text, why it ended, and how many tokens it counted (None: it didn't say)."""

    text: str
    finish_reason: str | None
    usage: dict[str, int] | None


@dataclass(frozen=True, slots=True)
class Raw:
    """A reply as it came: the body's bytes, and the seconds for which its headers leave no room (0: there is room)."""

    body: bytes
    full_for: float = 0.0


class Again(Exception):
    """A call that failed and may be made again.

    Attributes:
        reason: why.
        unreachable: the server is away, or has no room.
        after: seconds that it asks us to wait; None where it doesn't.
        overloaded: asking less may help.
        silent: nothing was answered at all.
    """

    def __init__(
        self,
        reason: str,
        unreachable: bool,
        after: float | None = None,
        overloaded: bool = False,
        silent: bool = False,
    ) -> None:
        """Say why; an unreachable server counts as overloaded."""
        super().__init__(reason)
        self.reason, self.unreachable, self.after = reason, unreachable, after
        self.overloaded, self.silent = overloaded or unreachable, silent


def is_url(model: str) -> bool:
    """Tell the address of a server from other names of models."""
    return model.startswith(("http://", "https://"))


def base_url(url: str) -> str:
    """Return the address that the SDK takes: with /v1 where no path was typed.

    Raises:
        SettingsError: no host, or a password in it, which we'd have to keep.
    """
    try:
        parts = urlsplit(url)
        fits = bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError(
            f"found a server's address with a name, a password or a query in it, or without a host; expected "
            f"http://HOST:PORT/v1, and a key in {KEY_VARIABLE}"
        )
    path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


class Client:
    """A server and a model name; used as `async with Client(…) as client`.

    Args:
        url: the server's address.
        model: what the server calls the model; "" only for `models`.
        timeout: seconds that one call may take.
        sleep: waits between calls.
        jitter: where the random part of the waits comes from.
        options: what the command line calls the address and the model's name.
        length: what the longest reply is called, one of `LENGTHS`; None finds out by the first refusal.
    """

    most: int | None = None
    """How many calls it takes at a time: as many as the settings allow."""

    def __init__(
        self,
        url: str,
        model: str = "",
        timeout: float = 600.0,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        jitter: Random | None = None,
        options: tuple[str, str] = ("--model", "--model-name"),
        is_ours: bool = False,
        length: str | None = None,
    ) -> None:
        """Raises `MissingPackageError` without the SDK, `SettingsError` for an address or a key that can't be one.

        A server that `is_ours` gets no key, and is called without the proxies that the environment names.
        """
        try:
            import aiohttp
            import openai
        except ModuleNotFoundError as error:
            raise MissingPackageError("openai[aiohttp]", "oracle", "asking a server") from error
        self.url = base_url(url)
        self.model = model
        self._openai, self._aiohttp = openai, aiohttp
        self._key = "" if is_ours else _key()
        self._sdk = openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self.url,
            max_retries=0,
            timeout=timeout,
            # the default one looks at all connections at every call
            http_client=openai.DefaultAioHttpClient(trust_env=not is_ours),
        )
        self._timeout, self._sleep, self._jitter = timeout, sleep, jitter or Random()
        self._heard = False
        self._options = options
        self._length, self._may_rename = length or LENGTHS[0], length is None

    async def __aenter__(self) -> Client:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._sdk.close()

    async def models(self) -> list[str]:
        """Return the names of the models that the server has.

        Raises:
            TunescopeError: the server isn't there, refuses the key, or doesn't say.
        """
        try:
            return await self._tried(lambda: self._sent(self._sdk.models.with_raw_response.list), _names)
        except (Refused, Unreachable) as error:
            raise TunescopeError(
                f"{self.url} doesn't say which models it has ({error}); name one with {self._options[1]}"
            ) from error

    async def reply(self, messages: Sequence[Message], **decoding: Any) -> Reply:
        """Return the model's next message.

        `decoding` is what the server is told beside the messages (temperature, top_p, seed, max_tokens).

        Raises:
            Refused: this call fails, and would again.
            Unreachable: the server can't be reached or has no room, after all tries.
            TunescopeError: no call to this server can succeed (nobody there, a key refused, no credit).
        """
        asked = [as_asked(message) for message in messages]
        return await self._tried(lambda: self._call(asked, decoding), read_reply)

    async def once(self, messages: Sequence[Mapping[str, Any]], decoding: Mapping[str, Any]) -> Raw:
        """Call once; return the reply as it came, but for the key where it repeats it, for `read` to read.

        Raises:
            Again, Refused, TunescopeError: as `reply` decides about them.
        """
        raw = await self._call(messages, decoding)
        body = raw.content.replace(self._key.encode(), "…".encode()) if self._key else raw.content
        return Raw(body, _full_for(raw.headers))

    async def answers(self) -> bool:
        """Tell whether the server says anything at all, to the question for its models."""
        try:
            await self._sdk.models.with_raw_response.list()
        except (self._openai.APIConnectionError, self._aiohttp.ClientError):
            return False
        except self._openai.APIStatusError as error:
            return int(error.status_code) < 500
        return True

    def read(self, body: bytes) -> Reply:
        """Read a reply; raises `Refused` for one without text, `Again` for one that isn't the API's."""
        return self._read(body, read_reply)

    async def _call(self, messages: Sequence[Mapping[str, Any]], decoding: Mapping[str, Any]) -> Any:
        """Make one call; once more where the model wants the length's other name, as all calls from then on."""
        from httpx2 import Response  # the SDK's own; asked for it, the SDK parses nothing

        name = self._length
        body = {"model": self.model, "messages": list(messages), **as_sent(decoding, name)}
        try:
            return await self._sent(lambda: self._sdk.post("/chat/completions", cast_to=Response, body=body))
        except Refused as error:
            if not self._may_rename or name != LENGTHS[0] or error.parameter != name:
                raise
        self._length = LENGTHS[1]
        return await self._call(messages, decoding)

    async def _tried(self, call: Callable[[], Awaitable[Any]], read: Callable[[Any], T]) -> T:
        failed = Again("not tried", unreachable=True)
        for attempt in range(TRIES):
            try:
                return self._read((await call()).content, read)
            except Again as error:
                failed = error
            wait = backoff(attempt, self._jitter)
            if failed.after is not None:
                if failed.after > LONGEST_ASKED:
                    raise Unreachable(f"{failed.reason}; the server asks to wait {failed.after:.0f} s")
                wait = failed.after + self._jitter.random() * FIRST_WAIT
            if attempt < TRIES - 1:
                await self._sleep(wait)
        if failed.unreachable:
            raise Unreachable(f"{failed.reason}, after {TRIES} tries")
        raise Refused(f"{failed.reason}, in the last of {TRIES} tries")

    async def _sent(self, call: Callable[[], Any]) -> Any:
        """Make one call; return the SDK's raw response, whose body nobody has parsed."""
        try:
            raw = await call()
        except self._openai.APIStatusError as error:
            self._heard = True
            raise self._of_status(error) from None
        except (self._openai.APIConnectionError, self._aiohttp.ClientError) as error:
            causes = list(_causes(error))
            if any(isinstance(each, TimeoutError) for each in causes):
                raise Again(f"no reply in {self._timeout:g} s", unreachable=True, silent=True) from None
            inner = next((each for each in reversed(causes) if isinstance(each, OSError)), error.__cause__ or error)
            reason = self._clean(str(inner))
            if not self._heard and any(isinstance(each, ConnectionRefusedError | gaierror) for each in causes):
                raise TunescopeError(
                    f"no server answers at {self.url} ({reason}); start it, or name another with {self._options[0]}"
                ) from None
            raise Again(f"the connection failed ({reason})", unreachable=True, silent=True) from None
        self._heard = True
        return raw

    def _read(self, body: bytes, read: Callable[[Any], T]) -> T:
        return read_body(body, read, self._clean)

    def _of_status(self, error: Any) -> Exception:
        """Return what a status means for us."""
        status, reason = int(error.status_code), self._clean(f"{error.status_code}: {message_of(error.body)}")
        if status in (401, 403):
            state = f"the key in {KEY_VARIABLE}" if self._key else f"a call without a key ({KEY_VARIABLE} isn't set)"
            return TunescopeError(
                f"{self.url} refuses {state}: status {status}; set {KEY_VARIABLE} to one that it takes"
            )
        if status == 429 and isinstance(error.body, dict) and error.body.get("code") == "insufficient_quota":
            return TunescopeError(f"{self.url} gives no more credit ({reason}); the same command goes on later")
        if status in AGAIN or status >= 500:
            after = _retry_after(error.response.headers)
            return Again(reason, unreachable=status == 429, after=after, overloaded=status in OVERLOADED)
        return Refused(reason, parameter_of(status, error.body))

    def _clean(self, text: str) -> str:
        """Return a server's words on one line, cut, and without the key that some repeat."""
        return on_one_line(text.replace(self._key, "…") if self._key else text)


def _key() -> str:
    """Return the key from the environment, "" for none; an error mustn't show it, as a header's own would."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    odd = [number for number, character in enumerate(key, 1) if not ("\x20" <= character <= "\x7e")]
    if odd:
        raise SettingsError(
            f"{KEY_VARIABLE}: found a character at place {odd[0]} that isn't printable ASCII; expected the key alone; "
            "set it anew"
        )
    return key


def on_one_line(text: str) -> str:
    """Return words on one line, cut, and without half surrogate pairs, which no file can hold."""
    return " ".join(text.split())[:300].encode("utf-8", "replace").decode()


def backoff(attempt: int, jitter: Random) -> float:
    """Return the seconds to wait after try `attempt`, from 0, failed."""
    return min(FIRST_WAIT * 2.0**attempt, LONGEST_WAIT) * (0.5 + jitter.random())


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def as_asked(message: Message) -> dict[str, Any]:
    """Return a message as the API has it."""
    asked: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        asked["tool_calls"] = [dict(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        asked["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        asked["name"] = message.name
    return asked


def as_sent(decoding: Mapping[str, Any], length: str) -> dict[str, Any]:
    """Return what a server is told beside the messages, with the longest reply under the name it takes."""
    return {length if name == LENGTHS[0] else name: value for name, value in decoding.items()}


def parameter_of(status: int, body: Any) -> str | None:
    """Return which of `PARAMETERS` an error of status 400 or 422 is about; None for none of them."""
    if status not in (400, 422):
        return None
    inner = body.get("error", body) if isinstance(body, Mapping) else {}
    named = str(inner.get("param") or "") if isinstance(inner, Mapping) else ""
    said = message_of(body)
    about = f"{named} {said}" if UNSUPPORTED.search(said) else ""
    if LENGTHS[0] in about and (LENGTHS[1] in said or "forbidden" in said or named == LENGTHS[0]):
        return LENGTHS[0]
    if re.search(r"response_?format|json_?schema|guided|grammar", about, re.IGNORECASE):
        return "response_format"
    return next((name for name in ("temperature", "seed") if re.search(rf"\b{name}\b", about)), None)


def _names(body: Any) -> list[str]:
    return [str(model["id"]) for model in body["data"]]


def read_reply(body: Any) -> Reply:
    """Read a reply; raises `Refused` for one without text, and what indexing raises for one that is none."""
    if "refused" in body:  # of ours, see `journal.refusal`
        raise Refused(str(body["refused"]))
    if "choices" not in body and "error" in body:
        raise ValueError(f"an error in a reply of status 200: {message_of(body['error'])}")
    choice = body["choices"][0]
    text, reason = choice["message"].get("content"), choice.get("finish_reason")
    reason = reason if isinstance(reason, str) else None
    declined = choice["message"].get("refusal")
    if text is None and isinstance(declined, str):  # OpenAI's, where a schema leaves no place to decline in
        text, reason = declined, "refusal"
    if text is None and reason == "content_filter":
        text = ""
    if text is None:
        raise Refused(f"a reply without text (finish_reason {reason})", usage=_usage(body))
    if not isinstance(text, str):
        raise TypeError("content that is no text")
    return Reply(text, reason, _usage(body))


def _usage(body: Mapping[str, Any]) -> dict[str, int] | None:
    """Return the tokens that a reply counts; None where it doesn't."""
    counted, names = body.get("usage"), ("prompt_tokens", "completion_tokens")
    if not isinstance(counted, Mapping) or not all(isinstance(counted.get(name), int) for name in names):
        return None
    return {name: counted[name] for name in names}


def read_body(body: bytes, read: Callable[[Any], T], clean: Callable[[str], str] = on_one_line) -> T:
    """Read a body that should be JSON; `clean` makes a reason fit to be shown.

    Raises:
        Again: it isn't the API's.
        Refused: a reply without text.
    """
    try:
        return read(json.loads(body))
    except NOT_THE_APIS as error:
        reason = clean(f"{type(error).__name__}: {error}")
        raise Again(f"a reply that isn't the API's ({reason})", unreachable=False) from None


def message_of(body: Any) -> str:
    """Return a server's own sentence about an error."""
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        return str(inner.get("message", inner) if isinstance(inner, Mapping) else inner)
    return str(body) if body else "no reason given"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After: seconds, or a date (RFC 9110, section 10.2.3)."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _full_for(headers: Mapping[str, str]) -> float:
    """Return for how many seconds a server has no room: the longest reset of what has nothing remaining."""
    waits = [0.0]
    for what in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{what}", "").strip() == "0":
            waits.append(seconds_of(headers.get(f"x-ratelimit-reset-{what}", "")))
    return min(max(waits), LONGEST_ASKED)


def seconds_of(text: str) -> float:
    """Read a duration as rate-limit headers have them: 20ms, 1.5s, 6m0s, or plain seconds; else 0."""
    units = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    if re.fullmatch(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+|\d+(?:\.\d+)?", text.strip()) is None:
        return 0.0
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd]|)", text)
    return float(sum(float(value) * units[unit] for value, unit in parts))
