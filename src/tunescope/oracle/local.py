"""`local`: an oracle on this machine, llama.cpp's server (PyPI xllamacpp) in our own process, on a loopback port.

`local` is the embedded default model, `local:NAME` another embedded one, `local:FILE` any GGUF file. The server starts
with the first call that the journal can't answer.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from tunescope.engine import cores
from tunescope.errors import InputError, MissingPackageError, Problem, TunescopeError
from tunescope.models.embedded import DEFAULT, EMBEDDED, weights
from tunescope.oracle.api import RawReply
from tunescope.oracle.client import Client
from tunescope.progress import say

_LOCAL = "local"
_PREFIX = f"{_LOCAL}:"
_MAX_SLOTS = 8
"""Calls that the server works on at a time, at most; more gain nothing on a CPU, and each costs a context's memory."""
_MAX_CONTEXT = 8192
"""Tokens of prompt and reply together at most, whatever the model could take."""
_MAX_CALL_SECONDS = 86_400.0
"""Seconds that a call may take: a row's deadline ends it, not the length of the queue."""


class LocalModel(NamedTuple):
    """A GGUF file: what the journal calls the model, a hash of its content, and the file where it isn't embedded."""

    model: str
    hash: str
    file: Path | None


def is_local(oracle: str) -> bool:
    """Tell `local` and `local:…` from other oracles."""
    return oracle == _LOCAL or oracle.startswith(_PREFIX)


def find_local_model(oracle: str) -> LocalModel:
    """Find what `local` or `local:…` names; nothing is fetched yet.

    Raises:
        InputError: no embedded model of that name and no GGUF file.
    """
    name = oracle.removeprefix(_LOCAL).removeprefix(":") or DEFAULT
    if name in EMBEDDED:
        return LocalModel(name, EMBEDDED[name].sha256, None)
    path, problem = Path(name), ""
    digest = blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            problem = "" if file.read(4) == b"GGUF" else "another file"
            file.seek(0)
            while not problem and (chunk := file.read(2**20)):
                digest.update(chunk)
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        expected = f"a GGUF file, or an embedded model ({', '.join(EMBEDDED)})"
        raise InputError([Problem(name, None, problem, expected)])
    return LocalModel(f"{path.name}@{digest.hexdigest()[:8]}", digest.hexdigest(), path)


class Local:
    """Calls a server of our own.

    Attributes:
        max_concurrency: calls that it takes at a time.
    """

    def __init__(self, oracle: str, concurrency: int) -> None:
        """Take what `--oracle` says; raises as `find_local_model`."""
        self._slots = min(concurrency, _MAX_SLOTS)
        self.max_concurrency: int | None = self._slots
        self._local_model = find_local_model(oracle)
        self._starting: asyncio.Task[None] | None = None
        self._server: Any = None
        self._client: Client | None = None

    async def __aenter__(self) -> Local:
        """Return itself; the server isn't there before it is needed."""
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Stop the server."""
        if self._starting is not None:
            await asyncio.wait([self._starting])
        if self._client is not None:
            await self._client.__aexit__(None, None, None)
            self._client = None
        server, self._server = self._server, None
        await asyncio.to_thread(_drop, [server])

    async def send(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> RawReply:
        """Make one call; the first one starts the server.

        Raises:
            RetryableError, RejectedRequest: as `Client.send`.
            TunescopeError: the model can't be had or loaded.
        """
        self._starting = self._starting or asyncio.create_task(self._start())
        await asyncio.shield(self._starting)  # a row whose time is up doesn't take the server from the others
        assert self._client is not None
        return await self._client.send(messages, options)

    async def _start(self) -> None:
        self._server = await asyncio.to_thread(_start_server, self._local_model, self._slots)
        self._client = Client(self._server.listening_address, self._local_model.model, _MAX_CALL_SECONDS, is_ours=True)

    async def is_answering(self) -> bool:
        """Tell whether the server says anything."""
        return self._client is not None and await self._client.is_answering()


def _drop(server: list[Any]) -> None:
    """Let go of a server; its destructor waits for its threads."""
    server.clear()


def _start_server(local: LocalModel, slots: int) -> Any:
    """Start a server; return it when it listens."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait slow each other down
    try:
        import xllamacpp
    except ModuleNotFoundError as error:
        raise MissingPackageError("xllamacpp", "local", "an oracle on this machine") from error
    path = weights(local.model) if local.file is None else local.file
    context = EMBEDDED[local.model].context if local.file is None else _context_of(path)
    context = min(context, _MAX_CONTEXT)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {local.model}
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = cores()
    params.n_parallel, params.n_ctx = slots, slots * context
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.ui, params.verbosity = False, -1
    say(f"local: starting llama.cpp with {local.model}, {slots} calls at a time of {context:,} tokens at most")
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise TunescopeError(
            f"llama.cpp can't load {path} ({error}); expected a GGUF file of a chat model, and memory for {slots} "
            "contexts; with --concurrency 1 it needs the least"
        ) from error


def _context_of(path: Path) -> int:
    """Return the longest sequence that a model was trained for, from its file's own words."""
    try:
        import gguf
    except ModuleNotFoundError as error:
        raise MissingPackageError("gguf", "local", "an oracle on this machine") from error
    try:
        fields = gguf.GGUFReader(path).fields
        architecture = fields["general.architecture"].contents()
        return int(fields[f"{architecture}.context_length"].contents())
    except (KeyError, ValueError, IndexError, OSError) as error:
        expected = "the header of a language model's GGUF file"
        raise InputError([Problem(str(path), None, f"{type(error).__name__}: {error}", expected)]) from error
