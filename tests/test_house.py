"""The house: which way imports point, what importing costs, and that every verb is there and explained."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

import tunescope
from tests.tools import ROOT
from tunescope.errors import InputError, UsageError
from tunescope.settings import help_of
from tunescope.verbs import GROUPS, VERBS

SOURCE = ROOT / "src"
STOREYS = (
    {"__main__"},
    {"cli", "study"},
    {"preflight"},
    {"verbs"},
    {
        "chat",
        "judgements",
        "annotations",
        "matching",
        "models",
        "oracle",
        "questions",
        "sandbox",
        "text",
        "engine",
        "compute_plan",
        "expressions",
        "gates",
        "stats",
        "microworld",
    },
    {"settings"},
    {"rows", "prompts", "answers", "runs", "results"},
    {"views", "terminal", "progress", "family", "pairing", "yaml_core", "html"},
    {"errors", "locations"},
    {"foreign"},
)
"""From who calls to what all stand on: a room may import from its own storey and those below it."""
HEAVY = {
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "pandas",
    "scipy",
    "rensa",
    "pyarrow",
    "numpy",
    "ftfy",
    "openai",
    "aiohttp",
    "numba",
    "bm25s",
    "pydivsufsort",
    "starlette",
    "uvicorn",
    "ray",
}


@cache
def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name."""
    found = {}
    for path in (SOURCE / "tunescope").rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


class Import(NamedTuple):
    """One import of ours: which module, and whether it happens while importing, in a function or for types alone."""

    target: str
    when: Literal["importing", "calling", "typing"]


@cache
def all_imports(name: str) -> tuple[Import, ...]:
    """Return what a module imports of ours, wherever in the file."""
    found: list[Import] = []

    def visit(node: ast.AST, when: Literal["importing", "calling", "typing"]) -> None:
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            targets = [each if each in modules() else str(node.module) for each in inner]
        found.extend(Import(target, when) for target in targets if target in modules() and target != name)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            when = "typing"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and when == "importing":
            when = "calling"
        for child in ast.iter_child_nodes(node):
            visit(child, when)

    visit(ast.parse(modules()[name].read_text("utf-8")), "importing")
    return tuple(found)


def imports(name: str) -> dict[str, bool]:
    """Return what a module imports when it runs: module → whether while it is itself imported."""
    run = [each for each in all_imports(name) if each.when != "typing"]
    return {each.target: Import(each.target, "importing") in run for each in run}


def room(name: str) -> str:
    """Return the room a module is in: the name under `tunescope`, or the root's own."""
    return name.split(".")[1] if "." in name else "tunescope"


def test_every_room_has_its_storey():
    known = set().union(*STOREYS)
    assert {room(name) for name in modules()} - known == {"tunescope"}
    assert sum(map(len, STOREYS)) == len(known)


def test_arrows_point_down():
    """`cli, study → verbs → what they stand on → what travels → errors`, also for imports inside functions."""
    height = {name: number for number, storey in enumerate(STOREYS) for name in storey}
    back = [
        f"{name} → {target}"
        for name in modules()
        for target in imports(name)
        if "tunescope" not in (room(name), room(target)) and height[room(target)] < height[room(name)]
    ]
    assert back == []


def test_no_verb_imports_another():
    def verb(name: str) -> str | None:
        parts = name.split(".")
        return parts[2] if parts[:2] == ["tunescope", "verbs"] and len(parts) > 2 else None

    crossing = [
        f"{name} → {target}"
        for name in modules()
        for target in imports(name)
        if verb(name) and verb(target) and verb(name) != verb(target)
    ]
    assert crossing == []
    assert [target for target in imports("tunescope.verbs") if verb(target)] == []


def circles(arrows: Mapping[str, Set[str]]) -> list[list[str]]:
    """Return the groups of names that reach each other."""
    reached: dict[str, set[str]] = {}
    for name in arrows:
        seen, todo = set[str](), [*arrows[name]]
        while todo:
            target = todo.pop()
            if target not in seen:
                seen.add(target)
                todo += arrows[target]
        reached[name] = seen
    groups = {frozenset(b for b in reached[a] if a in reached[b]) for a in arrows if a in reached[a]}
    return sorted(sorted(group) for group in groups)


def test_circles_are_seen():
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"f"}, "f": {"e"}}
    assert circles(arrows) == [["a", "b", "c"], ["e", "f"]]


def test_no_circle_while_importing():
    assert circles({name: {target for target, now in imports(name).items() if now} for name in modules()}) == []


def test_no_circle_of_imports_also_in_functions_and_for_types():
    assert circles({name: {each.target for each in all_imports(name)} for name in modules()}) == []


