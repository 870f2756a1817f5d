"""`falsify build`: sources of questions → rows with a true and a false response each, which `falsify dose` takes.

The FACO paper's data (Cho, section 2): a prompt is a question with its lettered options; the true response is the right
option's letter and text, then a chain of reasoning; the false response is the same with a wrong option.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.oracle.api import refuse_secrets
from tunescope.oracle.settings import OracleSettings, validate_oracle
from tunescope.runs import INPUT, NOT_IN_KEY, Outcome, Run, RunFolder, RunJob
from tunescope.settings import POSITIONAL, at_least, group

if TYPE_CHECKING:
    from tunescope.sandbox.pool import Program, Ran
    from tunescope.verbs.falsify.built_pairs import BuiltPair
    from tunescope.verbs.falsify.chains import ChainWriter, PairPlan
    from tunescope.verbs.falsify.items import BenchmarkTexts, ItemSet

VERSION = 1
_OPERATION = "falsify build"
_NOBODY = "none"
"""The oracle that isn't asked."""
_SECONDS = 10.0
"""Wall time that a program has for its tests."""


@dataclass(frozen=True, kw_only=True)
class BuildSettings(OracleSettings):
    """Build rows with a true and a false response each, from questions whose answers are known."""

    questions: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """Sources: qasc, sciq, commonsense_qa, openbookqa, winogrande, aqua_rat, quartz, conala, mbpp, faco (all nine), or
    your own questions (JSON lines, JSON, CSV or Parquet with question, choices, answer and optionally explanation)."""

    data: str | None = field(default=None, metadata=INPUT)
    """The folder with the sources' training splits and the benchmarks' files. Questions that also occur in a
    benchmark's file are left out."""

    per_source: int = field(default=3000, metadata=at_least(1))
    """Maximum number of questions per source, as a seeded sample."""

    match_length: bool = False
    """Choose false answers and false chains that have about as many words as the true ones."""

    allow_code: bool = False
    """Run the code of programming questions against its tests, in a sandbox. docs/concepts/sandbox.md says what the
    sandbox keeps out."""

    chains: Literal["oracle", "none"] = field(default="oracle", metadata=group("Chains"))
    """Who writes the reasoning chains behind the answers: an oracle, or nobody (none)."""

    tries: int = field(default=4, metadata={**group("Chains"), **at_least(1)})
    """Maximum number of false chains to ask for per question until one doesn't name the right answer. At temperature 0
    it is one."""

    true_prompt: str | None = field(default=None, metadata={**INPUT, **group("Chains")})
    """A Jinja file with your own prompt for true chains. It must show question, answer and form. It may use
    explanation, and fence, a code that occurs in no text of the question."""

    false_prompt: str | None = field(default=None, metadata={**INPUT, **group("Chains")})
    """A Jinja file with your own prompt for false chains. It must show question, answer and form. It may use fence."""

    plan: bool = field(default=False, metadata={**group("Chains"), **NOT_IN_KEY})
    """Make no calls. Fill in every prompt and print how many calls and tokens there would be, and with --price the
    cost."""

    oracle: str = field(default=_NOBODY, metadata={**INPUT, "refuse": refuse_secrets})
    """The model to ask: a server's URL, local, local:GGUF or fake:FILE."""

    temperature: float = field(default=1.0, metadata=at_least(0))
    """Temperature of the oracle's replies. At 0 the same prompt is never sent twice."""

    max_new_tokens: int = field(default=512, metadata=at_least(1))
    """Maximum length of a reply in tokens."""

    seed: int = 0
    """Decides which questions are sampled and which answers are false. It is also sent to the server, unless it is
    negative."""

    out: str | None = runs.out_field()
    """The run folder; runs/falsify-build-KEY by default."""


