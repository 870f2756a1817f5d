"""What makes one call: a server's client, the server on this machine, or the fake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tunescope.oracle.api import RawReply


class Transport(Protocol):
    """What makes one call; used as `async with transport`."""

    max_concurrency: int | None

    async def __aenter__(self) -> Any:
        """Make it ready."""

    async def __aexit__(self, *error: Any) -> None:
        """Close its connections, or stop its server."""

    async def send(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> RawReply:
        """Make one call; raises `RetryableError`, `RejectedRequest` or, where no call can succeed, `TunescopeError`."""

    async def is_answering(self) -> bool:
        """Tell whether anybody is there."""
