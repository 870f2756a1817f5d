"""Which model answers, and the way to it: here the settings are taken apart.

An oracle is a server (a URL), a model on this machine (`local`), or a fake (`fake:FILE`, `fake:microworld:80%`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

from tunescope.errors import (
    ItemFailed,
    RejectedRequest,
    ServerRefusal,
    SettingsError,
    TunescopeError,
    WaitingError,
    WorkError,
)
from tunescope.oracle.api import MAX_TOKENS_FIELDS, is_url
from tunescope.oracle.batch import BATCH_URL, BatchFiles, ImportedReplies, import_replies
from tunescope.oracle.budget import Budget, Price
from tunescope.oracle.call_export import CallExport
from tunescope.oracle.caller import Caller
from tunescope.oracle.client import Client
from tunescope.oracle.fake import FAKE_PREFIX, Fake, read_fake
from tunescope.oracle.fake_microworld import microworld_fake
from tunescope.oracle.format_probe import probe_call
from tunescope.oracle.halt import Halt
from tunescope.oracle.journal import Journal, rejection
from tunescope.oracle.local import Local, find_local_model, is_local
from tunescope.oracle.rate_limit import RateLimit, Sleep
from tunescope.oracle.results import Results
from tunescope.oracle.retry import ItemClock, Retries
from tunescope.oracle.settings import OracleSettings
from tunescope.oracle.transport import Transport
from tunescope.progress import progress, say
from tunescope.views import counted

_JOURNAL = "journal.sqlite"
_PARAMETER_HINTS: Mapping[str | None, str] = {
    "temperature": "the model doesn't take this --temperature; OpenAI's newer ones take 1 alone: --temperature 1",
    "seed": "the server takes no seed: --seed -1 sends none",
    "response_format": "the server doesn't hold models to a schema: --response-format tags asks for text",
    MAX_TOKENS_FIELDS[0]: "the model doesn't take the longest reply in this field: --max-tokens-field "
    f"{MAX_TOKENS_FIELDS[1]}, or auto",
}
"""What to type where a server refuses a parameter: the options of `OracleSettings`."""


def served_model(url: str, named: str | None, timeout: float, option: str = "--model") -> str:
    """Return what a server calls its model: the name that was typed, or the only one that it has.

    Raises:
        SettingsError: it has several, or none.
        TunescopeError: the server isn't there, refuses the key, or doesn't list its models.
    """
    if named is not None:
        return named

    async def list_models() -> list[str]:
        async with Client(url, timeout=timeout, option=option) as client:
            rate_limit = RateLimit(1, Halt())
            retries = Retries(rate_limit, client.is_answering, extra_retries=0)

            async def attempt() -> list[str]:
                async with rate_limit.slot(lambda: True):  # waits as long as a server asks us to
                    return await client.list_models()

            return await retries.until_answered(attempt, ItemClock(float("inf")))

    try:
        models = asyncio.run(list_models())
    except (RejectedRequest, ItemFailed, WorkError) as error:
        if isinstance(error, ServerRefusal) and error.fault in ("key", "account", "page"):
            raise TunescopeError(f"{url}: {error}") from error
        raise TunescopeError(
            f"{url} doesn't say which models it has ({error}); name one with --served-model"
        ) from error
    if len(models) != 1:
        listed = ", ".join(models[:20]) or "none"
        raise SettingsError(f"{url} has {len(models)} models ({listed}); choose one with --served-model")
    return models[0]


def resolve_model(settings: OracleSettings) -> str:
    """Return what the oracle's model is called.

    Raises:
        As `served_model`; InputError: a local model that isn't there.
    """
    if is_local(settings.oracle):
        return find_local_model(settings.oracle).model
    if not is_url(settings.oracle):
        fake = microworld_fake(settings.oracle, settings.seed)
        return "fake" if fake is None else fake.name
    return served_model(settings.oracle, settings.served_model, settings.timeout, "--oracle")


def server_inputs(role: str, url: str, model: str) -> dict[str, str]:
    """Return what a run's key knows of a server's model: the address and the name; `role` says what it is for."""
    address = blake2b(f"{url}\n{model}".encode(), digest_size=16).hexdigest()
    return {f"{role} {model} at {url}": address}


def oracle_inputs(oracle: str, model: str) -> dict[str, str]:
    """Return what a run's key knows of the oracle: a file's content, or address and model.

    Raises:
        InputError: a fake or a local model that can't be read.
    """
    if is_local(oracle):
        return {f"oracle {oracle}": find_local_model(oracle).hash}
    if is_url(oracle):
        return server_inputs("oracle", oracle, model)
    if microworld_fake(oracle, 0) is not None:
        return {oracle: blake2b(model.encode(), digest_size=16).hexdigest()}
    path = Path(oracle.removeprefix(FAKE_PREFIX))
    read_fake(path)
    return {oracle: blake2b(path.read_bytes(), digest_size=16).hexdigest()}


def _make_transport(settings: OracleSettings, model: str, max_tokens_field: str | None) -> Transport:
    """Return what makes the calls; raises `InputError` for a fake or a local model that can't be read."""
    oracle = settings.oracle
    if is_url(oracle):
        return Client(oracle, model, settings.timeout, "--oracle", max_tokens_field=max_tokens_field)
    if is_local(oracle):
        return Local(oracle, settings.concurrency)
    return microworld_fake(oracle, settings.seed) or Fake(read_fake(Path(oracle.removeprefix(FAKE_PREFIX))))


