"""`check --masks`: which tokens a chat template has supervised, on trial conversations, and what is wrong with that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING

from tunescope import runs
from tunescope.errors import UsageError
from tunescope.results.check import MaskedTrial, MaskResult
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.verbs.check.settings import CheckSettings
from tunescope.views import Marked, Table, View, counted

if TYPE_CHECKING:
    from tunescope.chat.masks import MaskedTemplate, TrialMask

VERSION = 1


def check_masks(settings: CheckSettings) -> Run:
    """Check what a template has supervised; return the run, whose result is a `MaskResult`.

    Raises:
        UsageError: neither a model nor a template is named, or rows are.
        SettingsError: no such template, or a model without one.
        TunescopeError: no such model.
        MissingPackageError: transformers isn't installed.
    """
    if settings.rows or not (settings.model or settings.template):
        raise UsageError("--masks looks at a template alone; type it with --model or --template, and without rows")
    masked = _open(settings)
    parts = (masked.template, repr(masked.chat.tokenizer), str(sorted(masked.chat.stop_ids)))
    content = blake2b("\0".join((*parts, settings.supervise)).encode(), digest_size=16).hexdigest()
    name = settings.template or str(settings.model)
    return runs.execute("check masks", VERSION, settings, {name: content}, partial(_work, settings, masked, name))


def _open(settings: CheckSettings) -> MaskedTemplate:
    """Return the template with the model's tokenizer and stop ids, or with a stand-in's."""
    from tunescope.chat import Chat, parse_template_args
    from tunescope.chat.masks import MaskedTemplate, without_model
    from tunescope.models import load_tokenizer, silence_libraries

    args = parse_template_args(settings.template_arg)
    with silence_libraries():
        if settings.model is None:
            return without_model(str(settings.template), args)
        tokenizer, stop_ids = load_tokenizer(settings.model)
        return MaskedTemplate(Chat(tokenizer, stop_ids, settings.template, args))


def _work(settings: CheckSettings, masked: MaskedTemplate, name: str, folder: RunFolder) -> Outcome:
    from tunescope.chat.masks import MEANINGS, try_masks
    from tunescope.models import silence_libraries

    with silence_libraries():
        masks = try_masks(masked, settings.supervise)
    faults = Counter(fault for mask in masks for fault in set(mask.faults))
    trials = tuple(
        MaskedTrial(
            name=mask.trial.name,
            tokens=sum(stretch.tokens for stretch in mask.stretches),
            supervised=sum(stretch.tokens for stretch in mask.stretches if stretch.is_supervised),
            refusal=mask.refusal or None,
        )
        for mask in masks
    )
    result = MaskResult(
        template=name, supervise=settings.supervise, trials=trials, faults={name: faults[name] for name in MEANINGS}
    )
    return Outcome(result.as_json(), _view(result, masks))


def _view(result: MaskResult, masks: Sequence[TrialMask]) -> View:
    from tunescope.chat.masks import MEANINGS

    lines = tuple((fault, count, MEANINGS[fault]) for fault, count in result.faults.items() if count)
    tables = (Table("Faults", ("fault", "trials", "meaning"), lines),) if lines else ()
    return View(tuple(_sentences(result)), tables, texts=tuple(_marked(mask) for mask in masks if mask.stretches))


def _sentences(result: MaskResult) -> Iterator[str]:
    done = [trial for trial in result.trials if not trial.refusal]
    tokens, supervised = sum(trial.tokens for trial in done), sum(trial.supervised for trial in done)
    marks = "a trainer that goes by the generation marks"
    who = {"marked": marks, "all": "a trainer of every token", "tune": "tune"}
    yield (
        f"{result.template}: {who[result.supervise]} supervises {supervised:,} of {tokens:,} tokens in "
        f"{counted(len(done), 'trial conversation')}. What is supervised is underlined."
    )
    kinds = sum(count > 0 for count in result.faults.values())
    yield f"{counted(kinds, 'kind')} of fault." if kinds else "No fault was found."
    for trial in result.trials:
        if trial.refusal:
            yield f"{trial.name[0].upper()}{trial.name[1:]} wasn't tried: {trial.refusal}."
    if result.faults["nothing_supervised"]:
        yield "A trainer that goes by these marks learns nothing. tunescope tune finds the answers without them."


def _marked(mask: TrialMask) -> Marked:
    """Return a trial's rendering with what is supervised marked."""
    marks, place = [], 0
    for stretch in mask.stretches:
        if stretch.is_supervised:
            marks.append((place, place + len(stretch.text)))
        place += len(stretch.text)
    faults = f" ({', '.join(mask.faults)})" if mask.faults else ""
    return Marked(f"{mask.trial.name}{faults}", "".join(stretch.text for stretch in mask.stretches), tuple(marks))