def definitions(name: str) -> Iterator[str]:
    """Yield the names that a module defines at its top level."""
    for node in ast.parse(modules()[name].read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


@pytest.mark.slow
def test_a_class_name_stands_once_in_the_package():
    places: dict[str, list[str]] = {}
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(name)
    assert {word: names for word, names in places.items() if len(names) > 1} == {}


def types_of_public_functions(name: str) -> set[str]:
    """Return the words in the annotations of a module's public functions, methods and fields."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            annotations = [node.returns, *(each.annotation for each in given)] if not node.name.startswith("_") else []
            found.update(word for each in annotations if each for word in re.findall(r"\w+", ast.unparse(each)))
            return
        if isinstance(node, ast.AnnAssign):
            found.update(re.findall(r"\w+", ast.unparse(node.annotation)))
        if not (isinstance(node, ast.ClassDef) and node.name.startswith("_")):
            for child in ast.iter_child_nodes(node):
                visit(child)

    visit(ast.parse(modules()[name].read_text("utf-8")))
    return found


def words(path: Path) -> set[str]:
    """Return the words of a file."""
    return set(re.findall(r"\w+", path.read_text("utf-8")))


@pytest.mark.slow
def test_a_public_name_is_used_outside_its_file():
    """What only its own file uses begins with an underscore.

    A family's members share the names of their contract; a type that a public function takes or returns is public too,
    and so is every exception in the tree of errors.py.
    """
    kinds = {".py", ".md", ".yaml", ".jinja", ".js"}
    outside = {
        word
        for folder in ("tests", "benchmarks", "tools", "docs", "recipes")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in kinds
        for word in words(path)
    }
    uses = Counter(word for path in modules().values() for word in words(path))
    contracts = set().union(*(needed for _, needed in FAMILIES))
    alone = [
        f"{name}.{word}"
        for name in modules()
        if name != "tunescope.errors"
        for word in definitions(name)
        if not word.startswith("_") and uses[word] == 1 and word not in outside
        if word not in contracts | types_of_public_functions(name)
    ]
    assert alone == []


def test_the_picture_in_contributing_is_the_house():
    """One storey a line, from who calls to errors; every room is in it, and no other name."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    picture = re.search(r"^```\n(cli.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert picture is not None
    lines = [re.split(r" {3,}", line.strip(" └─"))[0] for line in picture[1].splitlines()]
    drawn = [set(re.findall(r"\w+", re.sub(r"\.py|/", "", line))) for line in lines]
    assert drawn == [storey for storey in STOREYS if storey != {"__main__"}]


def test_the_walk_sees_imports():
    """A test of the test: arrows that are known to be there."""
    assert imports("tunescope.cli")["tunescope.verbs"] is True
    assert imports("tunescope.verbs.select")["tunescope.rows"] is False
    assert "tunescope.verbs.check.overlap" not in imports("tunescope.verbs.check.faults.refusal")
    assert imports("tunescope.verbs.check.shard")["tunescope.verbs.check.faults"] is True


def loaded(code: str) -> set[str]:
    """Return the heavy packages in sys.modules after running `code` in another process."""
    ending = f"\nimport sys\nprint(*({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code + ending],
        env={"PYTHONPATH": str(SOURCE), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


SETTINGS = sorted({module for verb in VERBS.values() for module in (verb.module, verb.settings_class().__module__)})


@pytest.mark.parametrize("module", ["tunescope", "tunescope.cli", "tunescope.verbs", *SETTINGS])
def test_importing_loads_nothing_heavy(module):
    assert loaded(f"import {module}") == set()


@pytest.mark.slow
def test_help_loads_nothing_heavy():
    code = "from tunescope import cli\nfor words in ({}): assert cli.run([*words.split(), '--help']) == 0"
    words = ", ".join(repr(name) for name, verb in VERBS.items() if verb.proven)
    assert loaded(code.format(f"'', {words},")) == set()


@pytest.mark.slow
def test_tracing_one_text_loads_no_compiler(tmp_path):
    """Its second of waiting is why the same loops run as Python; pyarrow and torch have nothing to do there."""
    rows = [{"instruction": f"{i}", "output": f"{i} and then some more words that rows have"} for i in range(30)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    trace = ["trace", "rows.json", "--text", "and then some more words"]
    code = f"import os; os.chdir({str(tmp_path)!r}); from tunescope import cli\nassert cli.run({{}}) == 0"
    assert loaded(code.format(["trace", "index", "rows.json"])) >= {"numba", "pydivsufsort"}
    assert loaded(code.format(trace)) == {"numpy"}


def test_importing_does_nothing(tmp_path):
    code = (
        "import os, logging, builtins\n"
        "before = dict(os.environ), logging.root.handlers[:], len(os.listdir('.'))\n"
        "import tunescope, tunescope.cli, tunescope.study\n"
        "assert before == (dict(os.environ), logging.root.handlers[:], len(os.listdir('.')))\n"
        "assert 'TUNESCOPE' not in ' '.join(os.environ)"
    )
    subprocess.run([sys.executable, "-B", "-c", code], env={"PYTHONPATH": str(SOURCE)}, cwd=tmp_path, check=True)


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_is_there_and_explained(name):
    verb = VERBS[name]
    settings, function = verb.settings_class(), verb.call()
    assert is_dataclass(settings)
    assert settings.__dataclass_params__.frozen
    assert all(field.kw_only for field in fields(settings))
    assert settings.__doc__.strip().endswith(".")
    assert function.__doc__
    assert verb.summary.endswith(".")
    for field in fields(settings):
        assert help_of(settings, field.name).endswith("."), field.name
    if " " in name:
        assert name.split()[0] in GROUPS


def test_a_field_without_a_sentence_is_an_error():
    with pytest.raises(KeyError, match=r"SelectSettings.nothing has no sentence under it"):
        help_of(VERBS["select"].settings_class(), "nothing")


PROVEN = [name for name, verb in VERBS.items() if verb.proven]


@pytest.mark.slow
def test_every_proven_verb_is_a_function_in_python_also_when_every_module_is_imported():
    """The room `models` and the verb of that name: the verb is what the package's attribute is."""
    for module in modules():
        if module != "tunescope.__main__":
            import_module(module)
    for name in PROVEN * 2:
        word = name.replace(" ", "_")
        function = getattr(tunescope, word)
        assert callable(function)
        assert function.__name__ == word
        assert word in dir(tunescope)
        declared = {field.name for field in fields(VERBS[name].settings_class())}
        assert set(function.__signature__.parameters) == declared


def test_models_can_be_called_twice(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNESCOPE_CACHE", str(tmp_path))
    assert tunescope.models().result == tunescope.models().result


def test_dir_shows_the_verbs_and_nothing_else():
    assert set(dir(tunescope)) == {"__version__", "open", *(name.replace(" ", "_") for name in PROVEN)}


def test_what_a_verb_works_on_can_be_given_by_position():
    assert list(signature(tunescope.compare).parameters)[:2] == ["a", "b"]
    with pytest.raises(InputError, match=r"no\.json: found no such file"):
        tunescope.check("no.json")
    with pytest.raises(TypeError, match=r"^check\(\) takes only rows by position; give the others by name$"):
        tunescope.check("a.json", "alpaca")
    with pytest.raises(TypeError, match=r"^models\(\) takes nothing by position"):
        tunescope.models("smollm2-135m")
    with pytest.raises(TypeError, match=r"^check\(\) got rows by position and by name$"):
        tunescope.check("a.json", rows="b.json")
    with pytest.raises(UsageError, match=r"^no rows are given; "):
        tunescope.check()


def test_unproven_verbs_are_not_in_python():
    for name, verb in VERBS.items():
        if not verb.proven:
            assert name not in dir(tunescope)
            with pytest.raises(AttributeError, match="has no attribute"):
                getattr(tunescope, name)


@pytest.mark.slow
def test_no_module_reads_the_environment_at_import():
    """Environment variables are read when they are needed, never while importing."""
    for name, path in modules().items():
        for node in ast.parse(path.read_text("utf-8")).body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                assert "environ" not in ast.unparse(node), f"{name} reads the environment while it is imported"


def test_one_file_imports_ray():
    importing = {
        name for name, path in modules().items() if re.search(r"^ *(import|from) ray\b", path.read_text("utf-8"), re.M)
    }
    assert importing == {"tunescope.engine.on_ray"}


def test_only_the_command_line_and_progress_talk():
    """What is printed elsewhere would go to streams that the caller didn't put a gate before."""
    talking = {
        name
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if ast.unparse(node) in ("print", "sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__")
    }
    assert talking == {"tunescope.cli", "tunescope.cli.gate", "tunescope.progress", "tunescope.oracle.hostile.__main__"}


FAMILIES: tuple[tuple[str, set[str]], ...] = (
    ("tunescope.rows.formats", {"NAME", "SHAPE", "detect", "parse", "render"}),
    ("tunescope.verbs.check.faults", {"NAME", "MEANING", "find"}),
    ("tunescope.verbs.measure.measures", {"NAME", "ORDER", "COLUMNS", "inputs", "prepare"}),
    ("tunescope.judgements.formats", {"FORMAT"}),
    ("tunescope.annotations.formats", {"FORMAT"}),
    ("tunescope.verbs.attribute.evidence", {"prepare"}),
    ("tunescope.verbs.falsify.sources", {"SOURCE"}),
)
"""Families, and what each member has."""


def test_families_have_one_shape():
    """Each member of a family has what its docstring says, and nothing else public that the others lack."""
    for package, needed in FAMILIES:
        folder = modules()[package].parent
        members = [path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")]
        assert len(members) >= 3
        for member in members:
            assert needed <= set(vars(import_module(f"{package}.{member}"))), member
