"""How many functions of ours stand between the command line and the line that calls the server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
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


def await_chain(coroutine: Coroutine[Any, Any, Any] | None) -> list[CodeType]:
    """Return the functions that a task waits in, the outermost first."""
    codes = []
    while hasattr(coroutine, "cr_frame") and coroutine.cr_frame is not None:
        codes.append(coroutine.cr_frame.f_code)
        coroutine = coroutine.cr_await
    return codes


def hops(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> list[str]:
    """Run a command; return the functions of ours from `cli.main` to its calls' line, in the order of the calls.

    The SDK's own method is watched: the stack up to the event loop, the tasks that made the calling task, and the
    calling task's own stack.
    """
    paths: list[list[CodeType]] = []
    creators: dict[asyncio.Task[Any], asyncio.Task[Any] | None] = {}
    post = openai.AsyncOpenAI.post

    def factory(
        loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **known: Any
    ) -> asyncio.Task[Any]:
        running = asyncio.current_task(loop) if loop.is_running() else None
        task = asyncio.Task(coroutine, loop=loop, **known)
        creators[task] = running
        return task

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            loop = super().new_event_loop()
            loop.set_task_factory(factory)
            return loop

    async def watched(self: Any, *given: Any, **known: Any) -> Any:
        codes = stack(sys._getframe(1))
        loop = max(number for number, code in enumerate(codes) if code is asyncio.run.__code__)
        chains, task = [], asyncio.current_task()
        while (task := creators.get(task)) is not None:
            chains.append(await_chain(task.get_coro()))
        whole = [*codes[:loop], *(code for chain in chains[::-1] for code in chain), *codes[loop:]]
        paths.append([code for code in whole if code.co_filename.startswith(OURS)])
        return await post(self, *given, **known)

    monkeypatch.setattr(openai.AsyncOpenAI, "post", watched)
    asyncio.set_event_loop_policy(Policy())
    try:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
    finally:
        asyncio.set_event_loop_policy(None)
    assert ended.value.code == 0
    return max(([code.co_qualname for code in path] for path in paths), key=len)


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
    print(verb, len(path), path)
