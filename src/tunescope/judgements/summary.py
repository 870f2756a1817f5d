"""The numbers of judgements, read from files or new: per comparison or system, per kind of question, and reread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from tunescope.errors import InputError, Problem, SettingsError
from tunescope.judgements import scores as scored
from tunescope.judgements import win_rates
from tunescope.judgements.records import RULES, PairJudgement, Rule, ScoreJudgement, first_items
from tunescope.judgements.repeats import RepeatRule, describe_repeats, settle_pairs, settle_scores
from tunescope.judgements.rereading import Rereading
from tunescope.judgements.tags import Tags
from tunescope.results.judge import PAIRS, SCORES, ComparisonRow, JudgeKind, PairRow, PairsKind, ScoreRow
from tunescope.views import counted

if TYPE_CHECKING:
    from tunescope.judgements.formats import Format
    from tunescope.judgements.records import Judgements

Judgement = TypeVar("Judgement", PairJudgement, ScoreJudgement)


@dataclass(frozen=True, kw_only=True)
class SummaryOptions:
    """How judgements are summarized.

    Attributes:
        rule: how the verdicts of two orders become one.
        scores: count what the files store, or what we read in the judge's replies.
        reference: the system that all others are compared with; None: as the judgements have it.
        limit: how many items to keep, of each part of the files; None: all.
        repeats: what counts where an item was judged several times.
        draws, seed: of the sign-flip test, which compares scores of systems.
    """

    rule: Rule = "net"
    scores: Literal["stored", "text"] = "stored"
    reference: str | None = None
    limit: int | None = None
    repeats: RepeatRule = "mean"
    draws: int = 10_000
    seed: int = 0


class Summary(NamedTuple):
    """The numbers of judgements, and what they were made from.

    Attributes:
        judgements: as they were read, before any selection.
        file_format: the format that they were read in.
        kind: `PAIRS` or `SCORES`.
        rule: how the verdicts of two orders became one; None with one order, and for scores.
        groups: numbers per comparison or system, by name.
        tags: the same per kind of question, for groups that have tags.
        rereading: how our reading of the replies compares with the stored verdicts; None where nothing is reread.
        differences: of scores, every system's minus the last one's, per aspect; empty where there are none.
        tables: the records of the run's tables, by the table's name.
    """

    judgements: Judgements
    file_format: Format
    kind: str
    rule: Rule | None
    groups: Mapping[str, Mapping[str, Any]]
    tags: Mapping[str, Mapping[str, Any]]
    rereading: Rereading | None
    differences: Mapping[str, Mapping[str, Any]]
    tables: Mapping[str, Iterable[Mapping[str, Any]]]

    @property
    def rule_sentence(self) -> str:
        """How the verdicts of two orders became one; "" where there is no rule."""
        return "" if self.rule is None else f"Over both orders (--rule {self.rule}), {RULES[self.rule]}"

    def result(self, leading: Mapping[str, Any]) -> dict[str, Any]:
        """Return the run's result: format and formula, `leading`, then the numbers.

        The numbers of one group stand at the top, those of several by name.
        """
        result = {
            "format": self.file_format.name,
            "formula": f"{self.file_format.formula} {self.rule_sentence}".strip(),
            **leading,
            **self.judgements.extra_results,
            **(PairsKind(kind=PAIRS, rule=self.rule) if self.kind == PAIRS else JudgeKind(kind=SCORES)).as_json(),
        }
        if self.rereading is not None and self.rereading.kinds:
            result["rereading"] = self.rereading.as_json()
        if len(self.groups) == 1:
            result |= next(iter(self.groups.values()))
        else:
            result["comparisons" if self.kind == PAIRS else "systems"] = self.groups
        if self.tags:
            result["tags"] = next(iter(self.tags.values())) if len(self.groups) == 1 else self.tags
        if self.differences:
            result |= {"differences": self.differences, "against": list(self.groups)[-1]}
        return result


def summarize(judgements: Judgements, file_format: Format, options: SummaryOptions, tags: Tags) -> Summary:
    """Compute the numbers of judgements.

    Raises:
        InputError: judgements of single answers without any score.
        SettingsError: an option that these judgements don't allow.
    """
    summarize_kind = _summarize_pairs if judgements.pairs else _summarize_scores
    return summarize_kind(judgements, file_format, options, tags)


def _select(judgements: Sequence[Judgement], limit: int | None, tags: Tags) -> list[Judgement]:
    """Return the first items of each part, with the tags that the user's file has for them."""
    if tags.file is not None:
        of_file = [tags.of_judgement(each) for each in judgements]
        tags.validate(of_file)
        judgements = [_tagged(each, own or ()) for each, own in zip(judgements, of_file, strict=True)]
    parts: dict[str, list[str]] = {}
    for each in judgements:
        parts.setdefault(_part(each), []).append(each.item)
    kept = {part: first_items(items, limit) for part, items in parts.items()}
    return [each for each in judgements if each.item in kept[_part(each)]]


def _tagged(judgement: Judgement, tags: tuple[str, ...]) -> Judgement:
    return replace(judgement, tags=(*judgement.tags, *tags))


def _part(judgement: PairJudgement | ScoreJudgement) -> str:
    return judgement.part if isinstance(judgement, PairJudgement) else ""


