"""The body of a reply: its bytes as they came, and what they say, parsed once for all who ask. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Body:
    """A reply's body; `raw` has the bytes."""

    raw: bytes

    @cached_property
    def record(self) -> Any:
        """What the bytes say.

        Raises:
            ValueError: they are no JSON.
            RecursionError: they nest too deep.
        """
        return json.loads(self.raw)
