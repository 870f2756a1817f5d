"""Work on a Ray cluster (docs/how-to/scale.md). No other file imports Ray.

Each worker is an actor: a process on some machine of the cluster, which sets itself up at its first shard and then
takes one after the other. Ray tells when one dies. Another takes its place, and its shard starts whole. A study's cells
have a worker each.
"""

from __future__ import annotations

import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple, Self

from tunescope import __version__
from tunescope.engine.shard import Todo, Work, finish
from tunescope.errors import MissingPackageError, WorkError
from tunescope.progress import Waiting, say

_MOST_DEATHS = 3
"""Workers that are replaced after they died at the same shard, or before their first."""
_PATIENCE = 5.0
"""Seconds in which an address has to answer."""
_NODE_PATIENCE = 180.0
"""Seconds in which each machine has to say whether it sees the run folder: a first process there takes some."""
_LOOK_AGAIN = 10.0
"""Seconds after which we say that no worker is there yet."""
_PASSED_ON = ("HF_HOME", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "TUNESCOPE_CACHE", "TUNESCOPE_RUNS")
"""Variables that workers have as this process does."""
_UNSET = object()
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client of gRPC, which Ray speaks, begins: HTTP/2's preface and empty settings (RFC 9113, 3.4 and 6.5)."""
_NEXT = "see docs/how-to/scale.md for how to start a cluster, or leave --engine out to work on this machine"


class _Place(NamedTuple):
    """Where the command was typed, and a file in the run folder that a worker must see from there."""

    folder: str
    environment: Mapping[str, str]
    marker: Path
    version: str

    def enter(self) -> None:
        """Go there.

        Raises:
            WorkError: this machine has another tunescope, or doesn't see the run folder.
        """
        machine = f"the machine {socket.gethostname()} of the Ray cluster"
        if self.version != __version__:
            raise WorkError(f"{machine} has tunescope {__version__}, this one {self.version}; install the same")
        os.environ.update(self.environment)
        with suppress(OSError):
            os.chdir(self.folder)
            if self.marker.exists():
                return
        raise WorkError(
            f"{machine} doesn't see {self.marker.parent} in {self.folder}; type the command in a folder that all "
            "machines of the cluster share under the same path"
        )


class _Done(NamedTuple):
    """What came of a call, and what was said meanwhile."""

    result: Any = None
    said: str = ""


class _Worker:
    """A process of the cluster."""

    def __init__(self, place: _Place) -> None:
        self._place, self._state = place, _UNSET

    def enter(self) -> _Done:
        """Be ready to work."""
        self._place.enter()
        return _Done()

    def call(self, function: Callable[..., Any], *arguments: Any) -> _Done:
        """Call a function."""
        with redirect_stdout(StringIO()) as said, redirect_stderr(said):
            result = function(*arguments)
        return _Done(result, said.getvalue())

    def work(self, work: Work, setup: Callable[[], Any], shard: Any, target: Path) -> _Done:
        """Do a shard, the first one with what all need."""
        return self.call(self._finish, work, setup, shard, target)

    def _finish(self, work: Work, setup: Callable[[], Any], shard: Any, target: Path) -> None:
        if self._state is _UNSET:
            self._state = setup()
        finish(work, self._state, shard, target)


class _Task(NamedTuple):
    """What a worker is to do: a method of it with arguments, and what it is called."""

    name: str
    method: str
    arguments: tuple[Any, ...]