def _summarize_pairs(judgements: Judgements, file_format: Format, options: SummaryOptions, tags: Tags) -> Summary:
    rule = options.rule
    pairs = _select(judgements.pairs, options.limit, tags)
    if options.reference is not None:
        pairs = _against(pairs, options.reference)
    rereading = None
    if file_format.parse_pair is not None:
        reread, rereading = win_rates.reread_pairs(pairs, file_format.parse_pair)
        pairs = reread if options.scores == "text" else pairs
    elif options.scores == "text":
        raise _not_reread(file_format)
    note = describe_repeats(pairs, options.repeats)
    pairs = settle_pairs(pairs, options.repeats)
    by_comparison = win_rates.group_by_comparison(pairs)
    names = win_rates.comparison_names(list(by_comparison))
    groups, by_tag = {}, {}
    for comparison, members in by_comparison.items():
        a, b, judge, part = comparison
        who = {"system": a, "reference": b, "judge": judge or None, "part": part or None}
        name = names[comparison]
        groups[name] = who | win_rates.summarize_pairs(members, rule)
        by_tag[name] = win_rates.pairs_by_tag(members, rule)
    both_orders = any(len(pair.orders) == 2 for pair in pairs)
    return Summary(
        judgements=_with_note(judgements, note),
        file_format=file_format,
        kind=PAIRS,
        rule=rule if both_orders else None,
        groups=groups,
        tags=_not_empty(by_tag),
        rereading=rereading,
        differences={},
        tables={
            ComparisonRow.NAME: [_flat(name, numbers) for name, numbers in groups.items()],
            PairRow.NAME: win_rates.pair_rows(pairs, names, rule),
        },
    )


def _with_note(judgements: Judgements, note: str) -> Judgements:
    return judgements._replace(notes=(*judgements.notes, note)) if note else judgements


def _against(pairs: Sequence[PairJudgement], reference: str) -> list[PairJudgement]:
    systems = list(dict.fromkeys(name for pair in pairs for name in (pair.a, pair.b)))
    if reference not in systems:
        listed = ", ".join(systems[:12]) + (", …" if len(systems) > 12 else "")
        raise SettingsError(f"--reference {reference}: the systems here are {listed}")
    return win_rates.against(pairs, reference)


def _summarize_scores(judgements: Judgements, file_format: Format, options: SummaryOptions, tags: Tags) -> Summary:
    seed, draws = options.seed, options.draws
    scores = _select(judgements.scores, options.limit, tags)
    if options.reference:
        raise SettingsError(f"--reference: {file_format.name} files hold no comparisons")
    rereading = None
    if file_format.parse_scores is not None:
        reread, rereading = scored.reread_scores(scores, file_format.parse_scores)
        scores = reread if options.scores == "text" else scores
    elif options.scores == "text":
        raise _not_reread(file_format)
    if not any(judgement.scores for judgement in scores):
        raise _no_scores(scores, options, rereading)
    note = describe_repeats(scores, options.repeats)
    scores = settle_scores(scores, options.repeats)
    by_system = scored.group_by_system(scores)
    groups, by_tag = {}, {}
    for each, name in scored.system_names([*by_system]).items():
        members = by_system[each]
        who = {"system": each.system, "judge": each.judge or None}
        numbers = scored.summarize_scores(members, na_counted_as=file_format.na_counted_as)
        groups[name] = who | numbers
        by_tag[name] = scored.scores_by_tag(members)
    return Summary(
        judgements=_with_note(judgements, note),
        file_format=file_format,
        kind=SCORES,
        rule=None,
        groups=groups,
        tags=_not_empty(by_tag),
        rereading=rereading,
        differences=scored.score_differences(scores, seed=seed, draws=draws),
        tables={
            "aspects": [
                {"name": name, "system": group["system"], "judge": group["judge"], "aspect": aspect, **numbers}
                for name, group in groups.items()
                for aspect, numbers in group["aspects"].items()
            ],
            ScoreRow.NAME: scored.score_rows(scores),
        },
    )


def _not_reread(file_format: Format) -> SettingsError:
    return SettingsError(f"--scores text: {file_format.name} files {file_format.no_rereading}")


def _no_scores(
    scores: Sequence[ScoreJudgement], options: SummaryOptions, rereading: Rereading | None
) -> InputError | SettingsError:
    """Say that no record has a score in any aspect, and where there are scores."""
    place, _, _ = scores[0].place.rpartition(":")
    records = counted(len(scores), "record")
    if options.scores == "stored" and rereading is not None and rereading.kinds["only_read"]:
        return SettingsError(f"{place}: no score is stored in {records}; their replies hold some: type --scores text")
    return InputError([Problem(place, None, f"no score in {records}", 'a score or "N/A" in one aspect at least')])


def _not_empty(tags: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {name: of_name for name, of_name in tags.items() if of_name}


def _flat(name: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return a comparison's numbers as one row of a table: NAME for a value, NAME_low and NAME_high."""
    row: dict[str, Any] = {"comparison": name}
    for key, value in numbers.items():
        if isinstance(value, Mapping):
            row |= {key: value.get("mean"), f"{key}_low": value.get("low"), f"{key}_high": value.get("high")}
            if "standard_error" in value:
                row[f"{key}_standard_error"] = value["standard_error"]
        else:
            row[key] = value
    return row
