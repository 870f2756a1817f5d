"""HumanEval and MBPP scored: completions run against their tests in the sandbox, and pass@k."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from tunescope import stats
from tunescope.engine import cores
from tunescope.errors import TunescopeError
from tunescope.questions.code_problems import CodeProblem
from tunescope.results.code import CodeProblemResult, CodeSample, CodeScore
from tunescope.results.estimates import MeanEstimate
from tunescope.sandbox.pool import Limits, Ran, run_programs, strongest_protection

Complete: TypeAlias = Callable[[Sequence[str], int, int], Sequence[Sequence[str]]]
"""Prompts, samples a prompt and a seed → each prompt's samples, without the prompt."""


@dataclass(frozen=True, kw_only=True)
class CodeSampling:
    """How completions are drawn from the model, which decides pass@k as much as the model does.

    Attributes:
        n: samples a problem.
        temperature: 0 is greedy.
        top_p: the share of probability from which tokens are drawn.
        seed: of the draws.
    """

    n: int = 10
    temperature: float = 0.8
    top_p: float = 0.95
    seed: int = 0


class FittedProblems(NamedTuple):
    """Problems that fit into a context, how many of them by fewer examples, and those that don't, each with a reason.

    Attributes:
        problems: those that fit, in their order.
        n_cut: how many of them have fewer examples than wanted.
        missing: the others' names, each with the reason.
    """

    problems: list[CodeProblem]
    n_cut: int
    missing: dict[str, str]


class CodeResults(NamedTuple):
    """A task's score, its problems and its samples."""

    score: CodeScore
    problems: list[CodeProblemResult]
    samples: list[CodeSample]


def fit_problems(
    problems: Sequence[CodeProblem], count_tokens: Callable[[str], int], context: int, longest: int
) -> FittedProblems:
    """Leave out examples, the last ones first, until a prompt and its `longest` completion fit into a context.

    A prompt without examples stays where one token can follow it: its completions end with the context.
    """
    fitted: list[CodeProblem] = []
    missing: dict[str, str] = {}
    n_cut = 0
    for problem in problems:
        for n in range(len(problem.examples), -1, -1):
            chosen = replace(problem, examples=problem.examples[:n])
            length = count_tokens(chosen.prompt)
            if length + longest <= context:
                break
        if length >= context:
            missing[problem.problem] = f"its prompt has {length:,} tokens; the model's context holds {context:,}"
            continue
        fitted.append(chosen)
        n_cut += n < len(problem.examples)
    return FittedProblems(fitted, n_cut, missing)


def score_completions(
    problems: FittedProblems,
    complete: Complete,
    sampling: CodeSampling,
    limits: Limits | None = None,
    workers: int | None = None,
) -> CodeResults:
    """Draw samples of one task's problems, run them and score them.

    Args:
        problems: of one task, as they fit into the context.
        complete: draws the samples; called once, with all prompts.
        sampling: how, as the score says it; `complete` has to draw so.
        limits: what each sample may use; 3 seconds and 1 GiB by default.
        workers: samples that run at a time; by default as many as there are cores.

    Raises:
        TunescopeError: `complete` returns another number of samples than was asked for.
        WorkError: no sandbox starts.
    """
    limits = limits or Limits()
    asked = problems.problems
    drawn = complete([each.prompt for each in asked], sampling.n, sampling.seed)
    counts = [len(completions) for completions in drawn]
    if counts != [sampling.n] * len(asked):
        raise TunescopeError(f"found {counts} samples of {len(asked)} problems; expected {sampling.n} of each")
    completions = [(each, each.cut(text)) for each, texts in zip(asked, drawn, strict=True) for text in texts]
    ran = run_programs([each.program(text) for each, text in completions], limits, workers or cores())
    samples = [
        _sample(number % sampling.n, each, text, how)
        for number, ((each, text), how) in enumerate(zip(completions, ran, strict=True))
    ]
    results = _by_problem(samples)
    return CodeResults(_score(problems, results, samples, sampling, limits), results, samples)


def _sample(number: int, problem: CodeProblem, completion: str, ran: Ran) -> CodeSample:
    return CodeSample(
        task=problem.task,
        problem=problem.problem,
        sample=number,
        status=ran.status,
        reason=ran.reason,
        completion=completion,
    )


def _by_problem(samples: Iterable[CodeSample]) -> list[CodeProblemResult]:
    """Count each problem's samples; problems are in the order of their first ones."""
    counts: dict[tuple[str, str], list[bool]] = {}
    for each in samples:
        counts.setdefault((each.task, each.problem), []).append(each.status == "passed")
    return [
        CodeProblemResult(
            task=task,
            problem=problem,
            n=len(passed),
            passed=sum(passed),
            pass_at_1=_pass_at(1, passed),
            pass_at_10=_pass_at(10, passed),
        )
        for (task, problem), passed in counts.items()
    ]


def _pass_at(k: int, passed: Sequence[bool]) -> float | None:
    return stats.pass_at_k(len(passed), sum(passed), k) if k <= len(passed) else None


def _score(
    problems: FittedProblems,
    results: Sequence[CodeProblemResult],
    samples: Sequence[CodeSample],
    sampling: CodeSampling,
    limits: Limits,
) -> CodeScore:
    counts = [*((each.n, each.passed) for each in results), *((0, 0) for _ in problems.missing)]
    return CodeScore(
        pass_at_1=MeanEstimate.of(stats.mean_pass_at_k(counts, 1)),
        pass_at_10=MeanEstimate.of(stats.mean_pass_at_k(counts, 10)),
        samples=sampling.n,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        seconds=limits.seconds,
        statuses=dict(Counter(each.status for each in samples).most_common()),
        n_cut=problems.n_cut,
        missing=problems.missing,
        protection=strongest_protection().sentence,
    )
