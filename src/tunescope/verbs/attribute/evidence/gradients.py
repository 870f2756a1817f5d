"""Gradients: `states`, which rows say what the answer says to the base, and `effect`, what leaving them out takes.

Rows and answers are tokenised and masked as `tune` does. Each is a gradient of its summed loss, sketched
(`models.gradients`); a row's score for an answer is their product under the rows' damped Fisher matrix
(`models.influence`): under the base alone (`states`), and under base and tuned model together (`effect`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunescope import runs
from tunescope.errors import SettingsError, TunescopeError
from tunescope.models.settings import ModelSettings, with_model
from tunescope.models.tuning_notes import TuningNotes, read_tuning_notes
from tunescope.progress import say
from tunescope.results.attribute import SketchedRows
from tunescope.results.tune import TunedRows, TuneSetup
from tunescope.rows import Message, Row, RowSet
from tunescope.runs import Outcome, Run, RunFolder, producing_run
from tunescope.settings import EngineSettings, RowsSettings
from tunescope.verbs.attribute.evidence import AttributionRequest, Prepared
from tunescope.verbs.attribute.row_index import sample_pairs
from tunescope.verbs.attribute.settings import AttributeIndexSettings, AttributeSettings
from tunescope.verbs.attribute.spans import Spans
from tunescope.views import View, counted

if TYPE_CHECKING:
    from tunescope.answers import Answer
    from tunescope.chat import Chat
    from tunescope.models.gradients import GradientSketcher
    from tunescope.models.training_rows import TrainingSequence

VERSION = 2
_RANK = 16
"""Of the adapter whose gradient is taken."""
DAMPING = 1.0
"""λ: the damping, in mean squared lengths of the rows' gradients."""
_ROWS_PER_SHARD = 16
_STANDING = "standing"
_MAX_LENGTH = 1024
"""Tokens of a row where no tune run says otherwise: the default of `tune`."""


@dataclass(frozen=True, kw_only=True)
class GradientSettings(EngineSettings, ModelSettings, RowsSettings):
    """What the sketched gradients of rows depend on."""

    width: int = 8192
    """Numbers of a sketch."""

    layers: str = "top_third"
    """Layers whose gradients are taken."""

    seed: int = 0
    """Of what is drawn."""

    max_length: int = _MAX_LENGTH
    """Tokens from which on rows are cut."""

    out: str | None = runs.out_field()
    """The run folder."""


@dataclass(frozen=True)
class GradientModels:
    """Which models' gradients are compared.

    Attributes:
        base: how the base's gradients are taken.
        tuned: how the tuned model's are; None without one.
    """

    base: GradientSettings
    tuned: GradientSettings | None = None


def choose_models(
    settings: AttributeSettings | AttributeIndexSettings, tuned: str | None, rows: RowSet
) -> GradientModels:
    """Return which models are compared, and how rows become tokens: as the tune run says, where there is one.

    Raises:
        SettingsError: no base is known, another one is named, or the rows aren't those that the model was tuned on.
    """
    base = settings.base
    run = producing_run(tuned) if tuned is not None else None
    setup = TuneSetup.read_settings(run) if run is not None and run.verb == "tune" else None
    if tuned is not None:
        from tunescope.models.bases import find_base

        named = None if base is None else with_model(settings, base, settings.revision)
        base = find_base(named, with_model(settings, tuned, None), strict=True).name
        if setup is not None and run is not None:
            _validate_rows(tuned, run, setup, rows)
    assert base is not None
    template, arguments = settings.template, settings.template_arg
    if setup is not None and template is None:
        template, arguments = setup.template, arguments or setup.template_arg
    if template is None and setup is None and tuned is not None:
        template = _template_of(tuned, base)
    noted = _noted_length(tuned, settings.max_length) if tuned is not None and setup is None else None
    of_base = GradientSettings(
        **{f: getattr(settings, f) for f in ("rows", "format", "columns", "on_bad", "dtype", "device_map", "load")},
        model=base,
        revision=settings.revision if base == settings.base else None,
        trust_remote_code=settings.trust_remote_code,
        template=template,
        template_arg=arguments,
        width=settings.sketch,
        layers=settings.layers,
        seed=settings.seed,
        max_length=settings.max_length or (setup.max_length if setup is not None else noted) or _MAX_LENGTH,
        engine=settings.engine,
        workers=settings.workers,
    )
    return GradientModels(of_base, None if tuned is None else replace(of_base, model=tuned, revision=None))


