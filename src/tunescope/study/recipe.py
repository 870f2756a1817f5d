"""Recipes: several verbs in a row, in YAML, cached and resumable.

    about: one sentence
    inputs: {rows: demo/rows.json}          # beside the recipe; `--set rows=FILE` replaces it
    values: {model: smollm2-135m}           # `--set model=MODEL` replaces it; a list is for `vary`
    defaults: {tune: {epochs: 2}}           # settings of every step with this verb
    steps:
      check: {verb: check, rows: "{rows}"}
      tune:
        verb: tune
        vary: {method: [lora, full]}        # one variant per value; several lists are crossed
        rows: "{rows}"
      answer: {verb: answer, model: "{tune}/model", prompts: "{prompts}"}
      page: {verb: report, runs: ["{check}", "{answer}"]}

`{name}` is an input's path, a value or a step's run folder. In a list, `{name}` of a varied step stands for all its
variants. Elsewhere the step that names it runs once per variant. A step that names several varied steps, or varies a
setting that they vary, combines the variants that agree on what they share (the same method, the same seed). There
are no conditions, expressions or templates. Write Python if you need those.

An input without a file (`pairs: null`) must be given with `--set`. One of several files
(`--set 'rows=[a.json, b.json]'`) is like a varied step: a list takes all of them, and elsewhere there is a variant for
each. A recipe with `like: NAME` has what the recipe NAME beside it has, but for its own `about`, and the inputs and
values that it names itself.

The one exception is a bounded loop:

      rounds:
        repeat:
          at_most: 3
          until: {no_claim_still_there: "{verdict}"}   # a test of `_TESTS`, and the run that it looks at
          steps:
            rows: {verb: select, rows: "{rows}", from: "{taught}", where: matters = 0}
            …

In a loop a step may have the name of an earlier step or input. From then on, and in the next round, the name means the
new run: above, each round selects from the rows that the round before kept.

A cell is a step with one choice of everything that varies. One that fails, or has open items, doesn't stop the
others. What needs it isn't run, and the study is open: the same command tries those cells again and goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

from yaml import YAMLError

from tunescope.errors import SettingsError
from tunescope.runs import Run
from tunescope.settings import make
from tunescope.verbs import VERBS
from tunescope.yaml_core import read_yaml

REFERENCE = re.compile(r"\{([\w-]+)\}")
"""A name in braces: an input, a value or an earlier step."""
_KEYS = {"about", "like", "inputs", "values", "defaults", "steps"}
_REPEAT_KEYS = {"steps", "until", "at_most"}
_TESTS: Mapping[str, str] = {"no_claim_still_there": "results.claims:no_claim_still_there"}
"""What a loop may wait for: functions of a run, as module:name below `tunescope`."""


@dataclass(frozen=True, slots=True)
class RecipeStep:
    """One entry under `steps`: a verb, its settings with references in them, and what varies."""

    name: str
    verb: str
    settings: Mapping[str, Any]
    vary: Mapping[str, tuple[Any, ...]]

    def references(self) -> set[str]:
        """Return the names this step refers to."""
        return set(references([self.settings, *self.vary.values()]))


@dataclass(frozen=True, slots=True)
class Repeat:
    """Steps that run again and again until a test holds for a run of theirs, `at_most` so many times."""

    name: str
    steps: tuple[RecipeStep, ...]
    test: str
    of: str
    at_most: int

    def is_over(self, looked_at: Iterable[Run]) -> bool:
        """Tell whether the test holds for each of the runs that it looks at."""
        module, _, name = _TESTS[self.test].partition(":")
        holds = getattr(import_module(f"tunescope.{module}"), name)
        return all(holds(run) for run in looked_at)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe that was read, and whose steps can run; `inputs` has the files of each."""

    text: str
    path: Path
    about: str
    inputs: Mapping[str, tuple[str, ...]]
    values: Mapping[str, Any]
    steps: tuple[RecipeStep | Repeat, ...]

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield every file of the inputs, each with the input's name."""
        for name, paths in self.inputs.items():
            yield from ((name, path) for path in paths)

    def all_steps(self) -> Iterator[RecipeStep]:
        """Yield every step, those of loops once."""
        for step in self.steps:
            yield from step.steps if isinstance(step, Repeat) else (step,)


def shipped() -> Path:
    """Return the folder of the recipes that come with tunescope."""
    inside = Path(__file__).parents[1] / "recipes"
    return _as_typed(inside if inside.is_dir() else Path(__file__).parents[3] / "recipes")