class _Team:
    """The workers, and what each is at."""

    def __init__(self, ray: Any, place: _Place) -> None:
        self._ray, self._place = ray, place
        needs = {"num_cpus": int(os.environ.get("OMP_NUM_THREADS") or 1)}
        if ray.cluster_resources().get("GPU"):
            needs["num_gpus"] = 1
        self._kind = ray.remote(_Worker).options(**needs)
        self._at_work: dict[Any, tuple[Any, _Task | None]] = {}
        self._deaths = Counter[str]()
        self._waiting = Waiting()

    def hire(self) -> None:
        """Ask for one more worker, which comes as soon as the cluster has room."""
        worker = self._kind.remote(self._place)
        self._at_work[worker.enter.remote()] = (worker, None)

    def give(self, worker: Any, task: _Task) -> None:
        """Give a worker something to do."""
        self._at_work[getattr(worker, task.method).remote(*task.arguments)] = (worker, task)

    def next_free(self) -> tuple[Any | None, _Task | None, _Done]:
        """Wait for a worker that has come, or has done its task; return both, and what came of it.

        Returns None in place of a worker that died, and the task that it was at.
        """
        while not (kept := self._ray.wait([*self._at_work], timeout=_LOOK_AGAIN)[0]):
            if not any(task for _, task in self._at_work.values()):
                self._waiting.note("no worker has come from the Ray cluster yet", _LOOK_AGAIN)
        self._waiting.end()
        worker, task = self._at_work.pop(kept[0])
        try:
            return worker, task, self._ray.get(kept[0])
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            self._ray.kill(worker)  # it may only be out of reach
            place = "before its work began" if task is None else f"at {task.name}"
            self._deaths[place] += 1
            if self._deaths[place] > _MOST_DEATHS:
                raise WorkError(
                    f"{_MOST_DEATHS + 1} Ray workers died {place} (out of memory?); what is finished stays; type the "
                    "same command with fewer --workers, or on machines with more memory, to go on"
                ) from error
            say(f"a Ray worker died {place}; another takes its place")
            return None, task, _Done()

    def dismiss(self, worker: Any) -> None:
        """Let a worker go: its place may be what another waits for."""
        self._ray.kill(worker)

    def dismiss_all(self) -> None:
        """Let all go."""
        for worker, _ in self._at_work.values():
            self._ray.kill(worker)


def map_on_ray(
    address: str, workers: int, work: Work, todo: Todo, setup: Callable[[], Any], folder: Path
) -> Generator[None]:
    """Do the work on a cluster, up to `workers` shards at a time; yield after each shard.

    A worker takes as many CPUs as OMP_NUM_THREADS says, else one, and one GPU where the cluster has any.

    Args:
        address: HOST:PORT of the cluster's head, or `auto` for the one that this machine is part of.
        workers: processes at a time; fewer where the cluster has no room.
        work: a function of a module that the cluster's machines have too.
        todo: shards, and where their results go.
        setup: as `work`.
        folder: the shards' folder, which all machines see.

    Raises:
        WorkError: no cluster answers, one of its machines can't take part, or several workers died at one shard; what
            is finished stays.
        MissingPackageError: Ray isn't installed.
    """
    waiting = deque(_Task(f"shard {target.name}", "work", (work, setup, shard, target)) for shard, target in todo)
    n_open, told = len(waiting), set[str]()
    with _team(address, folder) as team:
        for _ in range(min(workers, n_open)):
            team.hire()
        while n_open:
            worker, task, done = team.next_free()
            for line in done.said.splitlines():
                if line not in told:  # each worker says the same of its model
                    say(line)
                    told.add(line)
            if task is not None and (worker is not None or task.arguments[-1].name in os.listdir(folder)):
                n_open -= 1
                yield
            elif task is not None:
                waiting.appendleft(task)
            if worker is not None and waiting:
                team.give(worker, waiting.popleft())
            elif worker is not None:
                team.dismiss(worker)
            elif waiting:
                team.hire()
    os.listdir(folder)  # where it is on NFS, this machine knows the new folders from now on


