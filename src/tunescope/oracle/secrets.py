r"""Secrets in what comes from outside: a server that repeats a key must not lead it into rows, files or errors. Pure.

A secret is found as it is, and in the forms that servers and libraries write text in, one inside the other up to
`_MAX_NESTED` deep: escapes of JSON, JavaScript and Python (``\/``, ``\u002B``, ``\x2b``), percent-encoding, HTML's
references, UTF-16, and Base64 with anything before and behind it (as `Authorization: Basic` has it). Each occurrence
becomes `…`. A text without a secret isn't changed. A secret that itself holds what may be an escape (`%41`) is found as
it is, and not in each of the other forms.

What is short, or a known placeholder (EMPTY, ollama, sk-no-key-required), is no secret: it may be an ordinary word.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from html import unescape
from string import punctuation
from urllib.parse import unquote, urlsplit

from tunescope.errors import SettingsError

_MIN_SECRET = 12
"""Characters that a secret has at least."""
_REMOVED = "…"
_MAX_NESTED = 8
_PLACEHOLDER_WORD = re.compile(
    r"(?:abc|abc123|any|anything|api|apikey|auth|bearer|changeme|custom|default|dummy|empty|example|fake|for"
    r"|here|insert|is|key|lm|local|localhost|mock|my|need|needed|no|none|not|null|ollama|open|openai"
    r"|personal|placeholder|private|put|required|sample|secret|sk|some|string|studio|test|the|this|token"
    r"|unused|use|value|vllm|your)|(.)\1*"
)
_HEX = "([2-7][0-9a-fA-F])"
_PERCENT = rf"%{_HEX}"
_REFERENCE = rf"&((?:#(?:0*\d{{2,3}}|[xX]0*{_HEX[1:-1]})|[a-zA-Z]{{2,8}});?)"
_NUL = r"\x00\x00*"
_USER_IN_URL = re.compile(r"(?<=://)[^\s'\"<>]*@")
_KEY_IN_QUERY = re.compile(
    r"([?&;][\w.-]*(?:key|token|secret|password|passwd|pwd|auth|sig|signature)=)[^&;\s'\"<>]+", re.I
)


def is_secret(text: str) -> bool:
    """Tell a key or a password from what is too short to be told from ordinary words, and from placeholders."""
    words = re.findall(r"[a-z0-9]+", text.casefold())
    return len(text) >= _MIN_SECRET and not all(map(_PLACEHOLDER_WORD.fullmatch, words))


def proxy_passwords(proxies: Mapping[str, str]) -> list[str]:
    """Return the passwords in proxies' addresses, as they are typed and as they are meant.

    Args:
        proxies: as `urllib.request.getproxies` returns them: scheme → address.

    Raises:
        SettingsError: an address that can't be one; the sentence doesn't repeat it.
    """
    found = list[str]()
    for scheme in ("http", "https", "all"):
        address = proxies.get(scheme, "")
        try:
            parts = urlsplit(address if "://" in address else f"http://{address}")
            password, _ = parts.password, parts.port
        except ValueError:
            raise SettingsError(
                f"{scheme.upper()}_PROXY: found what can't be a proxy's address; expected http://HOST:PORT or "
                "http://NAME:PASSWORD@HOST:PORT, with %2F for a / in the password; set it anew"
            ) from None
        found += (password, unquote(password)) if password else ()
    return found


def redact_urls(text: str) -> str:
    """Return an error's words without the names and passwords in addresses, however short, and without keys there."""
    return _KEY_IN_QUERY.sub(rf"\1{_REMOVED}", _USER_IN_URL.sub(f"{_REMOVED}@", text))


class Secrets:
    """Keys and passwords to be taken out of texts; those that aren't `is_secret` are left out."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Prepare what is looked for."""
        secrets = [text for text in dict.fromkeys(texts) if is_secret(text)]
        self._forms = tuple(dict.fromkeys(form for text in secrets for form in (text, *_base64_forms(text))))
        marks = ({*punctuation} - {*"\"'\\"}) | {mark for mark in "".join(self._forms) if not mark.isalnum()}
        itself = "".join(map(re.escape, sorted(marks)))
        escape = rf"\\\\*(?:u00{_HEX}|x{_HEX}|u\{{0*{_HEX}\}}|U000000{_HEX}|([{itself}]))"
        kinds = (escape, _PERCENT, _REFERENCE, _NUL)
        self._kinds = tuple(map(re.compile, kinds))  # each begins with one character, which is fast to look for
        self._escape = re.compile("|".join(kinds))

    def remove(self, text: str) -> str:
        """Return a text without the secrets."""
        return self._remove(text, _REMOVED)

    def remove_from_body(self, body: bytes) -> bytes:
        """Return a body without the secrets; some 15 µs for one of 4 KB that has none."""
        text = body.decode("latin-1")  # one character a byte; secrets are ASCII
        clean = self._remove(text, _REMOVED.encode().decode("latin-1"))
        return body if clean is text else clean.encode("latin-1")

    def __contains__(self, text: str) -> bool:
        """Tell whether a text holds a secret in any form."""
        for _ in range(_MAX_NESTED if self._forms else 0):
            if any(form in text for form in self._forms):
                return True
            if not any(kind.search(text) for kind in self._kinds):
                break
            text = self._escape.sub(_character, text)
        return False

    def _remove(self, text: str, removed: str) -> str:
        if text not in self:
            return text
        pieces, at = list[str](), 0
        for start, end in sorted(self._spans(text)):
            if start >= at:
                pieces += [text[at:start], removed]
            at = max(at, end)
        return "".join([*pieces, text[at:]])

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where each secret stands in a text, in whichever form."""
        decoded, places = text, [*range(len(text) + 1)]
        for _ in range(_MAX_NESTED):
            for form in self._forms:
                for match in re.finditer(re.escape(form), decoded):
                    yield places[match.start()], places[match.end()]
            decoded, places = self._decode(decoded, places)

    def _decode(self, text: str, places: list[int]) -> tuple[str, list[int]]:
        """Resolve escapes once; `places` has where each character, and the end, stood at first."""
        pieces, kept, at = list[str](), list[int](), 0
        for match in self._escape.finditer(text):
            character = _character(match)
            pieces += [text[at : match.start()], character]
            kept += places[at : match.start()] + [places[match.start()]] * len(character)
            at = match.end()
        return "".join([*pieces, text[at:]]), kept + places[at:]


def _base64_forms(secret: str) -> Iterator[str]:
    """Yield the characters that Base64 of a text with the secret has for certain, by where in a group it begins."""
    for offset in range(3):
        raw = b"\0" * offset + secret.encode()
        coded = b64encode(raw).decode()[-(-offset * 8 // 6) : len(raw) * 8 // 6]
        yield coded
        yield coded.replace("+", "-").replace("/", "_")


def _character(match: re.Match[str]) -> str:
    """Return the character that an escape stands for."""
    *codes, itself, percent, reference = match.groups()
    code = percent or next(filter(None, codes), None)
    if code is not None:
        return chr(int(code, 16))
    if reference is not None:
        return unescape(f"&{reference}")
    return itself or ""