def _as_typed(path: Path) -> Path:
    """Return a path as a person in this folder would type it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def read(recipe: str, replacements: Sequence[str] = ()) -> Recipe:
    """Read a recipe by path or shipped name, and check that every step can run.

    Raises:
        SettingsError: one report of all that is wrong: unknown words, verbs, settings or
            references, or a missing input.
    """
    path = Path(recipe)
    if not path.is_file():
        path = shipped() / f"{recipe}.yaml"
    if not path.is_file():
        names = sorted(p.stem for p in shipped().glob("*.yaml"))
        raise SettingsError(f"{recipe}: no such recipe file; {_near(recipe, names)}shipped are {', '.join(names)}")
    text, document = _load(path)
    if not isinstance(document, dict) or not isinstance(document.get("steps"), dict) or not document["steps"]:
        raise SettingsError(f"{path}: expected `steps` with at least one step")
    problems = [_unknown_word(key) for key in document if key not in _KEYS]
    values = _values(document.get("values") or {}, replacements, problems)
    of_inputs = [entry for entry in replacements if entry.partition("=")[0] not in values]
    inputs = _inputs(path, document.get("inputs") or {}, of_inputs, [*values], problems)
    problems += [f"value {name}: an input has the same name; rename one of them" for name in values if name in inputs]
    defaults = _defaults(_with_values(document.get("defaults") or {}, values), problems)
    steps: list[RecipeStep | Repeat] = []
    defined = {*inputs, *(document["inputs"] if isinstance(document.get("inputs"), dict) else ())}
    for name, body in _with_values(document["steps"], values).items():
        if isinstance(body, dict) and "repeat" in body:
            loop = _parse_repeat(str(name), body, defined, defaults, problems)
            steps += [] if loop is None else [loop]
            continue
        step = _parse_step(str(name), body, defined, defaults, problems)
        if step is not None:
            steps.append(step)
            defined.add(step.name)
    if problems:
        raise SettingsError("\n  ".join([f"{path}:", *dict.fromkeys(problems)]))
    return Recipe(text, path, str(document.get("about", "")), inputs, values, tuple(steps))


def _load(path: Path) -> tuple[str, Any]:
    """Return a recipe's text and content, with those of the recipe that it is like."""
    try:
        text = path.read_text("utf-8")
        document = read_yaml(text)
    except (YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{path}: found no YAML ({reason}); expected about, inputs and steps") from error
    like = document.get("like") if isinstance(document, dict) else None
    if like is None:
        return text, document
    other = path.with_name(f"{like}.yaml")
    if not isinstance(like, str) or not other.is_file() or other == path:
        raise SettingsError(f"{path}: like {like!r}: expected the name of another recipe beside it")
    if unfit := sorted({"steps", "defaults"} & document.keys()):
        raise SettingsError(f"{path}: `{unfit[0]}` beside `like`: expected about, inputs and values alone")
    its_text = other.read_text("utf-8")
    whole = _load(other)[1] if "like:" not in its_text else None
    if not isinstance(whole, dict):
        raise SettingsError(f"{path}: like {like!r}: expected a recipe with steps of its own")
    for part in ("inputs", "values"):
        own, theirs = document.get(part) or {}, whole.get(part) or {}
        if not isinstance(own, dict) or not own.keys() <= theirs.keys():
            raise SettingsError(f"{path}: {part}: expected some of those of {other}: {', '.join(theirs) or 'none'}")
        whole = {**whole, part: {**theirs, **own}}
    return f"{text}\n{its_text}", {**document, **whole, "about": document.get("about", whole.get("about"))}


def _unknown_word(key: Any) -> str:
    return f"unknown word {key!r}; {_near(key, _KEYS) or 'there is ' + ', '.join(sorted(_KEYS))}".rstrip()


def _near(name: Any, names: Iterable[str]) -> str:
    """Return a question with the name that was perhaps meant, and a space; nothing where none is near."""
    near = get_close_matches(str(name), names, 1)
    return f"did you mean {near[0]}? " if near else ""


def _values(declared: Any, replacements: Sequence[str], problems: list[str]) -> dict[str, Any]:
    """Read the values that steps name; a replacement is read as YAML is."""
    if not isinstance(declared, dict) or not all(map(_is_value, declared.values())):
        problems.append("expected `values:` with a number, a text, null or a list of these per name")
        return {}
    values = {str(name): value for name, value in declared.items()}
    for name, equals, value in (entry.partition("=") for entry in replacements):
        if equals and name in values:
            read_value = read_yaml(value)
            if isinstance(values[name], list) and not isinstance(read_value, list):
                problems.append(f"--set {name}={value}: expected a list, such as [1, 2]")
                continue
            is_text = isinstance(read_value, dict | list) and not isinstance(values[name], list)
            values[name] = value if is_text else read_value
    return values


def _is_value(value: Any) -> bool:
    return not any(isinstance(each, dict | list) for each in _as_list(value))


def _with_values(node: Any, values: Mapping[str, Any]) -> Any:
    """Return a part of a recipe with its values in their places: of their own kind where they are all of a setting."""
    if isinstance(node, dict):
        return {key: _with_values(each, values) for key, each in node.items()}
    if isinstance(node, list):
        return [_with_values(each, values) for each in node]
    if not isinstance(node, str):
        return node
    whole = REFERENCE.fullmatch(node)
    if whole is not None and whole[1] in values:
        return values[whole[1]]
    return REFERENCE.sub(lambda match: str(values[match[1]]) if match[1] in values else match[0], node)


def _defaults(declared: Any, problems: list[str]) -> dict[str, Mapping[str, Any]]:
    """Read the settings that every step of a verb has, unless it has its own."""
    if not isinstance(declared, dict) or not all(isinstance(settings, dict) for settings in declared.values()):
        problems.append("expected `defaults:` with settings per verb")
        return {}
    unknown = [verb for verb in declared if verb not in [*VERBS]]
    problems += [f"defaults: there is no verb {verb}; {_near(verb, VERBS)}".rstrip("; ") for verb in unknown]
    return {verb: {_field_name(key): value for key, value in each.items()} for verb, each in declared.items()}


def _inputs(
    path: Path, declared: Any, replacements: Sequence[str], values: Sequence[str], problems: list[str]
) -> dict[str, tuple[str, ...]]:
    if not isinstance(declared, dict) or not all(map(_is_value, declared.values())):
        problems.append("expected `inputs:` with a file, or a list of files, per name")
        return {}
    replaced: dict[str, tuple[str, ...]] = {}
    for entry in replacements:
        name, equals, value = entry.partition("=")
        if not equals or name not in declared:
            problems.append(f"--set {entry}: {_what_can_be_set(name, [*declared, *values])}")
        elif value:
            replaced[name] = _files_of(value)
    missing = [name for name, value in declared.items() if value is None and name not in replaced]
    problems += [f"input {name}: this recipe needs a file of yours; add --set {name}=FILE" for name in missing]
    inputs = {
        name: replaced.get(name) or tuple(str(path.parent / str(file)) for file in _as_list(value))
        for name, value in declared.items()
        if name not in missing
    }
    inputs |= {name: () for name, files in replaced.items() if not files}
    for name, files in inputs.items():
        problems += [f"input {name}: no such file {file}" for file in files if not Path(file).exists()]
        problems += [f"input {name}: {file} is named twice" for file in _repeated(files)]
    return inputs


def _what_can_be_set(name: str, names: Sequence[str]) -> str:
    """Say what `--set` takes, and which name is near."""
    hint = "" if name in names else _near(name, names)
    return f"expected NAME=PATH or NAME=VALUE with NAME one of {', '.join(names) or 'none'}; {hint}".rstrip("; ")


def _files_of(value: str) -> tuple[str, ...]:
    """Return the files that `--set` names: one, or a list in brackets."""
    if not value.startswith("[") or Path(value).exists():
        return (value,)
    try:
        listed = read_yaml(value)
    except YAMLError:
        return (value,)
    return tuple(map(str, listed)) if isinstance(listed, list) else (value,)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _parse_repeat(
    name: str,
    body: Mapping[str, Any],
    defined: set[str],
    defaults: Mapping[str, Mapping[str, Any]],
    problems: list[str],
) -> Repeat | None:
    """Read a loop, and add the names of its steps to those defined."""
    loop = body["repeat"]
    if (
        len(body) > 1
        or not isinstance(loop, dict)
        or loop.keys() != _REPEAT_KEYS
        or not isinstance(loop["steps"], dict)
    ):
        problems.append(f"step {name}: expected `repeat:` alone, with at_most, until and steps")
        return None
    until, at_most = loop["until"], loop["at_most"]
    if not isinstance(at_most, int) or isinstance(at_most, bool) or at_most < 1:
        problems.append(f"step {name}: at_most {at_most!r}: expected a whole number, at least 1")
        return None
    bodies = loop["steps"].items()
    steps = [_parse_step(str(each), inner, defined, defaults, problems, in_loop=True) for each, inner in bodies]
    there = tuple(step for step in steps if step is not None)
    (test, looked_at), *others = [*until.items()] if isinstance(until, dict) and until else [(until, None)]
    match = REFERENCE.fullmatch(looked_at) if isinstance(looked_at, str) else None
    if others or test not in _TESTS or match is None or match[1] not in {step.name for step in there}:
        tests = " or ".join(f'{{{each}: "{{STEP}}"}}' for each in _TESTS)
        problems.append(f"step {name}: until {until!r}: expected {tests} with a step of the loop")
        return None
    return Repeat(name, there, test, match[1], at_most)


def _parse_step(
    name: str,
    body: Any,
    defined: set[str],
    defaults: Mapping[str, Mapping[str, Any]],
    problems: list[str],
    in_loop: bool = False,
) -> RecipeStep | None:
    """Read a step; in a loop its name may be taken, and is defined from then on."""
    verb = body.get("verb") if isinstance(body, dict) else None
    if verb not in [*VERBS]:
        hint = _near(verb, VERBS) if isinstance(verb, str) else ""
        problems.append(
            f"step {name}: there is no verb {verb}; {hint}".rstrip()
            if hint
            else f"step {name}: expected `verb:` with one of {', '.join(VERBS)}"
        )
        return None
    settings_class = VERBS[body["verb"]].settings_class()
    if all(f.name != "out" for f in fields(settings_class)):
        problems.append(f"step {name}: {body['verb']} has no run folder, so it can't be a step")
        return None
    if name in defined and not in_loop:
        problems.append(f"step {name}: an input has the same name; rename one of them")
    names = {f.name for f in fields(settings_class)}
    unknown = [key for key in body if key not in ("verb", "vary") and _field_name(key) not in names]
    misspelled = {key: hint for key in unknown if (hint := _near(key, ("verb", "vary")))}
    problems += [f"step {name}: {key}: no such setting; {hint}".rstrip() for key, hint in misspelled.items()]
    verbatim = {f.name for f in fields(settings_class) if f.metadata.get("verbatim")}
    settings = {_field_name(key): value for key, value in body.items() if key not in ("verb", "vary", *misspelled)}
    varying = map(_field_name, body["vary"]) if isinstance(body.get("vary"), dict) else ()
    settings = _without(defaults.get(verb, {}), {*varying}) | settings
    settings = {key: Verbatim(value) if key in verbatim else value for key, value in settings.items()}
    vary = body.get("vary") or {}
    if not isinstance(vary, dict) or not all(isinstance(values, list) and values for values in vary.values()):
        problems.append(f"step {name}: expected `vary:` with a list per setting")
        return None
    varied = {_field_name(key): tuple(values) for key, values in vary.items()}
    step = RecipeStep(name, body["verb"], settings, varied)
    problems += [
        f"step {name}: {key} is given twice"
        for key in _repeated([*map(_field_name, [*body, *vary])])
        if key not in varied
    ]
    problems += [f"step {name}: {key} is set, and varied" for key in varied if key in settings]
    for key, choices in varied.items():
        twice = [value for number, value in enumerate(choices) if value in choices[:number]]
        problems += [f"step {name}: {key} has {value!r} twice; name each value once" for value in twice]
    problems += [
        f"step {name}: {{{reference}}} is neither an input nor an earlier step"
        for reference in sorted(step.references() - defined)
    ]
    for values in product(*step.vary.values()):
        try:
            make(settings_class, {**settings, **dict(zip(step.vary, values, strict=True))})
        except SettingsError as error:
            problems.append(f"step {name}: {error}")
    if in_loop:
        defined.add(name)
    return step


def _without(settings: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in names}


def _field_name(key: Any) -> str:
    """Return a setting's name, which may be typed as on the command line: learning-rate."""
    return str(key).replace("-", "_")


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


class Verbatim(str):
    """A setting whose {words} belong to the verb. They aren't references."""


def references(value: Any) -> Iterator[str]:
    """Yield the names in braces in a setting."""
    for text in texts(value):
        if not isinstance(text, Verbatim):
            yield from REFERENCE.findall(text)


def texts(value: Any) -> Iterator[str]:
    """Yield the texts in a step's settings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)
