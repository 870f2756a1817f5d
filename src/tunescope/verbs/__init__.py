"""What you can do: one lazy table that the command line, recipes and Python all read.

Nothing here imports a verb; a verb is imported when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from importlib import import_module
from inspect import Signature, signature
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tunescope.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb's place in the table.

    Attributes:
        function: where the function is that takes the settings, as "module:name" below `tunescope`.
        settings: where its settings class is, likewise.
        takes: what goes in, for the docs.
        summary: one clause for `--help` and the docs.
        proven: it has its three proofs (reference values, a kill drill, a run on real files);
            a verb without them works only inside recipes and is in docs/not-yet.md.
    """

    function: str
    settings: str
    takes: str
    summary: str
    proven: bool = True

    @property
    def module(self) -> str:
        """The module that the function is in; it also holds the verb's `VERSION`."""
        return f"tunescope.{self.function.partition(':')[0]}"

    def settings_class(self) -> type[Any]:
        """Import and return the settings dataclass."""
        settings: type[Any] = _load(self.settings)
        return settings

    def call(self) -> Callable[[Any], Any]:
        """Import and return the function."""
        function: Callable[[Any], Any] = _load(self.function)
        return function


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"tunescope.{module}"), name)


QUESTIONS: dict[str, dict[str, Verb]] = {
    "Start here": {
        "demo": Verb(
            "study:demo",
            "study:DemoSettings",
            "",
            "Run the whole loop on the embedded model and bundled rows.",
        ),
        "models": Verb(
            "verbs.models:models",
            "verbs.models:ModelsSettings",
            "",
            "List embedded and cached models.",
        ),
    },
    "Is my data sound?": {
        "check": Verb(
            "verbs.check:check",
            "verbs.check:CheckSettings",
            "ROWS",
            "Find faults in rows without a model.",
        ),
        "measure": Verb(
            "verbs.measure:measure",
            "verbs.measure:MeasureSettings",
            "ROWS",
            "Measure rows: lengths, perplexities, IFD, coherence.",
        ),
        "compare": Verb(
            "verbs.compare:compare",
            "verbs.compare:CompareSettings",
            "A B",
            "Show what differs between two row sets, pair by pair.",
        ),
        "why": Verb(
            "verbs.why:why",
            "verbs.why:WhySettings",
            "ROW_ID",
            "Tell the history of a row.",
        ),
    },
    "Make better rows": {
        "select": Verb(
            "verbs.select:select",
            "verbs.select:SelectSettings",
            "ROWS",
            "Keep some rows and say why the others went.",
        ),
        "repair rate": Verb(
            "verbs.repair.rate:rate",
            "verbs.repair.rate:RateSettings",
            "ROWS",
            "Have an oracle grade one aspect of every response.",
        ),
        "repair simplify": Verb(
            "verbs.repair.simplify:simplify",
            "verbs.repair.simplify:SimplifySettings",
            "ROWS",
            "Have an oracle make every response concise and accurate.",
        ),
        "repair reflect": Verb(
            "verbs.repair.reflect:reflect",
            "verbs.repair.reflect:ReflectSettings",
            "ROWS",
            "Have an oracle criticise and rewrite instructions, then responses.",
        ),
        "repair evolve": Verb(
            "verbs.repair.evolve:evolve",
            "verbs.repair.evolve:EvolveSettings",
            "ROWS",
            "Have an oracle make instructions harder or rarer, and answer them.",
        ),
        "falsify dose": Verb(
            "verbs.falsify.dose:dose",
            "verbs.falsify.dose:DoseSettings",
            "PAIRS",
            "Give a share of paired rows their false response.",
        ),
    },
    "Tune and answer": {
        "tune": Verb(
            "verbs.tune:tune",
            "verbs.tune:TuneSettings",
            "ROWS",
            "Fine-tune a model on rows (LoRA or full).",
        ),
        "answer": Verb(
            "verbs.answer:answer",
            "verbs.answer:AnswerSettings",
            "PROMPTS",
            "Answer prompts with a model or a server, greedily or sampled.",
        ),
    },
    "What did tuning change?": {
        "shift": Verb(
            "verbs.shift:shift",
            "verbs.shift:ShiftSettings",
            "--tuned T",
            "Show token by token what tuning changed in a model.",
        ),
        "shift runs": Verb(
            "verbs.shift.side_by_side:shift_runs",
            "verbs.shift.side_by_side:ShiftRunsSettings",
            "RUN…",
            "Compare several shift runs: training-set size, row length and answer length.",
        ),
    },
    "Which rows taught it that?": {
        "trace": Verb(
            "verbs.trace:trace",
            "verbs.trace.settings:TraceSettings",
            "ROWS",
            "Find the rows that a text's words come from.",
        ),
        "trace index": Verb(
            "verbs.trace:index_rows",
            "verbs.trace.settings:IndexSettings",
            "ROWS",
            "Index rows for tracing.",
        ),
    },
    "Is it better?": {
        "judge winrate": Verb(
            "verbs.judge.winrate:winrate",
            "verbs.judge.winrate:WinrateSettings",
            "A… --reference R",
            "Have a judge say which answer is better: win rates against a reference.",
        ),
        "judge pairwise": Verb(
            "verbs.judge.pairwise:pairwise",
            "verbs.judge.pairwise:PairwiseSettings",
            "A B…",
            "Have a judge score answers side by side, in both orders.",
        ),
        "judge aspects": Verb(
            "verbs.judge.aspects:aspects",
            "verbs.judge.aspects:AspectsSettings",
            "A…",
            "Have a judge score each answer in several aspects.",
        ),
        "judge recompute": Verb(
            "verbs.judge.recompute:recompute",
            "verbs.judge.recompute:RecomputeSettings",
            "FILE…",
            "Recompute the tables of judgement files that others made.",
        ),
        "judge leaderboard": Verb(
            "verbs.judge.leaderboard:leaderboard",
            "verbs.judge.leaderboard:LeaderboardSettings",
            "RUN…",
            "Rank systems from several judge runs, and say which can't be told apart.",
        ),
        "bench": Verb(
            "verbs.bench:bench",
            "verbs.bench:BenchSettings",
            "--model M",
            "Score a model on tasks whose answers are known.",
            proven=False,
        ),
    },
    "All of it at once": {
        "study plan": Verb(
            "study:plan",
            "study:PlanSettings",
            "RECIPE",
            "Say what a recipe would do.",
        ),
        "study run": Verb(
            "study:run",
            "study:StudySettings",
            "RECIPE",
            "Run a recipe: verbs in a row, each done once.",
        ),
        "study analyze": Verb(
            "verbs.analyze:analyze",
            "verbs.analyze:AnalyzeSettings",
            "TABLE",
            "Compute the dose–response of a table of scores.",
        ),
        "report": Verb(
            "verbs.report:report",
            "verbs.report:ReportSettings",
            "RUN…",
            "Put runs on one HTML page; X-ray answers token by token.",
        ),
    },
}
"""The verbs in the order of work, under the questions that they answer."""

