"""Whom to ask: a server, a model on this machine, or a fake. What it's called, what it is, and what calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from tunescope.errors import SettingsError
from tunescope.oracle.ask import Transport
from tunescope.oracle.client import Client, is_url
from tunescope.oracle.fake import PREFIX, Fake, read_fake
from tunescope.oracle.local import Local, is_local, weights_of
from tunescope.oracle.settings import OracleSettings

OPTIONS = ("--oracle", "--oracle-model")


def model_of(settings: OracleSettings) -> str:
    """Return what the oracle's model is called: what was typed, or the only one the server has.

    Raises:
        SettingsError: it has several, or none.
        InputError: a local model that isn't there.
        TunescopeError: the server isn't there, or refuses the key.
    """
    if is_local(settings.oracle):
        return weights_of(settings.oracle).model
    if not is_url(settings.oracle):
        return "fake"
    if settings.oracle_model is not None:
        return settings.oracle_model

    async def names() -> list[str]:
        async with Client(settings.oracle, timeout=settings.timeout, options=OPTIONS) as client:
            return await client.models()

    found = asyncio.run(names())
    if len(found) != 1:
        listed = ", ".join(found[:20]) or "none"
        raise SettingsError(f"{settings.oracle} has {len(found)} models ({listed}); choose one with --oracle-model")
    return found[0]


def inputs_of(settings: OracleSettings, model: str) -> Mapping[str, str]:
    """Return what the run's key knows of the oracle: a file's content, or address and model.

    Raises:
        InputError: a fake or a local model that can't be read.
    """
    if is_local(settings.oracle):
        return {f"oracle {settings.oracle}": weights_of(settings.oracle).hash}
    if not is_url(settings.oracle):
        path = Path(settings.oracle.removeprefix(PREFIX))
        read_fake(path)
        return {settings.oracle: blake2b(path.read_bytes(), digest_size=16).hexdigest()}
    where = blake2b(f"{settings.oracle}\n{model}".encode(), digest_size=16).hexdigest()
    return {f"oracle {model} at {settings.oracle}": where}


def transport_of(settings: OracleSettings, model: str) -> Transport:
    """Return what makes the calls; raises `InputError` for a fake or a local model that can't be read."""
    if is_url(settings.oracle):
        length = None if settings.length_name == "auto" else settings.length_name
        return Client(settings.oracle, model, settings.timeout, options=OPTIONS, length=length)
    if is_local(settings.oracle):
        return Local(settings.oracle, settings.concurrency)
    return Fake(read_fake(Path(settings.oracle.removeprefix(PREFIX))))