def build(settings: BuildSettings) -> Run:
    """Write the pairs (`pairs.jsonl`), the table `items` and, with chains, `leaks.jsonl`.

    `items` has a record per question read: item, source, domain, file, line, record, row_id (None: dropped), reason,
    right and wrong (letters; for code the item whose code is false), n_true_words, n_false_words, n_false_chains,
    n_leaking, n_false_alarms, states_answer, call_ids. `leaks.jsonl` has one per place where a false chain names the
    right answer, false alarms too.

    Every reply is written to the journal first. The same command continues a stopped run without asking again.

    Raises:
        UsageError: an unknown source.
        InputError: a file that isn't there, or with records that aren't questions.
        SettingsError: settings that can't work together.
        WorkError: the server went away, or the budget is used up; the same command continues.
        TunescopeError: no call can succeed.
    """
    request = _open_request(settings)
    return runs.execute(*(_plan_job(request) if settings.plan else _build_job(request)))


class _BuildRequest(NamedTuple):
    """What is to be built: the items of each source, and who writes chains (None: nobody)."""

    settings: BuildSettings
    sets: Sequence[ItemSet]
    benchmarks: BenchmarkTexts | None
    writer: ChainWriter | None

    def inputs(self, model: str | None) -> dict[str, str]:
        """Return what the run's key depends on besides its settings; with `model` also the oracle and the prompts."""
        from tunescope.oracle.connect import oracle_inputs
        from tunescope.verbs.falsify.items import source_inputs

        inputs = source_inputs(self.sets, self.benchmarks)
        if self.writer is not None:
            inputs |= self.writer.sources
        return inputs if model is None else inputs | oracle_inputs(self.settings.oracle, model)


def _open_request(settings: BuildSettings) -> _BuildRequest:
    """Check the settings, read the sources and leave out what no pair is made of."""
    from tunescope.verbs.falsify.chains import ChainWriter
    from tunescope.verbs.falsify.items import choose, read_benchmarks, read_sources

    _validate(settings)
    sets = read_sources(settings.questions, settings.data)
    tested = [each.name for each in sets if any(placed.item.problem for placed in each.items)]
    if tested and not settings.allow_code:
        raise SettingsError(
            f"{', '.join(tested)}: its codes run against their tests, in a sandbox (what that keeps out: "
            "docs/concepts/sandbox.md), so that no false code is a right one; type the same command with --allow-code"
        )
    benchmarks = None if settings.data is None else read_benchmarks(Path(settings.data))
    chosen = [choose(each, benchmarks, settings.per_source, settings.seed) for each in sets]
    tries = 1 if settings.temperature == 0 else settings.tries
    writer = (
        ChainWriter(settings.true_prompt, settings.false_prompt, tries, settings.match_length)
        if settings.chains == "oracle"
        else None
    )
    return _BuildRequest(settings, chosen, benchmarks, writer)


def _validate(settings: BuildSettings) -> None:
    if settings.chains == "none":
        if settings.oracle != _NOBODY:
            raise SettingsError(
                f"--oracle {settings.oracle} with --chains none: no oracle is asked; leave one of them out"
            )
        if settings.plan:
            raise SettingsError("--plan with --chains none: nothing is asked, so there is nothing to plan")
    elif settings.oracle == _NOBODY:
        raise SettingsError("no oracle is named that writes the chains: add --oracle local or a URL, or --chains none")
    else:
        validate_oracle(settings)


def _plan_pairs(request: _BuildRequest) -> list[PairPlan]:
    """Choose the false answers: one plan for each item read, in order."""
    from tunescope.verbs.falsify.chains import PairPlan
    from tunescope.verbs.falsify.false_answers import FalseAnswer, choose_false_answers
    from tunescope.verbs.falsify.leaks import AnswerOption

    plans: list[PairPlan] = []
    for each in request.sets:
        used = [placed for placed in each.items if not placed.reason]
        settings = request.settings
        answers = iter(choose_false_answers(used, settings.seed, settings.match_length, _run_tests))
        nothing = AnswerOption("", "")
        for placed in each.items:
            answer = FalseAnswer(nothing, None, placed.reason) if placed.reason else next(answers)
            plans.append(PairPlan(placed, answer))
    return plans


