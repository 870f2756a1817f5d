"""What `bench` writes: a score per task, a table of the items, and lm-eval's own files.

`results.json` and `samples_TASK.jsonl` have lm-eval's schema (0.4.13), so that what reads its results reads these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from tunescope.results.code import CodeScore
from tunescope.results.record import Record

RESULTS_FILE = "results.json"


def samples_file(task: str) -> str:
    """Return the name of the file with the items of one of lm-eval's tasks."""
    return f"samples_{task}.jsonl"


class Choice(NamedTuple):
    """What a score depends on beside model and items: whether the chat template is used, and the exemplars' seed."""

    chat: bool
    seed: int

    @property
    def name(self) -> str:
        """What tables call it: `plain 1234` or `chat 1234`."""
        return f"{'chat' if self.chat else 'plain'} {self.seed}"


@dataclass(frozen=True, kw_only=True)
class BenchSetup(Record):
    """The settings under which the scores of `tasks` were made, beside the model and the suite."""

    chat: bool
    seed: int

    @property
    def choice(self) -> Choice:
        """The choice of template and exemplars; the table `items` has others too where the run has --spread."""
        return Choice(self.chat, self.seed)


@dataclass(frozen=True, kw_only=True)
class BenchScore(Record):
    """A task's score by the metric that counts, with its interval over items, and that of guessing.

    It is from 0 to 1, but by metrics of lm-eval's own tasks that aren't shares.
    """

    score: float | None
    low: float | None
    high: float | None
    n: int
    n_missing: int
    method: str
    reason: str | None = None
    metric: str
    chance: float | None = None
    category: str | None = None
    shots: int | None = None
    n_people: int | None = None
    """Of the microworld: the people whom the questions are about, which are the interval's clusters."""
    n_cut: int = 0
    """Prompts that have fewer exemplars, or begin later, than wanted, so that they fit into the context."""


@dataclass(frozen=True, kw_only=True)
class ScoreMean(Record):
    """The mean of several tasks' scores; None where one of them is missing."""

    mean: float | None
    n_tasks: int
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ScoreSpread(Record):
    """What a task's score depends on beside the items: over all choices of template and exemplars.

    The choices are every exemplar seed with and without the chat template.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    """Items. The interval of the mean is over them, each with its mean over the choices."""
    method: str
    reason: str | None = None
    lowest: float | None
    highest: float | None
    template: float | None
    """Mean score in the chat template, minus that without it."""
    exemplars: float | None
    """Standard deviation over exemplar seeds (ddof 1), pooled over both; None where the task has no exemplars."""
    choices: dict[str, float | None]
    """The score of each choice, by name: `plain 1234`, `chat 1234` and so on."""


@dataclass(frozen=True, kw_only=True)
class BenchResult(Record):
    """The score of each task, and what was made of them."""

    model: str
    suite: str
    tasks: dict[str, BenchScore]
    means: dict[str, ScoreMean] = field(default_factory=dict)
    """Of the whole suite (`all`), or of each of several that are joined, by its name; and of each category."""
    spread: dict[str, ScoreSpread] = field(default_factory=dict)
    code: dict[str, CodeScore] = field(default_factory=dict)
    """Of tasks whose answers are code: both scores, and what they depend on."""
    missing: dict[str, str] = field(default_factory=dict)
    """Tasks that couldn't be scored, and why."""
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    """lm-eval's own results: task → metric, with the filter's name after a comma."""
    reading: str | None = None
    """How the model read the texts: packed (what texts share is read once), padded, single or whole."""
    parity: float | None = None
    """Of --parity-check: the most that a log-probability differs from that of lm-eval's own code, in nats."""


@dataclass(frozen=True, kw_only=True)
class ScoredItem(Record):
    """A row of the table `items`: a question as scored under one choice of template and exemplars.

    `task` is lm-eval's task, `score` the metric that counts. `doc_hash` names the question's content.
    """

    NAME: ClassVar[str] = "items"

    task: str
    choice: str
    doc_id: int
    doc_hash: str
    score: float | None


@dataclass(frozen=True, kw_only=True)
class ScoredQuestion(Record):
    """A row of the table `questions`: a question of the microworld as a model answered it.

    `question` names it within its task. `log_probabilities` (nats, of the whole reply with its end of turn) belong
    to `options`, in that order. `gold` and `chosen` are two of these.
    """

    NAME: ClassVar[str] = "questions"

    task: str
    question: str
    person: str
    prompt: str
    gold: str
    chosen: str
    right: bool
    log_probabilities: tuple[float, ...]
    options: tuple[str, ...]
