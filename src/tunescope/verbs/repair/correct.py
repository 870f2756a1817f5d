"""`repair correct`: the rows that a run names, rewritten to state the right fact."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.oracle.api import refuse_secrets
from tunescope.oracle.replies import ParsedReply, without_preamble
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.oracle.request import Request
from tunescope.oracle.template import read_template
from tunescope.oracle.usage import estimate_tokens
from tunescope.runs import INPUT, Outcome, Run, RunFolder, RunJob
from tunescope.settings import as_cli_args
from tunescope.verbs.repair.before_after import before_and_after
from tunescope.verbs.repair.instruction_pair import InstructionPair
from tunescope.verbs.repair.named_rows import read_named_rows
from tunescope.verbs.repair.records import PROMPTS, TEXTS, RepairResult, RepairSummary
from tunescope.verbs.repair.repaired_rows import (
    NOT_NAMED,
    RepairedRow,
    apply_result,
    count_rows,
    counts_sentence,
    write_rows,
    write_tables,
)
from tunescope.verbs.repair.settings import RepairSettings
from tunescope.verbs.repair.work import read_pairs, repair_job
from tunescope.views import Cell, Table, View, counted, rejected_sentence

if TYPE_CHECKING:
    from tunescope.judgements.claims import Claim
    from tunescope.oracle.calls import Calls
    from tunescope.rows import RowSet

VERSION = 4
_NOBODY = "none"
"""The oracle that isn't asked."""
_CORRECTED = "corrected_response"
_SCHEMA = ReplySchema("corrected", (Field(_CORRECTED, "the new response alone"),))
_SHOWN_TRUTHS = 5
_REPLACE: Literal["answers"] = "answers"
"""What is replaced by default."""
_NO_TRUTH = "no truth:"
"""The reason of rows whose claim can't be corrected."""


@dataclass(frozen=True, kw_only=True)
class CorrectSettings(RepairSettings):
    """Have the rows that a run names rewritten so that they state the right fact."""

    from_: tuple[str, ...] = field(metadata=INPUT)
    """Runs whose tables name the rows by row_id, such as one of attribute."""

    where: str = "matters > 0"
    """Which rows of those tables to rewrite: those for which this condition holds in at least one line."""

    truth: str
    """What is right: a sentence, a text file, or claims (JSON lines with claim_id, prompt, phrases and truth). Rows of
    claims without a truth stay as they are."""

    replace: Literal["answers", "phrases", "never"] = _REPLACE
    """What to replace without a call, if claims give the truth: responses that are the wrong phrase and nothing else
    (answers), every wrong phrase where it occurs (phrases), or nothing (never)."""

    oracle: str = field(default=_NOBODY, metadata={**INPUT, "refuse": refuse_secrets})
    """The model to ask: a server's URL, local, local:GGUF or fake:FILE. With none, no calls are made and text is only
    replaced."""

    prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file with your own prompt. It must show instruction, response, truth and form, and input where rows have
    one. It may use system, wrong, and fence, a code that occurs in no text of the row."""


def correct(settings: CorrectSettings) -> Run:
    """Write the rows, the named ones corrected; `repairs` has claim_ids, wrong and how (replaced, rewritten) of each.

    A row whose claim is known is matched by its words, else by the question whose answer named it. A new response that
    still states the claim, or doesn't state the truth's words, doesn't replace the old one.

    Raises:
        As `work.repair_job`, and SettingsError if the truth is empty or no row is named.
    """
    from tunescope.rows import open_rows
    from tunescope.runs import open_runs

    sources = open_runs(settings.from_)
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    named = read_named_rows(sources, settings.where, (row.id for row in rows))
    truths, content = _read_truths(settings.truth)
    more = {str(run.path): run.identity for run in sources} | {"truth": content}
    repair = _Correct(settings, named, truths)
    if settings.oracle != _NOBODY:
        return runs.execute(*repair_job(settings, repair, more=more))
    if settings.plan:
        raise SettingsError("--plan with --oracle none: nothing is asked, so there is nothing to plan")
    work = partial(_replace_only, settings, repair, rows)
    return runs.execute(*RunJob(repair.name, VERSION, settings, {**rows.inputs, **repair.sources, **more}, work))


class _Truths(NamedTuple):
    """What is right: claims, some of which may have no truth, or one text for all rows."""

    text: str
    claims: tuple[Claim, ...]


def _read_truths(truth: str) -> tuple[_Truths, str]:
    """Read `--truth`; return it and its content.

    Raises:
        SettingsError: no text, or no claims.
        InputError: a file of claims that can't be read.
    """
    from tunescope.judgements.claims import read_claims

    path = Path(truth) if len(truth) < 4096 and "\n" not in truth else None
    if path is None or not path.is_file():
        result = _Truths(truth.strip(), ())
    elif path.suffix in (".jsonl", ".json"):
        wrong = [claim for claim in read_claims(path) if not claim.is_fact]
        if not wrong:
            raise SettingsError(f"--truth {truth}: found no claims; expected phrases and truth in each")
        result = _Truths("", tuple(wrong))
    else:
        try:
            result = _Truths(path.read_text("utf-8").strip(), ())
        except UnicodeDecodeError as error:
            raise SettingsError(f"--truth {truth}: found bytes that aren't UTF-8; expected text or claims") from error
    if not result.text and not result.claims:
        raise SettingsError("--truth is empty; expected a sentence, a text file or claims")
    return result, blake2b(repr(result).encode(), digest_size=16).hexdigest()


class _Plan(NamedTuple):
    """What is to be done about a row: a result, where it is clear without asking, or what to ask.

    Attributes:
        claims: those that it states, or the one whose question named it.
        wrong: the phrases that stand in it.
        truth: what is right instead.
    """

    result: RepairResult | None
    claims: tuple[Claim, ...] = ()
    wrong: tuple[str, ...] = ()
    truth: str = ""

    @property
    def columns(self) -> dict[str, Cell | Sequence[str]]:
        """The row's cells in the table `repairs`: its claims, and the phrases that stand in it."""
        return _columns(self.claims, self.wrong)


