"""One client for every OpenAI-compatible server: vLLM, llama.cpp, Ollama, a provider.

The `openai` SDK carries the calls over aiohttp, with its own retries off (`retry` makes them). Its adapter calls every
lost connection a time-out, so the errors behind an error tell what happened. The key comes from OPENAI_API_KEY and goes
nowhere but into the request: it is taken out of errors, and of replies where a server repeats it (see `secrets`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from json import loads
from socket import gaierror
from types import TracebackType
from typing import Any
from urllib.request import getproxies

from tunescope.errors import (
    ForbiddenRequest,
    MissingPackageError,
    RejectedRequest,
    RetryableError,
    ServerRefusal,
    SettingsError,
    TunescopeError,
)
from tunescope.oracle.api import (
    KEY_VARIABLE,
    MAX_TOKENS_FIELDS,
    NOT_THE_APIS,
    OVERLOADED_STATUSES,
    RawReply,
    base_url,
    is_page,
    message_of,
    not_the_apis,
    on_one_line,
    parameter_of,
    pause_seconds,
    rename_max_tokens,
    retry_after,
)
from tunescope.oracle.blame import Fault, blame, status_in
from tunescope.oracle.secrets import Secrets, proxy_passwords, redact_urls


class Client:
    """A server and a model name; used as `async with Client(…) as client`.

    Args:
        url: the server's address.
        model: what the server calls the model; "" only for `list_models`.
        timeout: seconds that one call may take.
        option: the command line's option for the address.
        is_ours: a server that we started gets no key, and is called without the environment's proxies.
        max_tokens_field: one of `MAX_TOKENS_FIELDS`; None finds out by the first refusal.
    """

    max_concurrency: int | None = None
    """How many calls it takes at a time: as many as the settings allow."""

    def __init__(
        self,
        url: str,
        model: str = "",
        timeout: float = 600.0,
        option: str = "--model",
        is_ours: bool = False,
        max_tokens_field: str | None = None,
    ) -> None:
        """Raises `MissingPackageError` without the SDK, `SettingsError` for an address or a key that can't be one."""
        try:
            import aiohttp
            import httpx2
            import openai
        except ModuleNotFoundError as error:
            raise MissingPackageError("openai[aiohttp]", "oracle", "asking a server") from error
        self.url, self.model, self._timeout, self._option = base_url(url), model, timeout, option
        self._key = "" if is_ours else _key()
        self._secrets = Secrets(() if is_ours else (self._key, *proxy_passwords(getproxies())))
        self._sdk = openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self.url,
            max_retries=0,
            timeout=timeout,
            # the default one looks at all connections at every call
            http_client=openai.DefaultAioHttpClient(trust_env=not is_ours),
        )
        self._body_type = httpx2.Response  # the SDK's own; asked for it, the SDK parses nothing
        self._status_error: type[Any] = openai.APIStatusError
        self._errors = (openai.APIStatusError, openai.APIConnectionError, aiohttp.ClientError)
        self._models: list[str] | None = None
        self._was_answered = False
        self._max_tokens_field, self._may_rename = max_tokens_field or MAX_TOKENS_FIELDS[0], max_tokens_field is None

    async def __aenter__(self) -> Client:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._sdk.close()

    async def send(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> RawReply:
        """Make one call; return the reply as it came, but for the key where the reply repeats it.

        Where the model wants the other field for the longest reply, the call is made once more, and all calls from then
        on use that field.

        Raises:
            RetryableError, RejectedRequest: this call failed.
            TunescopeError: no call to this server can succeed (nobody there, a key refused, no credit).
        """
        while True:
            field = self._max_tokens_field
            body = {"model": self.model, "messages": list(messages), **rename_max_tokens(options, field)}
            try:
                response = await self._sdk.post("/chat/completions", cast_to=self._body_type, body=body)
            except self._errors as error:
                failure = self._failure(error, messages)
            else:
                self._was_answered = True
                error_body = _error_in(response.content)
                if error_body is None:
                    body_bytes = self._secrets.remove_from_body(response.content)
                    return RawReply(body_bytes, pause_seconds(response.headers))
                status = status_in(error_body)
                failure = self._blamed(status, error_body, response.headers, messages)
                if isinstance(failure, RetryableError):  # a gateway that is there, whatever is behind it
                    failure.overloaded = status == 429
            if isinstance(failure, ServerRefusal) and failure.fault == "model":
                failure = await self._with_models(failure)
            is_about_field = isinstance(failure, RejectedRequest) and failure.parameter == field
            if not (self._may_rename and field == MAX_TOKENS_FIELDS[0] and is_about_field):
                raise failure
            self._max_tokens_field = MAX_TOKENS_FIELDS[1]

    async def list_models(self) -> list[str]:
        """Return the names of the server's models; raises as `send`, `RejectedRequest` where there is no list."""
        try:
            response = await self._sdk.models.with_raw_response.list()
        except self._errors as error:
            raise self._failure(error, None) from None
        self._was_answered = True
        error_body = _error_in(response.content)
        if error_body is not None:
            raise self._blamed(status_in(error_body), error_body, response.headers, None)
        try:
            return [str(model["id"]) for model in loads(self._secrets.remove_from_body(response.content))["data"]]
        except NOT_THE_APIS as error:
            raise not_the_apis(error) from None

    async def is_answering(self) -> bool:
        """Tell whether the server says anything at all, to the question for its models."""
        try:
            response = await self._sdk.models.with_raw_response.list()
        except self._status_error as error:
            return int(error.status_code) < 500 and not is_page(error.body)
        except self._errors:
            return False
        return _error_in(response.content) is None

    async def _with_models(self, refusal: ServerRefusal) -> ServerRefusal:
        """Add the names of the server's models to what it says of ours, where it tells; they are asked for once."""
        if self._models is None:
            self._models = []
            with suppress(RetryableError, RejectedRequest, TunescopeError):
                self._models = await self.list_models()
        more = f" and {len(self._models) - 20:,} more" if len(self._models) > 20 else ""
        names = on_one_line(", ".join(self._models[:20])) + more
        return ServerRefusal("model", f"{refusal} (it has {names})") if names else refusal

    def _failure(self, error: Exception, messages: Sequence[Mapping[str, Any]] | None) -> Exception:
        """Return what an error of the SDK's means for the call; without messages, for the question for the models."""
        if isinstance(error, self._status_error):
            self._was_answered = True
            return self._blamed(int(error.status_code), error.body, error.response.headers, messages)
        causes = list(_causes(error))
        if any(isinstance(each, TimeoutError) for each in causes):
            return RetryableError(f"no reply in {self._timeout:g} s", overloaded=True, silent=True)
        inner = next((each for each in reversed(causes) if isinstance(each, OSError)), error.__cause__ or error)
        reason = self._clean(str(inner))
        if not self._was_answered and any(isinstance(each, ConnectionRefusedError | gaierror) for each in causes):
            return TunescopeError(
                f"no server answers at {self.url} ({reason}); start it, or name another with {self._option}"
            )
        return RetryableError(f"the connection failed ({reason})", overloaded=True, silent=True)

    def _blamed(
        self, status: int, body: Any, headers: Mapping[str, str], messages: Sequence[Mapping[str, Any]] | None
    ) -> Exception:
        """Return what a status and an error's body mean, as `_failure`."""
        whole = self._secrets.remove(body) if isinstance(body, str) else body  # before any of it is cut
        reason = self._clean(f"{status}: {message_of(whole)}")
        fault = blame(status, body, " ".join(str(message.get("content")) for message in messages or ()))
        if fault == "row" or (messages is None and fault in ("forbidden", "model", "address")):
            return RejectedRequest(reason, parameter_of(status, body))
        if fault == "server":
            wait = retry_after(headers, body)
            return RetryableError(reason, wait, status in OVERLOADED_STATUSES)
        if fault == "forbidden":
            named: Fault = "page" if is_page(body) else "key"
            return ForbiddenRequest(reason, ServerRefusal(named, self._refusal(named, reason, "chat/completions")))
        return ServerRefusal(fault, self._refusal(fault, reason, "models" if messages is None else "chat/completions"))

    def _refusal(self, fault: Fault, reason: str, path: str) -> str:
        """Say what the server refuses, and what to do; `path` is what was asked for."""
        if fault == "key":
            state = f"the key in {KEY_VARIABLE}" if self._key else f"a call without a key ({KEY_VARIABLE} isn't set)"
            return f"the server refuses {state}: {reason}; set {KEY_VARIABLE} to one that it takes"
        if fault == "account":
            return f"the account gets no more replies: {reason}; top it up, or settle what the reason says"
        if fault == "model":
            return f"the server doesn't serve a model {self.model}: {reason}; name one with --served-model"
        expected = f"expected an OpenAI-compatible API, as at http://HOST:PORT/v1; name another with {self._option}"
        found = "found" if fault == "page" else "found no chat API"
        return f"{found} at {self.url}/{path}: {reason}; {expected}"

    def _clean(self, text: str) -> str:
        """Return a server's or a library's words on one line, cut, and without the secrets that some repeat."""
        return on_one_line(redact_urls(self._secrets.remove(text)))


def _error_in(body: bytes) -> Any:
    """Return the error, or the web page, that a reply of status 200 is; None where it is neither."""
    if b'"choices"' in body and b'"error"' not in body:
        return None
    if is_page(text := body[:100_000].decode("utf-8", "replace")):
        return text
    try:
        record = loads(body)
    except NOT_THE_APIS:
        return None
    whole = record[0] if isinstance(record, list) and record else record
    if not isinstance(whole, dict) or whole.get("choices"):
        return None
    return record if whole.get("error") or whole.get("object") == "error" else None


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


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
