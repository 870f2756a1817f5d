"""Prompts: Jinja files, ours or the user's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tunescope.errors import SettingsError
from tunescope.oracle.nonces import make_nonces

_FORM = "form"
_ONLY_SOME_ROWS: tuple[Mapping[str, str], ...] = ({}, {"system": "", "input": ""})
"""Texts that only some rows have."""


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A prompt before a row is put into it.

    Attributes:
        name: ours, or the user's file.
        hash: of its text, for the run's key and the lineage.
        takes: the names that it may use.
        uses: those that it does use.
    """

    name: str
    hash: str
    takes: tuple[str, ...]
    uses: frozenset[str]
    _template: Any

    def render(self, **values: Any) -> str:
        """Put a row into it.

        Raises:
            SettingsError: it fails on this row, or has no place for the row's input.
        """
        from jinja2 import TemplateError

        if values.get("input") and "input" in self.takes and "input" not in self.uses:
            raise SettingsError(
                f"the prompt {self.name} doesn't use input, and a row has one, which the oracle has to see; put "
                "{{ input }} into the prompt"
            )
        try:
            return str(self._template.render({name: values[name] for name in self.uses})).strip()
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, NameError, RecursionError) as error:
            raise SettingsError(f"the prompt {self.name} can't be filled in: {error}") from error

    def render_with(self, values: Mapping[str, Any], form: str) -> str:
        """Put a row into it, and how the reply is to be written; raises as `render`.

        Where the values have no `fence`, it is a code that occurs in none of the values that are texts.
        """
        if "fence" in self.uses and "fence" not in values:
            texts = (value for value in values.values() if isinstance(value, str))
            values = {**values, "fence": make_nonces(*texts).delimiter}
        return self.render(**values, form=form)


def read_template(
    ours: Path,
    file: str | None,
    takes: tuple[str, ...],
    must: tuple[str, ...],
    option: str = "--prompt",
    trials: Sequence[Mapping[str, Any]] = (),
) -> PromptTemplate:
    """Read the user's file, or the file of ours where there is none.

    Args:
        ours: our file.
        file: the user's.
        takes: the names that it may use.
        must: the texts that it must show.
        option: the user's file's, for errors.
        trials: values of names that aren't texts; with each the prompt is filled in, to see that it shows the texts.

    Raises:
        SettingsError: no such file, not Jinja, a name that nothing fills in, or a text that it doesn't show.
    """
    from jinja2 import StrictUndefined, TemplateSyntaxError, meta
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    path = ours if file is None else Path(file)
    name = file or ours.name
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{option} {name}: {error}; expected a Jinja file in UTF-8") from error
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    try:
        used = meta.find_undeclared_variables(environment.parse(text))
        template = environment.from_string(text)
    except TemplateSyntaxError as error:
        raise SettingsError(f"{option} {name}:{error.lineno}: {error.message}; expected a Jinja template") from error
    except (ValueError, RecursionError, MemoryError) as error:  # 5,000 digits, 1,000 brackets
        raise SettingsError(f"{option} {name}: {error}; expected a Jinja template") from error
    if not used <= set(takes):
        raise SettingsError(
            f"{option} {name} uses {', '.join(sorted(used - set(takes)))}; what can be filled in is {', '.join(takes)}"
        )
    digest = blake2b(text.encode(), digest_size=8).hexdigest()
    prompt = PromptTemplate(name, digest, takes, frozenset(used), template)
    lacking = [word for word in must if word not in used]
    hidden = [] if lacking else list(dict.fromkeys(_not_shown(prompt, must, trials)))
    if lacking or hidden:
        what = f"doesn't use {', '.join(lacking)}" if lacking else f"doesn't show {', '.join(hidden)} in every case"
        raise SettingsError(f"{option} {name} {what}; {_advise(lacking or hidden)}")
    return prompt


def _advise(words: Sequence[str]) -> str:
    """Say why a prompt must show these texts, and what to do."""
    reasons = ["the oracle has to see the row"] if {*words} - {_FORM} else []
    if _FORM in words:
        reasons.append("form says how to write a reply that can be parsed")
    places = " and ".join(f"{{{{ {word} }}}}" for word in words)
    return f"{', and '.join(reasons)}: put {places} into the prompt, outside of any condition"


def _not_shown(prompt: PromptTemplate, must: tuple[str, ...], trials: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Fill a prompt in with texts that can be told from all others; yield the names of those that aren't shown."""
    texts = {name: f"{name.replace('_', '')}x{number}x" for number, name in enumerate(prompt.takes)}
    for trial in trials:
        for row in _ONLY_SOME_ROWS:
            try:
                shown = prompt.render(**{**texts, **row, **trial}).lower()
            except SettingsError:  # it takes the row's texts apart: only real ones can tell
                continue
            yield from (name for name in must if texts[name] not in shown)
