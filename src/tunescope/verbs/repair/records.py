"""What a repair is, and what it returns for one row and for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tunescope.oracle.replies import Status
from tunescope.views import Table

if TYPE_CHECKING:
    from tunescope.oracle.calls import Calls
    from tunescope.oracle.request import Request
    from tunescope.verbs.repair.instruction_pair import InstructionPair

PROMPTS = Path(__file__).with_name("prompts")
"""The folder of our Jinja files."""
TEXTS = "texts"
"""The kind of a column whose cells are lists of texts."""


@dataclass(frozen=True, slots=True)
class RepairResult:
    """The result for one row.

    Attributes:
        status: of the oracle's reply; None where there is none.
        reason: what happened; the words before its colon name the kind of reason.
        instruction: the new one; None where it stays.
        response: the new one; None where it stays.
        columns: the row's cells in the table `repairs`: texts, numbers or lists of texts.
        notes: for the row's lineage.
    """

    status: Status | None
    reason: str
    instruction: str | None = None
    response: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_failed(self) -> bool:
        """Tell whether no reply could be had."""
        return self.reason.startswith(_FAILED)

    @classmethod
    def failed(cls, failure: str | None) -> RepairResult:
        """Return the result of a row about which no reply could be had."""
        return cls(None, f"{_FAILED} {failure}")


_FAILED = "failed:"


class RepairSummary(NamedTuple):
    """What a repair reports about all rows: numbers, sentences, tables, commands to type next."""

    result: dict[str, Any]
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    next: tuple[str, ...]


class Repair(Protocol):
    """One repair.

    Attributes:
        name: the verb.
        version: of its step in the lineage.
        columns: its own columns of the table `repairs`: name → Arrow type, or `TEXTS`.
        rewrites_instructions: whether it may change an instruction. Then it doesn't apply to preference rows.
    """

    name: str
    version: int
    columns: Mapping[str, str]
    rewrites_instructions: bool

    @property
    def sources(self) -> dict[str, str]:
        """Return the hash of each of its prompts, by name, in the order in which they are sent."""

    def planned_requests(self, pair: InstructionPair) -> list[Request]:
        """Return the requests about a row, in order, as far as they are known in advance."""

    async def repair_row(self, pair: InstructionPair, calls: Calls) -> RepairResult:
        """Ask about a row and read the replies; raises `ItemFailed` where there is no reply."""

    def summarize(self, results: Sequence[RepairResult], run: Path, rows: Path) -> RepairSummary:
        """Summarize all results; `run` and `rows` are the run folder and the file of the rows written."""