def make_caller(
    settings: OracleSettings,
    model: str,
    journal: Journal,
    export: CallExport | None = None,
    sleep: Sleep = asyncio.sleep,
    jitter: Random | None = None,
) -> Caller:
    """Return what makes these settings' calls; raises as `_make_transport`."""
    field = _max_tokens_field(settings)
    price = None if settings.price is None else Price.parse(settings.price)
    decoding: dict[str, Any] = {"temperature": settings.temperature, "max_tokens": settings.max_new_tokens}
    if settings.temperature > 0 and settings.seed >= 0:
        decoding["seed"] = settings.seed
    is_fake = settings.oracle.startswith(FAKE_PREFIX)  # which knows no schemas
    return Caller(
        model,
        _make_transport(settings, model, field),
        decoding,
        settings.concurrency,
        settings.deadline,
        Budget(settings.max_tokens_total, settings.max_cost, price),
        journal,
        export,
        "tags" if is_fake and settings.response_format == "auto" else settings.response_format,
        sleep=sleep,
        jitter=jitter,
        parameter_hints=_PARAMETER_HINTS,
        asks_again=settings.again,
    )


@contextmanager
def connect(
    settings: OracleSettings, model: str, folder: Path, n_items: int, what: str = "rows"
) -> Iterator[Results[Any]]:
    """Open the journal and the batch's files; yield the place for `n_items` results, whose `caller` makes the calls.

    Replies are in the journal in `folder`, or in the one that the settings name, so whoever calls again with the same
    settings goes on. `what` is what sentences call the items.

    Raises:
        InputError: batches' replies that can't be read.
        WaitingError: at the end, where calls wait in a batch.
        WorkError: the budget has no room for any.
        WorkError, TunescopeError: as `Results.check_halt` and `check_replies`.
    """
    imported: ImportedReplies | None = None
    with (
        Journal(journal_path(settings, folder)) as journal,
        BatchFiles(Path(settings.batch)) if settings.batch is not None else nullcontext() as files,
        progress(what, n_items) as update,
    ):
        if settings.batch_replies:
            imported = import_replies(journal, settings.batch_replies)
            say(_describe_import(imported))
        export = None if files is None else CallExport(model, files.add, _max_tokens_field(settings))
        caller = make_caller(settings, model, journal, export)
        if imported is not None:
            caller.rejected.update(imported.keys)
        if export is not None:
            _settle_on_text(caller, journal)
        results: Results[Any] = Results(caller, n_items, what, update)
        yield results
        caller.keep_rejections()
        if files is not None and caller.halt.error is not None:
            files.discard()
    not_needed = imported.keys - caller.locks.keys() if imported is not None and caller.halt.error is None else ()
    if not_needed:
        say(f"{len(not_needed):,} of the batches' replies are to calls that these {what} don't need")
    results.check_halt(settings.oracle)
    if files is not None and export is not None and (export.n_exported or export.n_over_budget):
        raise (WaitingError if files.paths else WorkError)(_describe_batch(files, export, results))
    results.check_replies(settings.oracle)


def journal_path(settings: OracleSettings, folder: Path) -> Path:
    """Return where the replies are: in the run folder, or where the settings say."""
    return folder / _JOURNAL if settings.journal is None else Path(settings.journal)


def _max_tokens_field(settings: OracleSettings) -> str | None:
    return None if settings.max_tokens_field == "auto" else settings.max_tokens_field


def _settle_on_text(caller: Caller, journal: Journal) -> None:
    """Keep that replies are asked for as text where nobody can be asked for JSON, and it isn't known yet."""
    key = probe_call(caller).key
    if caller.reply_format is None and not journal.bodies(key):
        journal.add_all([(key, rejection("nobody was asked whether JSON can be had"))])


def _describe_import(imported: ImportedReplies) -> str:
    why = f" (the first: {imported.later_reason})" if imported.later else ""
    return (
        f"{imported.kept:,} replies from batches are new in the journal; {counted(imported.refused, 'call')} refused "
        f"for good, {imported.later:,} to be made again{why}, {imported.unknown:,} with a custom_id that isn't ours"
    )


def _describe_batch(files: BatchFiles, export: CallExport, results: Results[Any]) -> str:
    """Say which calls wait, and what to do."""
    over = export.n_over_budget
    room = f"; the budget has no room for {counted(over, 'more call')}" if over else ""
    state = f"{room}; {len(results):,} of {results.n_items:,} {results.what} are done"
    if not files.paths:
        return f"no call was written{state}; raise --max-tokens-total or --max-cost"
    return (
        f"written for a batch: {counted(files.lines, 'call')} that the journal doesn't have, in "
        f"{', '.join(map(str, files.paths))}{state}. Have each file answered (endpoint {BATCH_URL}), then type the "
        "same command with --batch-replies and the output and error files to go on"
    )
