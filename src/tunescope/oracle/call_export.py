"""Calls that are written down instead of made: those that the journal doesn't have, as far as the budget has room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tunescope.oracle.api import MAX_TOKENS_FIELDS, rename_max_tokens
from tunescope.oracle.budget import Budget
from tunescope.oracle.call import Call


class CallExport:
    """Writes calls down.

    Attributes:
        n_over_budget: calls that the budget has no room for.
    """

    def __init__(
        self, model: str, write: Callable[[str, Mapping[str, Any]], None], max_tokens_field: str | None = None
    ) -> None:
        """Take what writes a call's key and body; without a name for the longest reply's field, it is the newer one."""
        self._model, self._write = model, write
        self._max_tokens_field = max_tokens_field or MAX_TOKENS_FIELDS[1]
        self._keys: set[str] = set()
        self.n_over_budget = 0

    @property
    def n_exported(self) -> int:
        """Calls that were written down."""
        return len(self._keys)

    def export_call(self, call: Call, budget: Budget) -> None:
        """Write a call down, once, if the budget has room for it."""
        if call.key in self._keys:
            return
        most = budget.most(call.size)
        if not budget.fits(*most):
            self.n_over_budget += 1
            return
        budget.reserve(*most)
        self._keys.add(call.key)
        options = rename_max_tokens(call.options, self._max_tokens_field)
        self._write(call.key, {"model": self._model, "messages": list(call.messages), **options})
