"""What programs do that aren't hostile: values that pass, errors, the folder, the environment, the protections."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from shutil import which

import pytest

from tunescope.errors import WorkError
from tunescope.sandbox.pool import Limits, Program, Ran, run_programs, strongest_protection
from tunescope.sandbox.protection import BUBBLEWRAP, LIMITS, PROTECTIONS

CANT = "which can't be sent to another process"
LONG = Limits(seconds=30.0)


def run(source: str, tests: str, *names: str, setup: str = "") -> Ran:
    (ran,) = run_programs([Program(source, setup, tests, names)], LONG, 1)
    return ran


VALUES = """
None, True, False, 0, -7, 2**63, -(10**400), 1.5, float("inf"), -0.0, 2+3j, "", "é\\ud800", b"\\0a", (), (1, (2,)), [],
[[1], {}],
{}, {1: "a", (1, 2): [3], None: {4}}, set(), {1, "a"}, frozenset({2}), range(1, 9, 3), {"a": 1}.keys(), str, list,
Fraction(1, 3), Decimal("1.10"), date(2026, 1, 2), datetime(2026, 1, 2, 3), time(4, 5), timedelta(1, 2, 3)
"""
SETUP = "from fractions import Fraction\nfrom decimal import Decimal\nfrom datetime import *\n"


def test_plain_values_pass_unchanged_both_ways():
    tests = f"for value in [{VALUES}]:\n    for back in (same(value), same([value])[0]):\n"
    tests += "        assert back == value and type(back) is type(value) and repr(back) == repr(value), value\n"
    tests += "import math\nassert math.isnan(same(math.nan))"
    assert run("def same(x): return x", tests, "same", setup=SETUP) == Ran("passed")


def test_subclasses_pass_as_what_they_are_made_from():
    source = "from collections import *\nP = namedtuple('P', 'x y')\n"
    source += "def f(n): return [P(1, 2), Counter('aab'), OrderedDict(a=1)][n]"
    assert run(source, "assert f(0) == (1, 2) and f(1) == {'a': 2, 'b': 1} and f(2) == {'a': 1}", "f").passed


def test_objects_stay_with_their_program_and_can_be_used():
    source = (
        "class Node:\n    def __init__(self, data): self.data, self.left = data, None\n"
        "    def get(self): return self.data\n"
        "def depth(n): return 0 if n is None else 1 + depth(n.left)\n"
        "def count(n): yield from range(n)\ndef adder(a): return lambda b: a + b\n"
    )
    tests = (
        "root = Node(1)\nroot.left = Node(2)\n"
        "assert depth(root) == 2 and root.left.get() == 2 and root.left.data == 2\n"
        "assert list(count(3)) == [0, 1, 2] and 2 in count(5) and next(count(1)) == 0 and adder(1)(2) == 3\n"
        "assert root == root and root != root.left and Node(1) != Node(1) and len({root, root}) == 1 and root"
    )
    assert run(source, tests, "Node", "depth", "count", "adder") == Ran("passed")


def test_errors_of_pythons_own_reach_the_tests():
    source = "class Odd(Exception): pass\ndef f(n):\n    if n == 1: raise ValueError('one')\n    raise Odd('two')"
    tests = "try: f(1)\nexcept ValueError as error: assert str(error) == 'one'\nf(2)"
    assert run(source, tests, "f") == Ran("failed", "SolutionError: Odd: two")


@pytest.mark.parametrize(
    ("source", "tests", "expected"),
    [
        ("def f(): return 1", "assert f() == 2, 'not two'", Ran("failed", "AssertionError: not two")),
        ("def f(:", "f()", Ran("failed", "SyntaxError: invalid syntax (<solution>, line 1)")),
        ("x = 1", "f()", Ran("failed", "NameError: name 'f' is not defined")),
        ("import nothing_of_the_kind", "", Ran("failed", "ModuleNotFoundError: No module named 'nothing_of_the_kind'")),
        ("def f(): return input()", "f()", Ran("failed", "EOFError: EOF when reading a line")),
        ("def f(g): return g(1)", "f(lambda x: x)", Ran("failed", f"TypeError: the tests pass a function, {CANT}")),
        ("def f(): pass", "for x in f: pass", Ran("failed", "TypeError: 'function' object is not iterable")),
        ("def f(): return 'x' * 500\ndef g(): raise ValueError(f())", "g()", Ran("failed", "ValueError: " + "x" * 188)),
    ],
)  # fmt: skip
def test_what_is_said_of_a_failure(source, tests, expected):
    assert run(source, tests, "f", "g") == expected


def test_the_reason_is_one_line_that_can_be_written():
    source = "def f(): raise ValueError('a\\n\\x1b[2Jb\\ud800')"
    assert run(source, "f()", "f") == Ran("failed", "ValueError: a\\n\\x1b[2Jb\\ud800")


def test_only_what_the_tests_take_comes_from_the_program():
    """A helper of the same name is the setup's; a builtin is Python's own, unless it is what is tested."""
    source = "def helper(): return 'forged'\ndef sum(a, b): return a * b\ndef f(): return helper()"
    tests = "assert helper() == 'own' and f() == 'forged' and sum([1, 2]) == 3"
    assert run(source, tests, "f", setup="def helper(): return 'own'").passed
    assert run(source, "assert sum(2, 3) == 6", "sum").passed


def test_modules_dataclasses_and_late_imports_work():
    source = (
        "from __future__ import annotations\nimport hashlib, datetime, statistics, asyncio\n"
        "from dataclasses import dataclass\n"
        "@dataclass\nclass P:\n    x: int\n"
        "async def late(): return 5\n"
        "def f():\n    import colorsys\n    return P(1).x, hashlib.md5(b'').hexdigest()[:4], asyncio.run(late()),"
        " datetime.datetime.strptime('2', '%d').day"
    )
    for protection in PROTECTIONS:
        program = Program(source, "", "assert f() == (1, 'd41d', 5, 2)", ("f",))
        try:
            assert run_programs([program], LONG, 1, protection) == [Ran("passed")]
        except WorkError:
            continue


def test_each_program_has_a_new_folder_and_a_clean_environment():
    source = (
        "import os\nbefore = os.listdir('.')\nopen('left', 'w').write('x')\nopen('../also', 'w').write('x')\n"
        "def f(): return before, sorted(os.environ), os.listdir('..')"
    )
    known = ["HOME", "LANG", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PATH", "PYTHONHASHSEED"]
    tests = f"before, names, above = f()\nassert before == [] and set(names) <= {{*{known}, 'PWD', 'LC_CTYPE'}}, names"
    tests += "\nassert sorted(above) == ['also', 'program'], above"
    try:
        ran = run_programs([Program(source, "", tests, ("f",))] * 3, LONG, 1, BUBBLEWRAP)
    except WorkError as error:
        pytest.skip(str(error))
    assert ran == [Ran("passed")] * 3


def test_results_are_in_the_order_of_the_programs():
    programs = [Program(f"def f(): return {n}", "", f"assert f() % 3, {n}", ("f",)) for n in range(12)]
    ran = run_programs(programs, LONG, 3)
    assert [each.passed for each in ran] == [n % 3 != 0 for n in range(12)]
    assert ran[9].reason == "AssertionError: 9"
    assert run_programs([], LONG, 3) == []


def test_a_server_goes_on_after_a_time_out():
    slow, quick = Program("while True: pass", "", "", ()), Program("", "", "", ())
    ran = run_programs([quick, slow, quick], Limits(seconds=0.5), 1)
    assert [each.status for each in ran] == ["passed", "timed out", "passed"]
    assert ran[1].reason == "it took more than 0.5 seconds"


def test_with_limits_alone_a_folder_may_stay_and_no_rights_are_gained(tmp_path):
    """Root could remove any folder: the capabilities for that are taken from it, as another user lacks them."""
    stays = "import os\nos.makedirs('d/e')\nos.chmod('d/e', 0)\nos.chmod('d', 0)\ndef f(): pass"
    gains = "def f(): return open('/proc/self/status').read()"
    tests = {stays: "f()", gains: "assert 'NoNewPrivs:\\t1' in f()"}
    code = (
        "from tunescope.sandbox.pool import *\nfrom tunescope.sandbox.protection import LIMITS\n"
        f"programs = [Program(code, '', tests, ('f',)) for code, tests in {tests!r}.items()] * 2\n"
        "print(*(ran.status for ran in run_programs(programs, Limits(seconds=30.0), 1, LIMITS)))"
    )
    command = [sys.executable, "-c", code]
    if os.geteuid() == 0:
        if which("setpriv") is None:
            pytest.skip("setpriv isn't installed")
        command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner", *command]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert done.stdout.split() == ["passed"] * 4


def test_the_fallback_says_why():
    missing = replace(BUBBLEWRAP, command=lambda: ["no-such-program"])
    failing = replace(BUBBLEWRAP, name="namespaces", command=lambda: ["false"])
    used = strongest_protection((missing, failing, LIMITS))
    assert used.name == "limits"
    assert used.sentence == (
        f"{LIMITS.sentence} bubblewrap: no-such-program doesn't start (No such file or directory). "
        "namespaces: false doesn't start a server (exit status 1)."
    )
    with pytest.raises(WorkError, match=r"^bubblewrap: no-such-program doesn't start"):
        strongest_protection((missing,))
    assert strongest_protection() in [replace(each, sentence=strongest_protection().sentence) for each in PROTECTIONS]