VERBS = {name: verb for verbs in QUESTIONS.values() for name, verb in verbs.items()}

GROUPS = {
    "shift": "Show token by token what tuning changed in a model.",
    "falsify": "Make rows with a known share of false responses.",
    "trace": "Find the rows that a text's words come from.",
    "judge": "Say which system answers better, and how sure that is.",
    "repair": "Have an oracle rate, shorten, rewrite or evolve rows.",
    "study": "Run recipes: several verbs in a row, cached and resumable; analyse what came out.",
}
"""What a verb of two words belongs to; `shift` and `trace` are themselves verbs too."""


def in_python(name: str) -> Callable[..., Any]:
    """Return a verb as a function that takes its settings as keywords.

    One text where a field holds several is taken as the only one: rows="a.json".
    """
    verb = VERBS[name]
    settings, function = verb.settings_class(), verb.call()

    def call(**values: Any) -> Any:
        return function(make(settings, values))

    call.__name__ = name.replace(" ", "_")
    call.__doc__ = function.__doc__
    call.__signature__ = Signature(  # type: ignore[attr-defined]
        [p.replace(kind=p.KEYWORD_ONLY) for p in signature(settings).parameters.values()]
    )
    return call


def make(settings: type[Any], values: Mapping[str, Any]) -> Any:
    """Build a settings object from plain values, as Python calls and recipes give them.

    Raises:
        SettingsError: an unknown or missing field, or a value of the wrong type.
    """
    hints = get_type_hints(settings)
    known = {f.name: f for f in fields(settings)}
    values = {in_our_words(settings, name): value for name, value in values.items()}
    values = {name if name in known else f"{name}_": value for name, value in values.items()}
    unknown = [name.rstrip("_") for name in values if name not in known]
    if unknown:
        raise SettingsError(
            f"{', '.join(unknown)}: no such setting; there is {', '.join(n.rstrip('_') for n in known)}"
        )
    missing = [n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING and n not in values]
    if missing:
        raise SettingsError(f"{', '.join(missing)}: not given, and without a default")
    return settings(**{name: _fit(name, hints[name], value) for name, value in values.items()})


def in_our_words(settings: type[Any], name: str) -> str:
    """Return what we call a setting that other tools call `name`; else `name`.

    Raises:
        SettingsError: ours is something else, although near.
    """
    from tunescope.settings import help_of

    for f in fields(settings):
        if name in f.metadata.get("alias", ()):
            return f.name
        if name in f.metadata.get("near", ()):
            raise SettingsError(f"{name}: no such setting; there is {f.name}: {help_of(settings, f.name)}")
    return name


def _fit(name: str, hint: Any, value: Any) -> Any:
    """Fit a plain value to a field's type; lists become tuples, paths become text."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for option in options:
        kind = get_origin(option) or option
        if kind is Literal and value in get_args(option):
            return value
        if kind is NoneType and value is None:
            return None
        if kind is tuple:
            items = [value] if isinstance(value, str | PurePath) else value
            if isinstance(items, list | tuple) and all(isinstance(item, str | PurePath) for item in items):
                return tuple(str(item) for item in items)
        if kind is str and isinstance(value, str | PurePath):
            return str(value)
        if kind is bool and isinstance(value, bool):
            return value
        if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if kind is int and isinstance(value, int) and not isinstance(value, bool):
            return value
    expected = " or ".join(_said(option) for option in options)
    raise SettingsError(f"{name.rstrip('_')}: found {value!r}; expected {expected}")


def _said(option: Any) -> str:
    if get_origin(option) is Literal:
        return " or ".join(map(str, get_args(option)))
    words = {str: "text", int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}
    return words.get(option, "a list of texts")
