"""Pages: templates in which every text is escaped, whatever it is."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from tunescope.foreign import escape_sentence, escape_text, replace_steering

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def fill_template(package: str, template: str, **values: Any) -> str:
    """Fill a template that lies in a package.

    A text is escaped as part of a sentence of ours. `| plain` is for places where no element may stand, `| own` for
    texts that aren't part of a sentence, `| exact` for such whose characters a script counts: a badge is one.
    """
    return _environment(package).get_template(template).render(values)


def json_in_html(data: str) -> Markup:
    """Write JSON so that no text in it can end or open an element."""
    from markupsafe import Markup

    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    return Markup(data)


@cache
def _environment(package: str) -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup, escape

    def written(value: Any) -> Any:
        return Markup(escape_sentence(value)) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=FunctionLoader(lambda name: files(package).joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=written,
    )
    environment.filters |= {
        "plain": lambda text: escape(replace_steering(text)),
        "own": lambda text: Markup(escape_text(text)),
        "exact": lambda text: Markup(escape_text(text).replace("\r\n", "&#13;\n")),
        "trusted": Markup,
    }
    return environment