def _columns(claims: Sequence[Claim], wrong: Sequence[str]) -> dict[str, Cell | Sequence[str]]:
    return {"claim_ids": [claim.claim_id for claim in claims], "wrong": wrong}


def _kept(reason: str) -> _Plan:
    return _Plan(RepairResult(None, reason))


def _replace(text: str, claims: Sequence[Claim], whole: bool) -> tuple[str | None, str]:
    """Put the truths where the phrases of claims are stated, and say what was replaced; None where one still stands."""
    from tunescope.judgements.claims import replace_phrase, standing

    new, done = text, dict[str, tuple[str, ...]]()
    for claim in claims:
        for phrase in claim.phrases:
            if standing(new, (phrase,))[0] == "stated":
                replaced = replace_phrase(new, phrase, claim.truth[0], whole)
                new = new if replaced is None else replaced
                done[f"{phrase!r} by {claim.truth[0]!r}"] = claim.truth
    still = any(standing(new, claim.phrases)[0] == "stated" for claim in claims)
    if still or any(standing(new, truth)[0] != "stated" for truth in done.values()):
        return None, ""
    return new, ", ".join(done)


class _Correct:
    name = "repair correct"
    version = VERSION
    rewrites_instructions = False
    columns: Mapping[str, str] = {"claim_ids": TEXTS, "wrong": TEXTS, "how": "string"}

    def __init__(self, settings: CorrectSettings, named: Mapping[str, frozenset[str]], truths: _Truths) -> None:
        self.settings, self.named, self.truths = settings, named, truths
        takes = ("system", "instruction", "input", "response", "wrong", "truth", "fence", "form")
        self._asked_by = {
            question.prompt_id: claim.claim_id for claim in truths.claims for question in claim.questions()
        }
        must = ("instruction", "response", "truth", "form")
        self._prompt = read_template(PROMPTS / "correct.jinja", settings.prompt, takes, must, trials=[{"wrong": "x"}])

    @property
    def sources(self) -> dict[str, str]:
        return {self._prompt.name: self._prompt.hash}

    def plan(self, pair: InstructionPair) -> _Plan:
        """Return what is to be done about a row."""
        from tunescope.judgements.claims import standing

        if pair.row.id not in self.named:
            return _kept(f"{NOT_NAMED} the run doesn't name it")
        if not self.truths.claims:
            return _Plan(None, truth=self.truths.text)
        found = {claim.claim_id: standing(pair.response, claim.phrases) for claim in self.truths.claims}
        asked = {self._asked_by[prompt_id] for prompt_id in self.named[pair.row.id] if prompt_id in self._asked_by}
        in_order = sorted(self.truths.claims, key=lambda claim: claim.claim_id not in asked)
        stated = tuple(claim for claim in in_order if found[claim.claim_id][0] == "stated")
        denied = [phrase for state, phrase in found.values() if state == "denied"]
        if denied and not stated:
            return _kept(f"denied: it says that {denied[0]!r} is wrong")
        claims = stated or tuple(claim for claim in in_order if claim.claim_id in asked)[:1]
        if not claims:
            return _kept("no claim: it states none of the claims")
        without = [claim.claim_id for claim in claims if not claim.truth]
        if without:
            return _kept(f"{_NO_TRUTH} the claim {without[0]} has none")
        wrong = tuple(dict.fromkeys(phrase for claim in stated if (phrase := found[claim.claim_id][1])))
        if stated and self.settings.replace != "never":
            new, done = _replace(pair.response, stated, whole=self.settings.replace == "answers")
            if new is not None:
                columns = {**_columns(claims, wrong), "how": "replaced"}
                return _Plan(RepairResult(None, f"replaced: {done}", None, new, columns), claims, wrong)
        return _Plan(None, claims, wrong, "\n".join(f"{claim.prompt} {claim.truth[0]}" for claim in claims))

    def planned_requests(self, pair: InstructionPair) -> list[Request]:
        plan = self.plan(pair)
        return [] if plan.result is not None else [self._request(pair, plan)]

    def _request(self, pair: InstructionPair, plan: _Plan) -> Request:
        texts = pair.texts() | {"wrong": "\n".join(plan.wrong), "truth": plan.truth}
        render = partial(self._prompt.render_with, {**texts, "fence": pair.fence})
        return Request(_SCHEMA, render, tuple(texts.values()), estimate_tokens(pair.response))

    async def repair_row(self, pair: InstructionPair, calls: Calls) -> RepairResult:
        plan = self.plan(pair)
        if plan.result is not None:
            return plan.result
        return _read_reply(pair, plan, await calls.ask(self._request(pair, plan)))

    def summarize(self, results: Sequence[RepairResult], run: Path, rows: Path) -> RepairSummary:
        how = [each.columns.get("how") for each in results]
        replaced, rewritten = how.count("replaced"), how.count("rewritten")
        still = len(self.named) - replaced - rewritten
        by_claim: dict[str, list[int]] = {}
        for each in results:
            claim_ids = each.columns.get("claim_ids")
            for claim_id in claim_ids if isinstance(claim_ids, list) else ():
                counts = by_claim.setdefault(claim_id, [0, 0])
                counts[0] += 1
                counts[1] += each.columns.get("how") is not None
        lines = tuple((claim_id, n, corrected) for claim_id, (n, corrected) in by_claim.items())
        tables = (Table("By claim", ("claim", "named rows", "corrected"), lines),) if lines else ()
        sentence = (
            f"Of {counted(len(self.named), 'named row')} {replaced:,} {'was' if replaced == 1 else 'were'} replaced "
            f"without asking, {rewritten:,} rewritten, and {still:,} kept as {'it is' if still == 1 else 'they are'}."
        )
        result = {"named": len(self.named), "replaced": replaced, "rewritten": rewritten, "named_kept": still}
        without = [claim.claim_id for claim in self.truths.claims if not claim.truth]
        result["claims_without_truth"] = len(without)
        sentences = [sentence]
        if without:
            n_rows = sum(each.reason.startswith(_NO_TRUTH) for each in results)
            shown = ", ".join(without[:_SHOWN_TRUTHS]) + (", …" if len(without) > _SHOWN_TRUTHS else "")
            sentences.append(
                f"{counted(len(without), 'claim')} {'has' if len(without) == 1 else 'have'} no truth ({shown}), so "
                f"{counted(n_rows, 'row')} {'was' if n_rows == 1 else 'were'} kept."
            )
        return RepairSummary(result, tuple(sentences), tables, (f"tunescope tune {shlex.quote(str(rows))}",))