def _template_of(tuned: str, base: str) -> str | None:
    """Return a file with the tuned model's own chat template; None where it has none, or the base's."""
    from tunescope.chat import read_template
    from tunescope.models.load import load_tokenizer

    texts = []
    for name in (tuned, base):
        tokenizer, _ = load_tokenizer(name)
        texts.append(read_template(tokenizer, None) if tokenizer.chat_template else None)
    if texts[0] is None or texts[0] == texts[1]:
        return None
    folder = runs.root() / "inputs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"template-{blake2b(texts[0].encode(), digest_size=6).hexdigest()}.jinja"
    if not path.is_file():
        path.write_text(texts[0], "utf-8")
    return str(path)


def _noted_length(tuned: str, typed: int | None) -> int | None:
    """Return where another tool cut its rows, as its folder says; what differs or isn't known is told to the user."""
    from tunescope.models.load import local_folder

    folder = local_folder(tuned)
    notes = TuningNotes() if folder is None else read_tuning_notes(folder)
    if notes.trains_prompts:
        say(f"{tuned} was trained on its prompts too; the gradients here are those of the answers alone")
    if notes.max_length is None and typed is None:
        say(f"{tuned} doesn't say where its rows were cut: {_MAX_LENGTH:,} tokens are taken; else type --max-length")
    return notes.max_length


def _validate_rows(tuned: str, run: Run, setup: TuneSetup, rows: RowSet) -> None:
    """Refuse rows that the model wasn't tuned on: other files, with a row that isn't among those of its run."""
    known = {hashed for name, hashed in run.info["inputs"].items() if not name.startswith("model ")}
    others = [name for name, hashed in rows.inputs.items() if hashed not in known]
    if not others:
        return
    trained = {*TunedRows.read(run).row_id} if TunedRows.NAME in run.tables else set()
    if not all(row.id in trained for row in rows):
        raise SettingsError(
            f"{tuned} wasn't tuned on {', '.join(others)} as it is now; expected the rows of its run: --rows "
            f"{' '.join(setup.rows)}"
        )


def prepare(request: AttributionRequest) -> Prepared:
    """Open the rows' sketched gradients, or take them."""
    settings = request.settings
    if settings.base is None and settings.tuned is None:
        return Prepared(
            None,
            left_out={
                "states": "no model is given; type --base MODEL",
                "effect": "no tuned model is given; type --tuned MODEL",
            },
        )
    models = choose_models(settings, settings.tuned, request.rows)
    opened = [
        open_sketches(each, request.rows, request.candidates)
        for each in (models.base, models.tuned)
        if each is not None
    ]
    left_out = {} if models.tuned else {"effect": "no tuned model is given; type --tuned MODEL"}
    inputs = {f"gradients {run.path}": run.key for run in opened}
    return Prepared(partial(_Gradients, request, models, opened), inputs, left_out)


def find_sketches(settings: GradientSettings, rows: RowSet, candidates: NDArray[np.int64] | None = None) -> Run | None:
    """Return the run with the sketched gradients of all rows under a model, or of the candidates; None without one."""
    found = runs.find_finished("attribute gradients", VERSION, settings, _inputs(settings, rows, None))
    if found is not None or candidates is None:
        return found
    return runs.find_finished("attribute gradients", VERSION, settings, _inputs(settings, rows, candidates))


def open_sketches(settings: GradientSettings, rows: RowSet, candidates: NDArray[np.int64] | None) -> Run:
    """Return the run with the sketched gradients of all rows under a model; take the candidates' if there is none."""
    from tunescope.models.load import device_of

    inputs = _inputs(settings, rows, candidates)
    finished = find_sketches(settings, rows, candidates)
    if finished is not None:
        return finished
    work = partial(_sketch_rows, settings, rows, candidates)
    return runs.execute("attribute gradients", VERSION, settings, inputs, work, device_of(settings))


def _inputs(settings: GradientSettings, rows: RowSet, candidates: NDArray[np.int64] | None) -> dict[str, str]:
    """Return what the sketches are made from: rows, model, template, and which rows."""
    from tunescope.models import inputs_of
    from tunescope.rows.containers import content_hash

    inputs = {**rows.inputs, **inputs_of(settings)}
    if settings.template is not None and Path(settings.template).is_file():
        inputs["template"] = content_hash(Path(settings.template))
    if candidates is not None:
        inputs["candidates"] = blake2b(candidates.tobytes(), digest_size=16).hexdigest()
    return inputs


@dataclass(frozen=True)
class GradientState:
    """What a process needs to take gradients."""

    chat: Chat
    sketcher: GradientSketcher
    max_length: int


def set_up(settings: GradientSettings) -> GradientState:
    """Load the model, and what makes its sequences."""
    from tunescope.chat import Chat, parse_template_args
    from tunescope.models import load, stop_ids
    from tunescope.models.generate import context_of
    from tunescope.models.gradients import GradientSketcher

    loaded = load(settings)
    arguments = parse_template_args(settings.template_arg)
    chat = Chat(loaded.tokenizer, stop_ids(loaded.model, loaded.tokenizer), settings.template, arguments)
    sketcher = GradientSketcher(loaded.model, _RANK, settings.width, settings.seed, settings.layers)  # type: ignore[arg-type]
    limit = context_of(loaded.model)
    return GradientState(chat, sketcher, min(settings.max_length, limit or settings.max_length))


