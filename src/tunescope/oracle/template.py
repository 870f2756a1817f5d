"""Prompts: Jinja files, ours or the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tunescope.errors import SettingsError


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A prompt before a row is put into it.

    Attributes:
        name: ours, or the user's file.
        hash: of its text, for the run's key and the lineage.
        takes: the names that it may use.
    """

    name: str
    hash: str
    takes: tuple[str, ...]
    _template: Any

    def render(self, **values: Any) -> str:
        """Put a row into it.

        Raises:
            SettingsError: it fails on this row.
        """
        from jinja2 import TemplateError

        try:
            return str(self._template.render({name: values[name] for name in self.takes})).strip()
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise SettingsError(f"the prompt {self.name} can't be filled in: {error}") from error

    def render_with(self, values: Mapping[str, Any], form: str) -> str:
        """Put a row into it, and how the reply is to be written; raises as `render`."""
        return self.render(**values, form=form)


def read_template(
    ours: Path, file: str | None, takes: tuple[str, ...], must: tuple[str, ...] = (), option: str = "--prompt"
) -> PromptTemplate:
    """Read the user's file, or the file of ours where there is none.

    Raises:
        SettingsError: no such file, not Jinja, a name that nothing fills in, or one missing that it `must` use.
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
    lacking = [word for word in must if word not in used]
    if lacking:
        raise SettingsError(
            f"{option} {name} doesn't use {', '.join(lacking)}; what stands there says how the reply is to be written, "
            f"and only so can it be read: put {{{{ {lacking[0]} }}}} into the prompt, at its end as a rule"
        )
    if not used <= set(takes):
        raise SettingsError(
            f"{option} {name} uses {', '.join(sorted(used - set(takes)))}; what can be filled in is {', '.join(takes)}"
        )
    return PromptTemplate(name, blake2b(text.encode(), digest_size=8).hexdigest(), takes, template)