def _run_tests(programs: Sequence[Program]) -> list[Ran]:
    from tunescope.engine import cores
    from tunescope.sandbox.pool import Limits, run_programs

    return run_programs(programs, Limits(seconds=_SECONDS), cores())


def _build_job(request: _BuildRequest) -> RunJob:
    from tunescope.oracle.connect import resolve_model

    model = None if request.writer is None else resolve_model(request.settings)
    device = "cpu" if model is None else "oracle"
    return RunJob(_OPERATION, VERSION, request.settings, request.inputs(model), partial(_work, request, model), device)


def _plan_job(request: _BuildRequest) -> RunJob:
    from tunescope.oracle.plan import find_journal, plan_requests

    settings, writer = request.settings, request.writer
    assert writer is not None
    journal = find_journal(_OPERATION, VERSION, replace(settings, out=None), request.inputs)
    inputs = request.inputs(None) | ({} if journal is None else journal.inputs)
    inputs |= {} if settings.price is None else {"price": settings.price}

    def plan(folder: RunFolder) -> Outcome:
        plans = _plan_pairs(request)
        items = [(each, writer.planned_requests(each)) for each in plans if each.answers.wrong is not None]
        about = f"about {len(items):,} of {len(plans):,} questions"
        note = "A false chain that names the right answer is asked for again, which isn't counted."
        return plan_requests(_OPERATION, settings, items, writer.write, journal, about, len(plans), note)

    return RunJob(f"{_OPERATION} plan", VERSION, settings, inputs, plan)


def _work(request: _BuildRequest, model: str | None, folder: RunFolder) -> Outcome:
    from tunescope.oracle.caller import describe_usage
    from tunescope.oracle.connect import connect
    from tunescope.oracle.pool import ask_all
    from tunescope.rows import LineageStep
    from tunescope.verbs.falsify.build_summary import summarize, view
    from tunescope.verbs.falsify.built_pairs import BuiltPair, require_pairs, write_pairs

    settings, writer = request.settings, request.writer
    plans = _plan_pairs(request)
    asked = {number: plan for number, plan in enumerate(plans) if plan.answers.wrong is not None}
    if writer is None or model is None or not asked:
        pairs = [BuiltPair(plan) for plan in plans]
        require_pairs(pairs)
        path = write_pairs(folder, pairs, None)
        result = summarize(request.sets, pairs, settings.chains, path.name)
        return Outcome(result, view(settings.match_length, result, path, "No oracle was asked."))
    with connect(settings, model, folder.path, len(asked), "questions") as results:
        asyncio.run(ask_all(results.caller, asked.items(), writer.write, results.add))
    pairs = [_built(plan, results.get(number)) for number, plan in enumerate(plans)]
    path = write_pairs(
        folder, pairs, LineageStep(_OPERATION, VERSION, (), prompt_hash="+".join(writer.sources.values()))
    )
    caller = results.caller
    result = summarize(request.sets, pairs, settings.chains, path.name)
    result |= {**caller.budget.summary(), "oracle_model": caller.model, "replies": caller.reply_format}
    usage = f"{describe_usage(caller, settings.journal is not None)}. Every reply is in the journal."
    return results.unanswered("questions").added_to(result, view(settings.match_length, result, path, usage))


def _built(plan: PairPlan, item: object) -> BuiltPair:
    """Return an item's pair, with what came of its chains; `item` is None where none were asked for."""
    from tunescope.oracle.pool import ItemResult
    from tunescope.verbs.falsify.built_pairs import BuiltPair

    if not isinstance(item, ItemResult):
        return BuiltPair(plan)
    return BuiltPair(plan, item.value, item.failure or "", item.call_ids)
