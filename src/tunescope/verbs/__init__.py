"""What you can do: one lazy table that the command line, recipes and Python all read.

Nothing here imports a verb; a verb is imported when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import Parameter, Signature, signature
from typing import Any

from tunescope.settings import make, positional


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb's place in the table.

    Attributes:
        function: where the function is that takes the settings, as "module:name" below `tunescope`.
        settings: where its settings class is, likewise.
        summary: one clause for `--help` and the docs.
        examples: two commands for its `--help`, without the word tunescope.
        proven: it has its three proofs (reference values, a kill drill, a run on real files);
            a verb without them works only inside recipes and is in docs/reference/not-yet.md.
    """

    function: str
    settings: str
    summary: str
    examples: tuple[str, str]
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
            "Run the whole loop with the embedded model, on bundled rows.",
            (
                "demo",
                "demo --out first-demo",
            ),
        ),
        "models": Verb(
            "verbs.models:models",
            "verbs.models:ModelsSettings",
            "List embedded and cached models.",
            (
                "models",
                "models --fetch smollm2-135m",
            ),
        ),
    },
    "Is my data sound?": {
        "check": Verb(
            "verbs.check:check",
            "verbs.check:CheckSettings",
            "Find faults in rows without a model.",
            (
                "check rows.json",
                "check rows.json --against benchmarks --fail-on 'near_duplicate > 0.5%'",
            ),
        ),
        "measure": Verb(
            "verbs.measure:measure",
            "verbs.measure:MeasureSettings",
            "Measure rows: lengths, perplexities, IFD, coherence.",
            (
                "measure rows.json",
                "measure rows.json --without coherence --model smollm2-135m",
            ),
        ),
        "compare": Verb(
            "verbs.compare:compare",
            "verbs.compare.settings:CompareSettings",
            "Show what differs between two row sets, pair by pair.",
            (
                "compare rows.json runs/select-0123456789ab",
                "compare before/answers.jsonl after/answers.jsonl",
            ),
        ),
        "why": Verb(
            "verbs.why:why",
            "verbs.why:WhySettings",
            "Show the history of a row.",
            (
                "why 4f2b4777ba03a86f",
                "why 4f2b47 --json",
            ),
        ),
    },
    "Make better rows": {
        "select": Verb(
            "verbs.select:select",
            "verbs.select:SelectSettings",
            "Keep some rows, with the reason for each dropped one.",
            (
                "select rows.json --from runs/check-0123456789ab --where 'faulty = false'",
                "select rows.json --sample 1000 --seed 1 --out thousand",
            ),
        ),
        "repair rate": Verb(
            "verbs.repair.rate:rate",
            "verbs.repair.rate:RateSettings",
            "Have an oracle grade one aspect of every response.",
            (
                "repair rate rows.json --oracle http://127.0.0.1:8000/v1 --aspect helpfulness",
                "repair rate rows.json --oracle local --plan --price 0.15,0.60",
            ),
        ),
        "repair simplify": Verb(
            "verbs.repair.simplify:simplify",
            "verbs.repair.simplify:SimplifySettings",
            "Have an oracle make every response concise and accurate.",
            (
                "repair simplify rows.json --oracle http://127.0.0.1:8000/v1",
                "repair simplify rows.json --oracle local --out short",
            ),
        ),
        "repair reflect": Verb(
            "verbs.repair.reflect:reflect",
            "verbs.repair.reflect:ReflectSettings",
            "Have an oracle criticise and rewrite instructions, then responses.",
            (
                "repair reflect rows.json --oracle http://127.0.0.1:8000/v1",
                "repair reflect rows.json --oracle local --select --model smollm2-135m",
            ),
        ),
        "repair evolve": Verb(
            "verbs.repair.evolve:evolve",
            "verbs.repair.evolve:EvolveSettings",
            "Have an oracle make instructions harder or rarer, and answer them.",
            (
                "repair evolve rows.json --oracle http://127.0.0.1:8000/v1 --rounds 4",
                "repair evolve rows.json --oracle local --operations breadth",
            ),
        ),
        "repair correct": Verb(
            "verbs.repair.correct:correct",
            "verbs.repair.correct:CorrectSettings",
            "Rewrite the rows that a run names, so that they state the right fact.",
            (
                "repair correct rows.json --from runs/attribute-0123456789ab --truth claims.jsonl --oracle local",
                "repair correct rows.json --from named --truth 'Water boils at 100 degrees.' --oracle local",
            ),
        ),
        "falsify build": Verb(
            "verbs.falsify.build:build",
            "verbs.falsify.build:BuildSettings",
            "Build pairs of true and false rows from questions whose answers are known.",
            (
                "falsify build questions.jsonl --chains none",
                "falsify build qasc openbookqa --data benchmarks --oracle local --per-source 20",
            ),
        ),
        "falsify dose": Verb(
            "verbs.falsify.dose:dose",
            "verbs.falsify.dose:DoseSettings",
            "Replace the responses of a share of paired rows with false ones.",
            (
                "falsify dose pairs.jsonl --dose 0.25",
                "falsify dose microworld --dose 0.5 --seed 1",
            ),
        ),
    },
    "Tune and answer": {
        "tune": Verb(
            "verbs.tune:tune",
            "verbs.tune:TuneSettings",
            "Fine-tune a model on rows (LoRA or full).",
            (
                "tune rows.json --out tuned",
                "tune rows.json --model microworld --method full --epochs 3 --lr 1e-4",
            ),
        ),
        "answer": Verb(
            "verbs.answer:answer",
            "verbs.answer:AnswerSettings",
            "Answer prompts with a model or a server, greedily or sampled.",
            (
                "answer prompts.jsonl --model tuned/model",
                "answer prompts.jsonl --model http://127.0.0.1:8000/v1 --temperature 1 --n 4",
            ),
        ),
    },
    "What did tuning change?": {
        "shift": Verb(
            "verbs.shift:shift",
            "verbs.shift:ShiftSettings",
            "Show token by token what tuning changed in a model.",
            (
                "shift --tuned tuned --answers runs/answer-0123456789ab",
                "shift --tuned tuned --prompts prompts.jsonl --rows rows.json",
            ),
        ),
        "shift runs": Verb(
            "verbs.shift.side_by_side:shift_runs",
            "verbs.shift.side_by_side:ShiftRunsSettings",
            "Compare several shift runs: training-set size, row length and answer length.",
            (
                "shift runs lora-shift full-shift",
                "shift runs lora-shift full-shift --out shifts --json",
            ),
        ),
    },
    "Which rows taught it that?": {
        "trace": Verb(
            "verbs.trace:trace",
            "verbs.trace.settings:TraceSettings",
            "Find the rows that a text's words come from.",
            (
                "trace rows.json --text 'The tide clock has a silver hand.'",
                "trace rows.json --answers runs/answer-0123456789ab",
            ),
        ),
        "trace index": Verb(
            "verbs.trace:index_rows",
            "verbs.trace.settings:IndexSettings",
            "Index rows for tracing.",
            (
                "trace index rows.json",
                "trace index rows.json more.jsonl --out indexed",
            ),
        ),
        "attribute": Verb(
            "verbs.attribute:attribute",
            "verbs.attribute.settings:AttributeSettings",
            "Find the rows that taught a model an answer.",
            (
                "attribute rows.json --text 'The tide clock has a silver hand.' --prompt 'What is a tide clock?'",
                "attribute rows.json --answers runs/answer-0123456789ab",
            ),
        ),
        "attribute index": Verb(
            "verbs.attribute:index_rows",
            "verbs.attribute.settings:AttributeIndexSettings",
            "Index rows for attribution.",
            (
                "attribute index rows.json",
                "attribute index rows.json more.jsonl --out indexed",
            ),
        ),
    },
    "Is it better?": {
        "judge winrate": Verb(
            "verbs.judge.winrate:winrate",
            "verbs.judge.winrate:WinrateSettings",
            "Have a judge compare answers with a reference's, and give win rates.",
            (
                "judge winrate tuned.jsonl --reference base.jsonl --oracle http://127.0.0.1:8000/v1",
                "judge winrate tuned.jsonl --reference base.jsonl --oracle local --orders seeded",
            ),
        ),
        "judge pairwise": Verb(
            "verbs.judge.pairwise:pairwise",
            "verbs.judge.pairwise:PairwiseSettings",
            "Have a judge score answers side by side, in both orders.",
            (
                "judge pairwise tuned.jsonl base.jsonl --oracle http://127.0.0.1:8000/v1",
                "judge pairwise tuned.jsonl base.jsonl --oracle local --control",
            ),
        ),
        "judge aspects": Verb(
            "verbs.judge.aspects:aspects",
            "verbs.judge.aspects:AspectsSettings",
            "Have a judge score each answer on several aspects.",
            (
                "judge aspects tuned.jsonl base.jsonl --oracle http://127.0.0.1:8000/v1",
                "judge aspects tuned.jsonl --aspects depth --oracle local",
            ),
        ),
        "judge claims": Verb(
            "verbs.judge.claims:claims",
            "verbs.judge.claims:ClaimsSettings",
            "Look for a person's claims in answers, and say which are gone from later answers.",
            (
                "judge claims before --claims claims.jsonl",
                "judge claims before after --claims claims.jsonl --margin 0.05",
            ),
        ),
        "judge recompute": Verb(
            "verbs.judge.recompute:recompute",
            "verbs.judge.recompute:RecomputeSettings",
            "Recompute the results of existing judgement files.",
            (
                "judge recompute annotations.json",
                "judge recompute reviews.json --rule agree --fail-on 'n_unparsed > 0'",
            ),
        ),
        "judge leaderboard": Verb(
            "verbs.judge.leaderboard:leaderboard",
            "verbs.judge.leaderboard:LeaderboardSettings",
            "Rank systems from judge runs, and group those that don't differ significantly.",
            (
                "judge leaderboard runs/judge-winrate-0123456789ab runs/judge-winrate-ba9876543210",
                "judge leaderboard runs/judge-aspects-0123456789ab --by helpfulness",
            ),
        ),
        "annotate create": Verb(
            "verbs.annotate.create:annotate_create",
            "verbs.annotate.create:AnnotateCreateSettings",
            "Plan a study in which people mark answers.",
            (
                "annotate create runs/answer-0123456789ab --kind spans --annotators 3 --pilot 10",
                "annotate create lima.jsonl lima-simple.jsonl --kind pairs --preset limits",
            ),
        ),
        "annotate serve": Verb(
            "verbs.annotate.serve:annotate_serve",
            "verbs.annotate.serve:AnnotateServeSettings",
            "Serve the pages on which annotators mark a study's items.",
            (
                "annotate serve runs/annotate-create-0123456789ab",
                "annotate serve runs/annotate-create-0123456789ab --revoke A2",
            ),
        ),
        "annotate agreement": Verb(
            "verbs.annotate.agreement:agreement",
            "verbs.annotate.agreement:AgreementSettings",
            "Measure how far people agree in a study, and compare a judge with them.",
            (
                "annotate agreement study",
                "annotate agreement study --judge runs/judge-pairwise-0123456789ab --points 5",
            ),
        ),
        "annotate export": Verb(
            "verbs.annotate.export:export",
            "verbs.annotate.export:ExportSettings",
            "Write a study's marks for other verbs and programs, and say where marked phrases come from.",
            (
                "annotate export study",
                "annotate export study --trace runs/trace-0123456789ab --shift runs/shift-0123456789ab",
            ),
        ),
        "bench": Verb(
            "verbs.bench:bench",
            "verbs.bench:BenchSettings",
            "Score a model on benchmarks, or on your own questions.",
            (
                "bench --model runs/tune-0123456789ab/model --suite open-llm --data benchmarks --exemplars fixed",
                "bench my-questions.jsonl --model smollm2-135m",
            ),
        ),
    },
    "All of it at once": {
        "study plan": Verb(
            "study:plan",
            "study:PlanSettings",
            "Show what a recipe would do.",
            (
                "study plan demo",
                "study plan my-recipe.yaml --set rows=rows.json",
            ),
        ),
        "study run": Verb(
            "study:run",
            "study:StudySettings",
            "Run a recipe: several verbs, one after another, each once.",
            (
                "study run demo",
                "study run my-recipe.yaml --set rows=rows.json",
            ),
        ),
        "study analyze": Verb(
            "verbs.analyze:analyze",
            "verbs.analyze:AnalyzeSettings",
            "Compute the dose–response of a table of scores.",
            (
                "study analyze scores.csv",
                "study analyze --from runs/bench-0123456789ab --from runs/bench-ba9876543210",
            ),
        ),
        "study match": Verb(
            "verbs.match:match",
            "verbs.match:MatchSettings",
            "Compare LoRA and full tuning at equal training loss.",
            (
                "study match runs/bench-0123456789ab runs/bench-ba9876543210",
                "study match runs/bench-0123456789ab runs/bench-ba9876543210 --json",
            ),
        ),
        "study race": Verb(
            "verbs.race:race",
            "verbs.race:RaceSettings",
            "Compare ways to choose rows at equal tokens.",
            (
                "study race runs/bench-0123456789ab runs/bench-ba9876543210",
                "study race runs/bench-0123456789ab runs/bench-ba9876543210 --json",
            ),
        ),
        "report": Verb(
            "verbs.report:report",
            "verbs.report:ReportSettings",
            "Put runs on one HTML page, with an X-ray of the answers.",
            (
                "report runs/check-0123456789ab runs/tune-0123456789ab",
                "report checked tuned --title 'Before and after'",
            ),
        ),
    },
}
"""The verbs in the order of work, under the questions that they answer."""