def _sketch_rows(
    settings: GradientSettings, all_rows: RowSet, candidates: NDArray[np.int64] | None, folder: RunFolder
) -> Outcome:
    """Write the sketches of all rows, or of the candidates."""
    from tunescope.engine import map_shards

    wanted = None if candidates is None else set(candidates.tolist())
    rows = [row for number, row in enumerate(all_rows) if wanted is None or number in wanted]
    shards = [rows[start : start + _ROWS_PER_SHARD] for start in range(0, len(rows), _ROWS_PER_SHARD)]
    setup = partial(set_up, settings)
    label = f"shards of {_ROWS_PER_SHARD} rows ({settings.model})"
    parts = map_shards(sketch_shard, shards, setup, folder.scratch / "shards", settings, label)
    for name in ("sketches", "losses", "tokens"):
        folder.joined_array(name, [part / f"{name}.npy" for part in parts])
    tokens = np.load(folder.path / "tokens.npy")
    result = SketchedRows(
        rows=len(rows),
        untrained=int((tokens == 0).sum()),
        tokens=int(tokens.sum()),
        model=settings.model,
        layers=settings.layers,
        width=settings.width,
        seed=settings.seed,
    )
    if not result.tokens:
        raise TunescopeError(
            f"none of the {len(rows)} rows has a token that `tune` would train on ({', '.join(settings.rows)}), so "
            "there are no gradients to compare; give rows with answers, or type the command without a model"
        )
    sentence = (
        f"Gradients of {counted(len(rows), 'row')} under {settings.model}: {result.tokens:,} supervised tokens, "
        f"layers {settings.layers}, {settings.width:,} numbers a row, seed {settings.seed}. {result.untrained:,} have "
        "nothing to train on."
    )
    return Outcome(result.as_json(), View((sentence,)))


def sketch_shard(state: GradientState, rows: Sequence[Row], folder: Path) -> None:
    """Write the sketches of some rows, their summed losses, and how many tokens of each are supervised."""
    sketches, losses, tokens = [], [], []
    for sequences in _sequences(state, rows):
        made = state.sketcher.sketch_with_losses(sequences)
        sketches.append(made.gradients.sum(0, dtype=np.float32))
        losses.append(made.losses.sum())
        tokens.append(sum(sequence.n_supervised for sequence in sequences))
    np.save(folder / "sketches.npy", np.array(sketches, np.float32).reshape(len(rows), state.sketcher.width))
    np.save(folder / "losses.npy", np.array(losses, np.float64))
    np.save(folder / "tokens.npy", np.array(tokens, np.int64))


def _sequences(state: GradientState, rows: Sequence[Row]) -> list[list[TrainingSequence]]:
    """Return each row's sequences, as `tune` makes them."""
    from tunescope.models import silence_libraries
    from tunescope.models.training_rows import examples, training_sequences

    with silence_libraries():
        return [training_sequences(example) for example in examples(state.chat, rows, state.max_length)]


class _Gradients:
    """Fisher scores under the base, and under base and tuned model."""

    def __init__(self, request: AttributionRequest, models: GradientModels, sketched: Sequence[Run]) -> None:
        self._request, self._models, self._runs = request, models, sketched

    @cached_property
    def _scores(self) -> dict[str, NDArray[np.float64]]:
        """The scores of all rows for all answers, by kind, and `standing` [answers, rows]."""
        from tunescope.models.influence import effect_scores, fisher_cosines, fisher_scores
        from tunescope.stats.cuts import null_threshold

        request = self._request
        rows = [self._load(run, "sketches") for run in self._runs]
        trained = [self._load(run, "tokens") > 0 for run in self._runs]
        settings = [each for each in (self._models.base, self._models.tuned) if each is not None]
        answers = [_sketch_answers(each, request.answers, request.spans) for each in settings]
        base = fisher_scores(answers[0], rows[0], DAMPING)
        scores = {"states": base}
        if len(rows) == 2:
            scores["effect"] = effect_scores(answers, rows, DAMPING)
        queries, _ = sample_pairs(np.flatnonzero(trained[0]))
        null = fisher_cosines(rows[0][queries], rows[0], DAMPING)
        null[np.arange(len(queries)), queries] = np.nan
        threshold = null_threshold(null[:, trained[0]], int(trained[0].sum()), request.settings.by_chance)
        if threshold is not None:
            scores[_STANDING] = fisher_cosines(answers[0], rows[0], DAMPING) / threshold
        numbers = np.arange(len(request.index)) if request.candidates is None else request.candidates
        whole = {}
        for name, each in scores.items():
            all_rows = np.full((len(each), len(request.index)), np.nan)
            all_rows[:, numbers[trained[0]]] = each[:, trained[0]]
            all_rows[~np.any(answers[0], axis=1)] = np.nan
            whole[name] = all_rows
        return whole

    def _load(self, run: Run, name: str) -> NDArray[Any]:
        """Return what a run has of the candidates, which may be all rows or some of those that it has [candidates]."""
        of_rows: NDArray[Any] = np.load(run.path / f"{name}.npy", mmap_mode="r")
        numbers = self._request.candidates
        return of_rows if numbers is None or len(numbers) == len(of_rows) else of_rows[numbers]

    def scores(self, number: int) -> Mapping[str, NDArray[np.float64]]:
        """Return the scores of every row; NaN where it isn't trained on, or isn't a candidate [rows]."""
        return {name: each[number] for name, each in self._scores.items() if name != _STANDING}

    def standing(self, number: int) -> NDArray[np.float64] | None:
        """Return each row's cosine in the Fisher metric, under the base, over that of chance [rows]."""
        return self._scores[_STANDING][number] if _STANDING in self._scores else None


