"""One client for every OpenAI-compatible server: vLLM, llama.cpp, Ollama, a provider.

The `openai` SDK carries the calls, with its own retries off; what is asked again, when, and what isn't
is decided here. The key comes from OPENAI_API_KEY and goes nowhere but into the request.
"""

from __future__ import annotations

import asyncio
import json
import os
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


class Refused(Exception):
    """One call that asking again can't mend; the text is the reason."""


class Unreachable(Exception):
    """The server can't be reached now, or has no room for us; later, the same call may succeed."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said: the text, why it ended, and how many tokens it counted (None: it didn't say)."""

    text: str
    finish_reason: str | None
    usage: dict[str, int] | None


class _Again(Exception):
    """A call that failed and may be made again: why, whether the server is away or full, and its Retry-After."""

    def __init__(self, reason: str, unreachable: bool, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.unreachable, self.after = reason, unreachable, after


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
    """

    def __init__(
        self,
        url: str,
        model: str = "",
        timeout: float = 600.0,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        jitter: Random | None = None,
    ) -> None:
        """Raises `MissingPackageError` without the SDK, `SettingsError` for an address that can't be one."""
        try:
            import openai
        except ModuleNotFoundError as error:
            raise MissingPackageError("openai", "oracle", "asking a server") from error
        self.url = base_url(url)
        self.model = model
        self._openai = openai
        self._key = os.environ.get(KEY_VARIABLE, "")
        self._sdk = openai.AsyncOpenAI(api_key=self._key or "none", base_url=self.url, max_retries=0, timeout=timeout)
        self._timeout, self._sleep, self._jitter = timeout, sleep, jitter or Random()
        self._heard = False

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
            return await self._tried(lambda: self._sdk.models.with_raw_response.list(), _names)
        except (Refused, Unreachable) as error:
            raise TunescopeError(
                f"{self.url} doesn't say which models it has ({error}); name one with --model-name"
            ) from error

    async def reply(self, messages: Sequence[Message], **decoding: Any) -> Reply:
        """Return the model's next message.

        `decoding` is what the server is told beside the messages (temperature, top_p, seed, max_tokens).

        Raises:
            Refused: this call fails, and would again.
            Unreachable: the server can't be reached or has no room, after all tries.
            TunescopeError: no call to this server can succeed (nobody there, a key refused, no credit).
        """
        said = [_as_asked(message) for message in messages]
        call = self._sdk.chat.completions.with_raw_response.create
        return await self._tried(lambda: call(model=self.model, messages=said, **decoding), _reply)

    async def _tried(self, call: Callable[[], Any], read: Callable[[Any], T]) -> T:
        failed = _Again("not tried", unreachable=True)
        for attempt in range(TRIES):
            try:
                return await self._once(call, read)
            except _Again as error:
                failed = error
            wait = min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) * (0.5 + self._jitter.random())
            if failed.after is not None:
                if failed.after > LONGEST_ASKED:
                    raise Unreachable(f"{failed.reason}; the server asks to wait {failed.after:.0f} s")
                wait = failed.after + self._jitter.random() * FIRST_WAIT
            if attempt < TRIES - 1:
                await self._sleep(wait)
        if failed.unreachable:
            raise Unreachable(f"{failed.reason}, after {TRIES} tries")
        raise Refused(f"{failed.reason}, in the last of {TRIES} tries")

    async def _once(self, call: Callable[[], Any], read: Callable[[Any], T]) -> T:
        openai = self._openai
        try:
            raw = await call()
        except openai.APIStatusError as error:
            self._heard = True
            raise self._of_status(error) from None
        except openai.APITimeoutError:
            raise _Again(f"no reply in {self._timeout:g} s", unreachable=True) from None
        except openai.APIConnectionError as error:
            reason = self._clean(str(error.__cause__ or error))
            if not self._heard and any(isinstance(each, ConnectionRefusedError | gaierror) for each in _causes(error)):
                raise TunescopeError(
                    f"no server answers at {self.url} ({reason}); start it, or name another with --model"
                ) from None
            raise _Again(f"the connection failed ({reason})", unreachable=True) from None
        self._heard = True
        try:
            return read(json.loads(raw.content))
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            reason = self._clean(f"{type(error).__name__}: {error}")
            raise _Again(f"a reply that isn't the API's ({reason})", unreachable=False) from None

    def _of_status(self, error: Any) -> Exception:
        """Return what a status means for us."""
        status, reason = int(error.status_code), self._clean(f"{error.status_code}: {_message(error.body)}")
        if status in (401, 403):
            state = f"the key in {KEY_VARIABLE}" if self._key else f"a call without a key ({KEY_VARIABLE} isn't set)"
            return TunescopeError(
                f"{self.url} refuses {state}: status {status}; set {KEY_VARIABLE} to one that it takes"
            )
        if status == 429 and isinstance(error.body, dict) and error.body.get("code") == "insufficient_quota":
            return TunescopeError(f"{self.url} gives no more credit ({reason}); the same command goes on later")
        if status in AGAIN or status >= 500:
            after = _retry_after(error.response.headers)
            return _Again(reason, unreachable=status == 429, after=after)
        return Refused(reason)

    def _clean(self, text: str) -> str:
        """Return a server's words on one line, cut, and without the key that some repeat."""
        text = " ".join(text.split())
        return (text.replace(self._key, "…") if self._key else text)[:300]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _as_asked(message: Message) -> dict[str, Any]:
    asked: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        asked["tool_calls"] = [dict(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        asked["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        asked["name"] = message.name
    return asked


def _names(body: Any) -> list[str]:
    return [str(model["id"]) for model in body["data"]]


def _reply(body: Any) -> Reply:
    """Read a reply; raises `Refused` for one without text, and what indexing raises for one that is none."""
    if "choices" not in body and "error" in body:
        raise ValueError(f"an error in a reply of status 200: {_message(body['error'])}")
    choice = body["choices"][0]
    text, reason = choice["message"].get("content"), choice.get("finish_reason")
    if text is None and reason == "content_filter":
        text = ""
    if text is None:
        raise Refused(f"a reply without text (finish_reason {reason})")
    if not isinstance(text, str):
        raise TypeError("content that is no text")
    counted = body.get("usage") or {}
    names = ("prompt_tokens", "completion_tokens")
    known = all(isinstance(counted.get(name), int) for name in names)
    return Reply(text, reason, {name: counted[name] for name in names} if known else None)


def _message(body: Any) -> str:
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