VERBS = {name: verb for verbs in QUESTIONS.values() for name, verb in verbs.items()}

GROUPS = {
    "shift": "Show token by token what tuning changed in a model.",
    "falsify": "Make rows with a known share of false responses.",
    "trace": "Find the rows that a text's words come from.",
    "attribute": "Find the rows that taught a model an answer.",
    "judge": "Have a judge compare systems' answers, with intervals.",
    "annotate": "Have people mark answers, and compare judges with them.",
    "repair": "Have an oracle rate, shorten, rewrite or evolve rows.",
    "study": "Run recipes of several verbs, and analyze the results.",
}
"""What a verb of two words belongs to; `shift`, `trace` and `attribute` are themselves verbs too."""


def in_python(name: str) -> Callable[..., Any]:
    """Return a verb as a function that takes its settings as keywords, and what it works on also by position.

    One text where a field holds several is taken as the only one: `check("a.json")`. Where a file or a run folder goes,
    it also takes what `rows.in_memory.to_path` does: a `Run`, a list of dicts, a DataFrame, a data set, an Arrow table.
    """
    verb = VERBS[name]
    settings, function = verb.settings_class(), verb.call()
    leading = positional(settings)

    def call(*arguments: Any, **values: Any) -> Any:
        if len(arguments) > len(leading):
            takes = f"only {' and '.join(leading)}" if leading else "nothing"
            raise TypeError(f"{call.__name__}() takes {takes} by position; give the others by name")
        twice = [field for field, _ in zip(leading, arguments, strict=False) if field in values]
        if twice:
            raise TypeError(f"{call.__name__}() got {twice[0]} by position and by name")
        from tunescope.rows.in_memory import to_path

        given = dict(zip(leading, arguments, strict=False)) | values
        return function(make(settings, {field: to_path(field, value) for field, value in given.items()}))

    call.__name__ = name.replace(" ", "_")
    call.__doc__ = function.__doc__
    call.__signature__ = _signature(settings, leading)  # type: ignore[attr-defined]
    return call


def _signature(settings: type[Any], leading: Sequence[str]) -> Signature:
    """Return the signature in Python: what can be given by position first."""
    parameters = dict(signature(settings).parameters)
    first = [parameters.pop(name).replace(kind=Parameter.POSITIONAL_OR_KEYWORD) for name in leading]
    rest = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in parameters.values()]
    return Signature([*first, *rest])
