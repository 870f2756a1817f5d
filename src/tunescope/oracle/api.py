"""The chat API as bodies: what a call sends, what a reply and an error say. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
from math import isfinite
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from tunescope.errors import RejectedRequest, RetryableError, SettingsError
from tunescope.oracle.body import Body
from tunescope.oracle.content import read_message
from tunescope.oracle.endings import ending_of, is_broken_off
from tunescope.oracle.replies import Reply
from tunescope.oracle.secrets import Secrets
from tunescope.oracle.usage import read_usage
from tunescope.rows import Message
from tunescope.text.thoughts import split_thoughts
from tunescope.views import shorten

KEY_VARIABLE = "OPENAI_API_KEY"
LONGEST_RETRY_AFTER = 600.0
"""Seconds that a server may ask us to wait (Retry-After); where it asks for more, the work stops."""
OVERLOADED_STATUSES = frozenset({429, 502, 503, 504, 529})
"""Statuses after which fewer calls at a time are made."""
MAX_TOKENS_FIELDS = ("max_tokens", "max_completion_tokens")
"""The longest reply's field: of most servers, and of OpenAI's newer models, which refuse the other one."""
PARAMETERS = (MAX_TOKENS_FIELDS[0], "temperature", "seed", "response_format")
"""What a server may not take, and a setting of ours can change."""
_LONGEST_WORD = 60
"""Characters of a finish_reason that are kept."""
NOT_THE_APIS = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)
"""What reading a body raises that isn't the API's."""
_HOST, _PATH = re.compile(r"[\w.-]+|[0-9a-fA-F:.]+"), re.compile(r"[\w./~:+,!$'()*-]*")
_LIKE_ADDRESS = re.compile(r"(?!local:|fake:)[^@?#]*:[^@?#]*[@?#]")
_NO_ADDRESS = (
    "found a server's address with a name, a password, a key or a query in it, or without a host; expected "
    f"http://HOST:PORT/v1, and a key in {KEY_VARIABLE}"
)
_UNSUPPORTED = re.compile(
    r"un-?supported|not? (?:yet )?support|only .*support|unrecogni[sz]ed|extra_forbidden|not permitted|"
    r"invalid (?:parameter|value)|unknown|unavailable|failed to (?:parse|compile)|can be specified",
    re.IGNORECASE,
)


class RawReply(NamedTuple):
    """A reply as it came: the body's bytes, and for how many seconds its headers say that there is no more room."""

    body: bytes
    pause_seconds: float = 0.0


def is_url(model: str) -> bool:
    """Tell the address of a server from other names of models."""
    return model.lower().startswith(("http://", "https://"))


def base_url(url: str) -> str:
    """Return the address that the SDK takes, with /v1 where no path was typed.

    Raises:
        SettingsError: no host, or a password or key in it, which we'd have to keep; the sentence doesn't repeat it.
    """
    try:
        parts = urlsplit(url)
        host, path = unquote(parts.hostname or ""), unquote(parts.path)
        fits = parts.port != 0 and _HOST.fullmatch(host) is not None and _PATH.fullmatch(path) is not None
    except ValueError:
        fits = False
    if not fits or "@" in parts.netloc or "?" in url or "#" in url:
        raise SettingsError(_NO_ADDRESS)
    path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def refuse_secrets(address: object) -> None:
    """Refuse the name of a model or server with a password or a key in it, before anything keeps or repeats it.

    Raises:
        SettingsError: as `base_url`; also for what looks like an address, and for one that holds the key itself.
    """
    text = str(address)
    if is_url(text):
        base_url(text)
    if _LIKE_ADDRESS.match(text) or text in Secrets([os.environ.get(KEY_VARIABLE, "").strip()]):
        raise SettingsError(_NO_ADDRESS)


def on_one_line(text: str) -> str:
    """Return words on one line, cut, and without half surrogate pairs, which no file can hold."""
    return shorten(" ".join(text.split()), 300).encode("utf-8", "replace").decode()


