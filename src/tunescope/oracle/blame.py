"""Whose fault a failed call is: one table for calls that are made now and for lines of a batch's output. Pure.

Statuses don't tell alone. An account without credit is a 402, 400, 403, 412 or 429, whoever serves the model; a prompt
that a filter stops is a 400 or 403; a prompt that is too long is a 400, 403, 413, 422, 429 or 500. So an error's own
words are read first: its message, code, type and status, but no field in which a server repeats what it was sent. Words
that were in the prompt prove nothing. `tests/oracle/test_blame.py` has each shape, with the server that sends it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from tunescope.oracle.api import error_of, is_page, message_of, parameter_of

Fault = Literal["row", "forbidden", "key", "account", "model", "address", "page", "server"]
"""Whose fault a failed call is.

`row`: of its content. `forbidden`: the row's or the key's, of a 403 that doesn't say (see `Caller.attempt`). `key`,
`account`, `model` (its name), `address`, `page` (a web page at the address): no call can succeed before somebody mends
it. `server`: the same call may succeed."""
_READ = 300
"""Characters of a server's words that are read."""
_SERVER_STATUSES = frozenset({408, 409, 424, 425, 429, 499})
"""Statuses, beside 500 and above, after which the same call may succeed (424: text-generation-inference's)."""
_PASSING_PAGES = frozenset({408, 429, 500, 502, 503, 504}) | frozenset(range(520, 531))
"""Statuses of a proxy's own page about the server behind it (520 to 530: Cloudflare's)."""
_STATUSES: Mapping[int, Fault] = {
    401: "key",
    402: "account",
    403: "forbidden",
    404: "address",
    405: "address",
    407: "address",
    410: "model",
}
"""What a status says where no words do; other statuses from 400 to 499 are the row's."""


class _Rule(NamedTuple):
    """Words that tell whose fault it is, beside some statuses."""

    fault: Fault
    words: re.Pattern[str]
    statuses: frozenset[int]


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_ACCOUNT = _words(
    r"insufficient.{0,9}(?:quota|balance|credit|funds)|credit balance|(?:not[ _]enough|no|low)[ _]balance",
    r"exceeded[ _](?:your[ _])?current[ _]quota|billing[ _](?:error|hard[ _]limit|limit|not[ _]active)",
    r"payment[ _]required|past due",
    r"\b(?:account|organi[sz]ation|subscription|team|workspace)\b.{0,60}"
    r"\b(?:suspended|deactivated|disabled|not active|terminated|restricted)",
    r"arrearage|good standing|budget.{0,20}exceeded|(?:exceeded|over|crossed).{0,3}budget|spend(?:ing)?[ _]limit",
    r"reached your (?:\w+ ){0,4}(?:usage|quota|credit)[ _]?limits?|key limit exceeded",
    r"(?:out of|used all|have any|more|purchase|no|0) (?:\w+ )?credits|included credits",
    r"credits? (?:have )?(?:expired|exhausted|depleted|limit|required)|free tier.{0,60}exhausted|freetieronly",
    r"blocked_api_access|calls / month|free-models-per-day|location is not supported|unsupported_country",
    r"territory not supported|\u4f59\u989d\u4e0d\u8db3|\u6b20\u8d39",
)
"""What providers say where nobody pays, or may; the last two are "balance too low" and "arrears"."""
_SOON = _words(
    r"perminute|per[ _]minute|retrydelay|(?:try again|retry) (?:in|after) [\d.]+ ?(?:m?s\b|seconds)",
)
_NOT_SOON = _words("perday", "per[ _]day", r"limit: 0\b")
"""What a 429 says of a quota that has room again soon, and of one that hasn't. Gemini words both like an account's."""
_KEY = _words(
    r"(?:invalid|incorrect|expired|missing|revoked|no)[ _-]+(?:x-)?"
    r"(?:api|auth\w*|access|security|subscription|bearer)[ _-]?(?:key|token|header|credentials)",
    r"expired_?token|token (?:\w+ ){0,6}expired",
    r"api[ _]?key (?:is )?(?:not valid|invalid|expired|missing|required|not found)|api_key_(?:invalid|expired)",
    r"unauthori[sz]ed|unauthenticated|authentication[ _](?:error|failed|fails)",
)
"""What servers say of a key."""
_MODEL = _words(
    r"model_?not_?(?:found|supported)|deployment_?not_?found|invalid_model|model_(?:decommissioned|permission)",
    r"^models?: |model_access_denied",
    r"\bmodels?\b.{0,120}?\b(?:not found|(?:not|n't) exist|decommissioned|is blocked at|is not a valid)",
    r"not a valid model|(?:no such|unknown|invalid|unrecogni[sz]ed) model\b|no models? (?:is |are )?loaded",
    r"access to (?:the )?(?:\w+ )?model|model.{0,2}access ?denied",
    r"no (?:allowed )?(?:endpoints|providers?)\b.{0,30}\b(?:found|available)",
    r"not allowed to (?:access|call|use) (?:the )?model|\u6a21\u578b\u4e0d\u5b58\u5728",
)
"""What servers say of a model's name; the last one is "the model doesn't exist"."""
_TOO_LONG = _words(
    r"context.{0,3}(?:length|window|size|limit)|tokens?_limit_reached|string_above_max_length|reduce the length",
    r"\b(?:prompt|input|request|message)s?\b.{0,40} (?:is|are|was) too (?:long|large|big)",
    r"must have less than \d+ tokens|(?:request|payload|prompt|input|entity|content)[ _]too[ _](?:large|long)",
    r"reduce your (?:message|prompt|input)|longer than the (?:model|maximum)|tokens must be reduced",
    r"(?:prompt|input|request).{0,40} exceeds? .{0,40}tokens",
    r"(?:maximum|max)\b.{0,20}\b(?:input|prompt|sequence)\b.{0,20}\b(?:length|tokens?)",
)
"""What servers say of a prompt that they have no room for."""
_FILTERED = _words(
    r"content.{0,3}(?:filter|policy|management|moderation|safety|violation)|moderation|flagged|guard ?-?rail",
    r"jailbreak|responsible ?ai|safety|usage (?:policy|policies|guidelines)|data_?inspection|inappropriate",
    r"prohibited_content|high risk|sensitive|invalid_prompt|deny-?listed|unsafe|violat|harmful",
    r"blocked (?:due|by|because)|(?:prompt|input|request|content)\b.{0,20}\b(?:blocked|rejected)|\u654f\u611f",
    r"\u4e0d\u5b89\u5168",
)
"""What filters say of a prompt that they stop; the last two are Zhipu's, "sensitive" and "unsafe"."""
_MAX_TOKENS = _words("max_(?:completion_|new_)?tokens", "parameter")
"""What an error speaks of that is about a setting, though it says "too large"."""
_ANY = frozenset(range(400, 600))
_REFUSALS = frozenset({400, 401, 403, 404, 410, 412, 422})
_OTHERS = frozenset({401, 402, 404, 408, 429})
"""Statuses that say more than what is said of a prompt."""
_TABLE = (
    _Rule("account", _ACCOUNT, _ANY),
    _Rule("row", _words("request too large", "reduce your message", "must be reduced"), frozenset({429})),
    _Rule("key", _KEY, frozenset({400, 401, 403})),
    _Rule("model", _MODEL, _REFUSALS),
    _Rule("model", _words(r"\bmodels?\b", "deployment"), frozenset({404})),
    _Rule("row", _TOO_LONG, _ANY - _OTHERS),
    _Rule("row", _FILTERED, frozenset(range(400, 500)) - _OTHERS),
    _Rule("server", _words("capacity"), frozenset({498})),
)
"""Read from the first rule on; the first whose words are there decides, and else `_STATUSES`."""


