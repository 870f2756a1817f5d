"""How many functions of ours stand between the command line and the line that calls the server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

pytest.importorskip("openai")

import openai

import tunescope
from tests.oracle.server import Said, completion, serving
from tests.tools import alpaca, write_rows
from tests.verbs.judge.contests import outputs
from tunescope.cli import main

OURS = str(Path(tunescope.__file__).parent)
MOST = 13
"""Functions from `cli.main` to the call, closures included."""
TAGGED = (
    "<reflection>\nBad.\n</reflection>\n<new_instruction>\nNew?\n</new_instruction>\n"
    "<new_response>\nBetter.\n</new_response>"
)


def stack(frame: FrameType | None) -> list[CodeType]:
    """Return the functions on the stack, the outermost first: up to `asyncio.run`, the event loop, the running task."""
    codes = []
    while frame is not None:
        codes.append(frame.f_code)
        frame = frame.f_back
    return codes[::-1]


def inside(codes: list[CodeType]) -> list[CodeType]:
    """Return the functions of a stack below `asyncio.run`; none where no event loop runs."""
    return codes[codes.index(asyncio.run.__code__) :] if asyncio.run.__code__ in codes else []


def record_calls(
    monkeypatch: pytest.MonkeyPatch, owner: Any, method: str, folder: str, run: Callable[[], object]
) -> list[list[str]]:
    """Run something; return the functions of a folder on the way to each call of an async method of the owner's.

    The way is the stack up to the event loop, the stack on which each task was made that made the next one, down to the
    calling task, and this one's own stack. So what only makes a task counts too, though it has returned by then. What
    isn't seen is a function that isn't async and returns another's coroutine.
    """
    paths: list[list[str]] = []
    makers: dict[asyncio.Task[Any], tuple[asyncio.Task[Any] | None, list[CodeType]]] = {}
    original = getattr(owner, method)

    def factory(
        loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **known: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **known)
        if loop.is_running():
            makers[task] = asyncio.current_task(loop), inside(stack(sys._getframe(1)))
        return task

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            loop = super().new_event_loop()
            loop.set_task_factory(factory)
            return loop

    async def watched(*given: Any, **known: Any) -> Any:
        codes = stack(sys._getframe(1))
        path = inside(codes)
        outside, task = codes[: len(codes) - len(path)], asyncio.current_task()
        while task in makers:
            task, made = makers[task]
            path = [*made, *path]
        paths.append([code.co_qualname for code in (*outside, *path) if code.co_filename.startswith(folder)])
        return await original(*given, **known)

    monkeypatch.setattr(owner, method, watched)
    asyncio.set_event_loop_policy(Policy())
    try:
        run()
    finally:
        asyncio.set_event_loop_policy(None)
    return paths


def hops(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> list[str]:
    """Run a command; return the functions of ours from `cli.main` to its call, of the longest way."""

    def run() -> None:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0

    return max(record_calls(monkeypatch, openai.AsyncOpenAI, "post", OURS, run), key=len)


def test_every_function_on_the_way_counts(monkeypatch):
    """A lambda, a closure, a function that has made a task and returned, and one in a task of a task: one each."""

    class Server:
        async def post(self) -> None:
            await asyncio.sleep(0)

    async def send() -> None:
        await asyncio.sleep(0)
        await Server.post(Server())

    def start(group: asyncio.TaskGroup) -> None:
        group.create_task(send())

    async def nested() -> None:
        async with asyncio.TaskGroup() as group:
            start(group)

    async def ask() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(nested())

    (path,) = record_calls(monkeypatch, Server, "post", __file__, lambda: asyncio.run(ask()))
    ours = path[path.index("record_calls") + 1 :]
    names = [name.rpartition("<locals>.")[2] for name in ours]
    assert names == ["<lambda>", "ask", "nested", "start", "send"]


@pytest.fixture
def commands(workplace: Path) -> dict[str, list[str]]:
    write_rows(workplace / "rows.jsonl", [alpaca(f"Ask {i}", f"Reply {i}") for i in range(2)])
    write_rows(workplace / "prompts.jsonl", [{"prompt_id": str(i), "prompt": f"Q{i}"} for i in range(2)])
    for name in "ab":
        outputs(workplace / f"{name}.jsonl", name, {f"Question {i}?": f"{name} {i}" for i in range(2)})
    return {
        "repair reflect": ["repair", "reflect", "rows.jsonl"],
        "repair rate": ["repair", "rate", "rows.jsonl"],
        "judge pairwise": ["judge", "pairwise", "a.jsonl", "b.jsonl"],
        "answer": ["answer", "prompts.jsonl"],
    }


@pytest.mark.parametrize("verb", ["repair reflect", "repair rate", "judge pairwise", "answer"])
def test_few_functions_from_the_command_to_the_call(verb, commands, monkeypatch):
    with serving(lambda body, call: Said(completion(TAGGED))) as server:
        option = "--model" if verb == "answer" else "--oracle"
        path = hops(monkeypatch, [*commands[verb], option, server.url])
    assert path[0] == "main"
    assert "ask_all" in path
    assert path[-1] == "Client.send"
    assert len(path) <= MOST, path