def _sketch_answers(settings: GradientSettings, answers: Sequence[Answer], spans: Spans) -> NDArray[np.float32]:
    """Return the sketched gradients of answers, of their stretches where there are some; 0 of an empty one.

    Raises:
        TunescopeError: all answers are longer than the model's context, or can't be rendered by the template.
    """
    from tunescope.models import silence_libraries
    from tunescope.models.training_rows import IGNORED, examples, training_sequences

    state = set_up(replace(settings, max_length=2**31))
    sketches = np.zeros((len(answers), settings.width), np.float32)
    unread: dict[str, str] = {}
    for number, answer in enumerate(answers):
        if not answer.text.strip():
            continue
        with silence_libraries():
            (example,) = examples(state.chat, [_as_row(answer)], state.max_length)
        if not example.parts or example.truncated:
            unread[answer.answer_id] = (
                f"{example.reason}; it has {example.n_tokens:,} tokens with its prompt, the model's context holds "
                f"{state.max_length:,}"
            )
            continue
        (sequence,) = training_sequences(example)
        if answer.answer_id in spans:
            keep = _tokens_of(state.chat.tokenizer, sequence, answer.text, spans[answer.answer_id])
            if keep is None:
                unread[answer.answer_id] = "its tokens don't spell its text, so a stretch of it can't be found"
                continue
            labels = [label if place in keep else IGNORED for place, label in enumerate(sequence.labels)]
            sequence = sequence._replace(labels=labels)
        sketches[number] = state.sketcher.sketch([sequence])[0]
    for answer_id, reason in unread.items():
        sentence = f"the answer {answer_id} can't be read by {settings.model} ({reason})"
        if len(unread) == sum(bool(answer.text.strip()) for answer in answers):
            raise TunescopeError(f"{sentence}; give a shorter answer, or leave the model out")
        say(f"{sentence}; it is attributed without gradients")
    return sketches


def _as_row(answer: Answer) -> Row:
    """Return an answer as a row of which it is the only supervised turn."""
    before = [replace(message, train=False) if message.role == "assistant" else message for message in answer.messages]
    said = replace(Message("assistant", answer.text), thinking=answer.thinking)
    return Row(answer.answer_id, answer.answer_id, (*before, said))


def _tokens_of(
    tokenizer: Any, sequence: TrainingSequence, text: str, spans: Sequence[tuple[int, int]]
) -> set[int] | None:
    """Return the places of the supervised tokens that overlap stretches of an answer; None if they don't spell it.

    A template may take the blanks off its ends. All tokens of a character that several make overlap where it does.
    """
    from tunescope.models.training_rows import IGNORED

    places = [place for place, label in enumerate(sequence.labels) if label != IGNORED]
    ids = [sequence.ids[place] for place in places]
    decoded = [
        tokenizer.decode(ids[:n], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for n in range(1, len(ids) + 1)
    ]
    found = decoded[-1].rfind(text.strip())  # words of the thinking may be the same
    if found < 0:
        return None
    offset = found - (len(text) - len(text.lstrip()))
    whole = [*(not each.endswith("\ufffd") for each in decoded[:-1]), True]
    kept, begin, tokens = set[int](), 0, list[int]()
    for place, so_far, is_whole in zip(places, decoded, whole, strict=True):
        tokens.append(place)
        if is_whole:
            end = max(begin, len(so_far))
            if any(begin - offset < stop and end - offset > start for start, stop in spans):
                kept |= {*tokens}
            begin, tokens = end, []
    return kept