def blame(status: int, body: Any, asked: str = "") -> Fault:
    """Return whose fault a call is that failed with this status and body (JSON, or text where it is none).

    A status below 400 is that of an error in a reply: it says nothing. `asked` is what the call asked: words of it are
    no evidence, whoever repeats them.
    """
    if is_page(body):
        return _blame_page(status)
    if parameter_of(status, body) is not None:
        return "row"
    inner, words = error_of(body), message_of(body)[:_READ]
    codes = [inner.get(name) for name in ("code", "type", "status", "error_type")]
    words = f"{words} {' '.join(code for code in codes if isinstance(code, str))}"
    for rule in _TABLE:
        if max(status, 400) in rule.statuses and _says(rule.words, words, asked):
            is_rate = rule.fault == "account" and status == 429 and _has_room_soon(words, inner)
            return "server" if is_rate else rule.fault
    if inner.get("param") == "model" and status in _REFUSALS:
        return "model"
    if status < 400 or status >= 500 or status in _SERVER_STATUSES:
        return "server"
    return _STATUSES.get(status, "row")


def is_about_content(reason: str) -> bool:
    """Tell whether the reason of a row's rejection speaks of what the row holds, and so says nothing about others."""
    if _TOO_LONG.search(reason) or _FILTERED.search(reason):
        return True
    return re.search(r"too (?:long|large)", reason) is not None and _MAX_TOKENS.search(reason) is None


def status_in(body: Any) -> int:
    """Return the status that an error in a reply of status 200 names; 200 where it names none."""
    inner = error_of(body)
    for code in (inner.get(name) for name in ("code", "status", "status_code", "statusCode")):
        number = (
            int(code) if isinstance(code, int) or (isinstance(code, str) and re.fullmatch(r"[45]\d\d", code)) else 200
        )
        if 400 <= number < 600:
            return number
    return 200


def _blame_page(status: int) -> Fault:
    """Return whose fault a web page is: of a proxy that says why, or of who typed the address."""
    if status in _PASSING_PAGES:
        return "server"
    return _STATUSES[status] if status in (401, 402, 403) else "row" if status in (413, 414, 431) else "page"


def _says(pattern: re.Pattern[str], words: str, asked: str) -> bool:
    return any(match[0].lower() not in asked.lower() for match in pattern.finditer(words))


def _has_room_soon(words: str, inner: Mapping[str, Any]) -> bool:
    """Tell a limit per minute from an account's end."""
    words += json.dumps(inner.get("details"), default=str)
    return _SOON.search(words) is not None and _NOT_SOON.search(words) is None
