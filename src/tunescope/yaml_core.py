"""YAML as version 1.2 has it: `1e-4` is a number, `on` and `no` are text, and a key stands once.

PyYAML reads version 1.1, where the rate `1e-4` is text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml


def read_yaml(text: str) -> Any:
    """Return what a YAML text holds.

    Raises:
        yaml.YAMLError: no YAML, a key that stands twice, or what no value can be made of.
    """
    try:
        return yaml.load(text, _CoreLoader)
    except (ValueError, TypeError, RecursionError) as error:  # 5,000 digits, a list as a key, 1,000 lists in each other
        raise yaml.YAMLError(str(error)) from error


_MERGE = "tag:yaml.org,2002:merge"


class _CoreLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice. PyYAML would silently drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping, or refuse a repeated key."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGE]
        repeated = [key for number, key in enumerate(keys) if key in keys[:number]]
        if repeated:
            raise yaml.constructor.ConstructorError(None, None, f"{repeated[0]!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        """Read 10, 0x1f or 0o17; a leading 0 means nothing."""
        digits = str(self.construct_scalar(node))
        return int(digits, 0) if digits[:2] in ("0x", "0o") else int(digits)


_CORE_SCHEMA = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
    "merge": (r"<<", ["<"]),
}
"""Plain scalars that aren't text, by their first characters (YAML 1.2.2, section 10.3.2)."""
_CoreLoader.yaml_implicit_resolvers = {}
for _tag, (_pattern, _first) in _CORE_SCHEMA.items():
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)
_CoreLoader.add_constructor("tag:yaml.org,2002:int", _CoreLoader.construct_integer)