def message_json(message: Message) -> dict[str, Any]:
    """Return a message in the API's form."""
    record: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        record["tool_calls"] = [dict(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        record["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        record["name"] = message.name
    return record


def rename_max_tokens(options: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Return what a call says beside its messages, with the longest reply in the field that the server takes."""
    return {field if name == MAX_TOKENS_FIELDS[0] else name: value for name, value in options.items()}


def parameter_of(status: int, body: Any) -> str | None:
    """Return which of `PARAMETERS` an error of status 400 or 422 is about; None for none of them."""
    if status not in (400, 422):
        return None
    named = str(error_of(body).get("param") or "")
    message = message_of(body)
    about = f"{named} {message}" if _UNSUPPORTED.search(message) else ""
    if MAX_TOKENS_FIELDS[0] in about and (
        MAX_TOKENS_FIELDS[1] in message or "forbidden" in message or named == MAX_TOKENS_FIELDS[0]
    ):
        return MAX_TOKENS_FIELDS[0]
    if re.search(r"response_?format|json_?schema|guided|grammar", about, re.IGNORECASE):
        return "response_format"
    return next((name for name in ("temperature", "seed") if re.search(rf"\b{name}\b", about)), None)


class BrokenOff(ValueError):
    """The server broke a reply off; it may come whole when it is asked for again."""


def read_reply(body: Any) -> Reply:
    """Read a reply: its text, the thoughts before it, how it ended.

    Raises:
        RejectedRequest: there is neither text nor a thought, or the content is no text.
        One of `NOT_THE_APIS`: it is no reply.
    """
    if "refused" in body:  # a record of ours, see `journal.rejection`
        raise RejectedRequest(str(body["refused"]))
    if "choices" not in body and "error" in body:
        raise ValueError(f"an error in a reply of status 200: {message_of(body['error'])}")
    choice, usage = body["choices"][0], read_usage(body)
    reason = choice.get("finish_reason")
    reason = on_one_line(reason)[:_LONGEST_WORD] if isinstance(reason, str) else None
    if is_broken_off(reason):
        raise BrokenOff(f"the server broke the reply off (finish_reason {reason})")
    text, beside, refusal, problem = read_message(choice["message"])
    if problem:
        raise RejectedRequest(f"a reply whose content is {problem}; expected text")
    if not text and refusal is not None:  # OpenAI's, where a schema leaves no place to decline in
        return Reply(refusal, "refusal", usage, beside)
    ending = ending_of(reason)
    if text is None and beside is None and ending != "refused":
        raise RejectedRequest(f"a reply without text (finish_reason {reason})")
    text, before = split_thoughts(text or "", ending == "whole")
    thoughts = [thought for thought in (beside, before) if thought is not None]
    return Reply(text, reason, usage, "\n\n".join(thoughts) if thoughts else None)


def parse_reply(body: Body) -> Reply:
    """Read the body of a reply.

    Raises:
        RetryableError: it isn't the API's, or the server broke it off.
        RejectedRequest: a reply without text.
    """
    try:
        return read_reply(body.record)
    except NOT_THE_APIS as error:
        raise not_the_apis(error) from None


def not_the_apis(error: Exception) -> RetryableError:
    """Return what a body that isn't the API's, or a reply that was broken off, means for its call."""
    if isinstance(error, BrokenOff):
        return RetryableError(str(error))
    return RetryableError(f"a reply that isn't the API's ({on_one_line(f'{type(error).__name__}: {error}')})")


def is_page(body: Any) -> bool:
    """Tell a web page, or XML: no JSON begins so."""
    return isinstance(body, str) and body[:1_000].lstrip("\ufeff \t\r\n").startswith("<")


def error_of(body: Any) -> Mapping[str, Any]:
    """Return the object of an error's body that says what it is (Gemini: in a list); else an empty one."""
    if isinstance(body, list) and body and isinstance(body[0], Mapping) and "error" in body[0]:
        body = body[0]
    if isinstance(body, Mapping) and isinstance(body.get("error"), Mapping):
        body = body["error"]
    return body if isinstance(body, Mapping) else {}


def message_of(body: Any) -> str:
    """Return a server's own sentence about an error, without what it repeats of the call."""
    if is_page(body):
        title = re.search(r"<title[^>]*>(.*?)</title>", body[:10_000], re.IGNORECASE | re.DOTALL)
        return f"a web page ({' '.join(unescape(title[1]).split())[:80]})" if title else "a web page"
    inner = error_of(body)
    for name in ("message", "error", "detail", "msg"):
        if isinstance(inner.get(name), str) and inner[name]:
            return str(inner[name])
    if isinstance(inner.get("detail"), list):
        faults = [_fault_of_field(each) for each in inner["detail"] if isinstance(each, Mapping)]
        return "; ".join(faults) or str(body)
    return str(body) if body else "no reason given"


def _fault_of_field(fault: Mapping[str, Any]) -> str:
    """Say what FastAPI says of a field; what was sent, which it repeats, is left out."""
    place = ".".join(str(part) for part in fault.get("loc") or ())
    return f"{place}: {fault.get('msg', '')} ({fault.get('type', '')})"


def retry_after(headers: Mapping[str, str], body: Any = None) -> float | None:
    """Read Retry-After: seconds, or a date (RFC 9110, section 10.2.3); else an error's `retryDelay` (Gemini)."""
    value = headers.get("retry-after")
    if value is None:
        details = error_of(body).get("details")
        delays = [each.get("retryDelay") for each in details if isinstance(each, Mapping)] if details else []
        return next((seconds_of(delay) for delay in delays if isinstance(delay, str)), None)
    try:
        seconds = float(value)
        return max(0.0, seconds) if isfinite(seconds) else None
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def pause_seconds(headers: Mapping[str, str]) -> float:
    """Return for how many seconds a server has no room: the longest reset of what has nothing remaining."""
    waits = [0.0]
    for what in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{what}", "").strip() == "0":
            waits.append(seconds_of(headers.get(f"x-ratelimit-reset-{what}", "")))
    return min(max(waits), LONGEST_RETRY_AFTER)


def seconds_of(text: str) -> float:
    """Read a duration as rate-limit headers have them: 20ms, 1.5s, 6m0s, or plain seconds; else 0."""
    units = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    if re.fullmatch(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+|\d+(?:\.\d+)?", text.strip()) is None:
        return 0.0
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd]|)", text)
    return float(sum(float(value) * units[unit] for value, unit in parts))