class CallsOnRay:
    """Calls on a cluster, each by a worker of its own; as a context, it leaves none behind.

    One whose worker dies is made again.
    """

    def __init__(self, address: str, folder: Path) -> None:
        """Begin with none; `folder` is one that all machines must see."""
        self._context = _team(address, folder)
        self._tasks = deque[_Task]()

    def __enter__(self) -> Self:
        """Join the cluster; raises as `map_on_ray` does."""
        self._team = self._context.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Leave it."""
        self._context.__exit__(*error)

    def start(self, name: str, function: Callable[..., Any], *arguments: Any) -> None:
        """Have a function of a module called."""
        self._tasks.append(_Task(name, "call", (function, *arguments)))
        self._team.hire()

    def next_done(self) -> tuple[str, Any, str]:
        """Wait for a call to end; return its name, its result, and what was said meanwhile."""
        while True:
            worker, task, done = self._team.next_free()
            if worker is not None and task is not None:
                self._team.dismiss(worker)
                return task.name, done.result, done.said
            if worker is not None:
                self._team.give(worker, self._tasks.popleft())
                continue
            if task is not None:
                self._tasks.appendleft(task)
            self._team.hire()


@contextmanager
def _team(address: str, folder: Path) -> Iterator[_Team]:
    """Join a cluster whose machines see a folder; yield its workers, none yet."""
    with _connected(address) as ray, _marked(folder) as place:
        _ask_machines(ray, place)
        team = _Team(ray, place)
        try:
            yield team
        finally:
            team.dismiss_all()


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Yield Ray, in a cluster; a notebook that has joined one by itself stays in it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns of a change of its own to come
    try:
        import ray
    except ImportError:
        raise MissingPackageError("ray", "ray", "--engine ray") from None
    if ray.is_initialized():
        yield ray
        return
    _join(ray, address)
    try:
        yield ray
    finally:
        ray.shutdown()


def _join(ray: Any, address: str) -> None:
    """Join a cluster. Ray itself would try for minutes where nothing answers, or this machine is no part of it.

    Raises:
        WorkError: it can't be joined.
    """
    from ray._private import services as theirs

    services: Any = theirs

    if address == "auto":
        try:
            address = str(services.canonicalize_bootstrap_address("auto"))
        except ConnectionError:
            raise WorkError(f"--engine ray: this machine isn't part of a Ray cluster; {_NEXT}") from None
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _PATIENCE) as connection:
            connection.sendall(_GREETING)
            answered = connection.recv(4)[3:] == b"\x04"
    except (OSError, OverflowError) as error:
        raise WorkError(f"--engine ray://{address}: nothing answers there ({error}); {_NEXT}") from None
    if not answered:
        raise WorkError(
            f"--engine ray://{address}: what answers there isn't a Ray cluster; expected the address that ray start "
            f"--head prints; {_NEXT}"
        )
    if not services.find_node_ids():
        raise WorkError(
            f"--engine ray://{address}: this machine isn't part of the cluster; type ray start --address={address}"
        )
    try:
        ray.init(address=address, log_to_driver=False, logging_level="CRITICAL")
    except (OSError, RuntimeError, ray.exceptions.RayError) as error:
        said = str(error).strip().splitlines()[0]
        raise WorkError(f"--engine ray://{address}: Ray can't join ({said}); {_NEXT}") from None


@contextmanager
def _marked(folder: Path) -> Iterator[_Place]:
    """Yield this place, with a file in the run folder to look for."""
    marker = folder / f".seen-{os.urandom(4).hex()}"
    marker.touch()
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        yield _Place(os.getcwd(), environment, marker, __version__)
    finally:
        marker.unlink(missing_ok=True)


def _ask_machines(ray: Any, place: _Place) -> None:
    """Ask each machine whether it can take part, before anything is computed.

    Raises:
        WorkError: one can't, or doesn't say.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(_Place.enter)
    machines = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    answers = [
        ask.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(place)
        for node in machines
    ]
    for machine, answer in zip(machines.values(), answers, strict=True):
        try:
            ray.get(answer, timeout=_NODE_PATIENCE)
        except ray.exceptions.GetTimeoutError:
            raise WorkError(
                f"the machine {machine} of the Ray cluster doesn't answer within {_NODE_PATIENCE:.0f} seconds"
            ) from None
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, WorkError):
                raise cause from None
            said = str(cause or error).strip().splitlines()[-1]
            raise WorkError(f"the machine {machine} of the Ray cluster can't take part: {said}") from None