def _read_reply(pair: InstructionPair, plan: _Plan, parsed: ParsedReply) -> RepairResult:
    from tunescope.judgements.claims import standing

    columns = plan.columns
    if parsed.status != "ok":
        return RepairResult(parsed.status, f"{parsed.status}: {parsed.problem}", columns=columns)
    new, _ = without_preamble(parsed.texts[_CORRECTED])
    if pair.fence in new:
        return RepairResult("unparsed", "unparsed: the reply repeats a line of the prompt", columns=columns)
    if new.strip() == pair.response.strip():
        return RepairResult("ok", "unchanged: the reply is the old response", columns=columns)
    for claim in plan.claims:
        if (phrase := standing(new, claim.phrases)[1]) is not None:
            return RepairResult("ok", f"still wrong: the reply has {phrase!r}", columns=columns)
        if standing(new, claim.truth)[0] != "stated":
            return RepairResult("ok", f"not right: the reply doesn't state {claim.truth[0]!r}", columns=columns)
    columns["how"] = "rewritten"
    return RepairResult("ok", f"corrected: {', '.join(plan.wrong) or 'the response'}", response=new, columns=columns)


def _replace_only(settings: CorrectSettings, repair: _Correct, rows: RowSet, folder: RunFolder) -> Outcome:
    """Replace what needs no oracle; a row that needs one stays, with that reason."""
    from tunescope.rows import require_same_shape

    like = require_same_shape(rows.files, repair.name)
    all_rows, pairs, not_applicable = read_pairs(repair, rows, like)
    repaired = []
    for position, row in enumerate(all_rows):
        if position in not_applicable:
            repaired.append(RepairedRow(row, row, not_applicable[position]))
            continue
        plan = repair.plan(pairs[position])
        of_row = plan.result or RepairResult(None, "not asked: it needs an oracle", columns=plan.columns)
        repaired.append(apply_result(repair, like, pairs[position], of_row, ()))
    path = write_rows(folder, like, repaired)
    write_tables(settings, repair, folder, like, repaired, path)
    if rows.rejected:
        folder.records("rejected", (record.as_json() for record in rows.rejected))
    summary = repair.summarize([row.result for row in repaired], folder.path, path)
    result = {**count_rows(repaired), "rejected": len(rows.rejected), "files": {"rows": path.name}, **summary.result}
    sentences = [counts_sentence(repaired), *summary.sentences]
    sentences.append(f"Rows: {path}. The table repairs says what happened to each. No oracle was asked.")
    sentences += [rejected_sentence(len(rows.rejected))] if rows.rejected else []
    n_open = sum(row.result.reason.startswith("not asked") for row in repaired)
    steps = list(summary.next)
    if n_open:
        source = as_cli_args(settings.rows, settings.format, settings.columns, settings.on_bad)
        given = [word for name in settings.from_ for word in ("--from", name)]
        given += ["--where", settings.where, "--truth", settings.truth]
        given += ["--replace", settings.replace] if settings.replace != _REPLACE else []
        given += ["--prompt", settings.prompt] if settings.prompt is not None else []
        options = shlex.join([*given, "--oracle", "local"])
        steps = [f"tunescope repair correct {source} {options}"]
    return Outcome(result, View(tuple(sentences), summary.tables, tuple(steps), before_and_after(repaired)))
