"""`attribution.py` with other packages' scores in its tables: kronfluence, dattri-llm and bergson.

    OMP_NUM_THREADS=1 python benchmarks/attribution_peers.py [--methods lora full] [--packages bergson] [--save]

**EK-FAC** (Grosse et al. 2023) scores with the tuned model: the gradient of a claim's loss, times the inverse of an
approximated Hessian, times a row's gradient. Settings are the package's, the damping its heuristic (a tenth of the mean
eigenvalue of each layer), the Fisher information that of labels drawn from the model. After full tuning all linear
layers count. After LoRA, *merged weights* are the linear layers with the adapters merged into them, without the output
layer, which LoRA doesn't train; *adapters* are LoRA's own A and B.

**AdamW-influence** (Deng et al. 2026) watches the tuning itself: every step's gradients and what AdamW remembers. It
follows a row's part in each step to the end of the tuning, and needs that tuning to be run under its hooks. Layers are
those that are trained: LoRA's A and B, or all linear layers of the model's blocks.

**TrackStar** (Chang et al. 2024) and bergson's own EK-FAC score with the tuned model. Settings are those of the
package's leaderboard (its `examples/compare_wikitext`). TrackStar there: 32 x 32 random projections of each layer's
gradient, the autocorrelation of rows and of questions mixed so that 1,000 components are weighed down, damping by a
tenth of the mean eigenvalue, gradients of unit length, no optimizer state. Its documentation says to leave the
questions out of the mix where they are few, so a second line does. EK-FAC there: eigenvalues corrected, damping by a
tenth of their mean. Layers are as above, but bergson never looks at the output layer.
"""

from __future__ import annotations

import argparse
import copy
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from attribution import (
    BATCH,
    KINDS,
    LAYERS,
    N_ROWS,
    PER_KIND,
    WHOSE,
    Lab,
    Measured,
    Stopwatch,
    make_parser,
    measure,
    sequence_losses,
)
from sides import Comparison, peer_packages

from tunescope.models.training_rows import IGNORED, TrainingSequence

PACKAGES = {
    "kronfluence": ("kronfluence==1.0.1", "einops", "einconv", "opt-einsum"),
    "dattri": ("dattri-llm==0.1.0",),
    "bergson": (
        "bergson==2.5.1",
        *("jaxtyping", "wadler-lindig", "natsort", "petname", "simple-parsing", "docstring-parser", "ml_dtypes"),
        *("optree", "graphviz", "torchopt"),
    ),
}
"""What each needs beside our own torch, transformers, peft and datasets."""
RECORDED = {
    "EK-FAC": "kronfluence",
    "EK-FAC (bergson)": "bergson",
    "TrackStar (bergson)": "bergson",
    "AdamW-influence": "dattri",
}
"""What the names of scores that RESULTS.md holds begin with, each with its package; the first of a name counts."""


def ekfac(lab: Lab, model: Any, chosen: Callable[[str], bool]) -> np.ndarray:
    """Return kronfluence's EK-FAC scores: [questions, rows].

    Args:
        lab: rows and claims.
        model: a tuned model; it is left as it is.
        chosen: tells by a linear layer's name whether it counts.
    """
    import torch
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task

    layers = [name for name, part in model.named_modules() if isinstance(part, torch.nn.Linear) and chosen(name)]

    class ClaimTask(Task):  # type: ignore[misc]
        def compute_train_loss(self, batch: Any, model: Any, sample: bool = False) -> Any:
            logits = model(input_ids=batch["ids"], use_cache=False).logits[:, :-1].flatten(0, 1)
            labels = batch["labels"][:, 1:].flatten()
            if sample:
                with torch.no_grad():
                    drawn = torch.multinomial(logits.detach().softmax(-1), 1).flatten()
                labels = torch.where(labels == IGNORED, labels, drawn)
            return torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")

        def compute_measurement(self, batch: Any, model: Any) -> Any:
            return self.compute_train_loss(batch, model)

        def get_influence_tracked_modules(self) -> list[str]:
            return layers

        def get_attention_mask(self, batch: Any) -> Any:
            return batch["mask"]

    torch.manual_seed(0)
    task, rows, claims = ClaimTask(), _padded(lab.rows), _padded([options[0] for options in lab.answers])
    with tempfile.TemporaryDirectory() as folder:
        analyzer = Analyzer(
            "claims",
            prepare_model(copy.deepcopy(model), task),
            task,
            cpu=True,
            log_level=logging.ERROR,
            disable_tqdm=True,
            output_dir=folder,
        )
        analyzer.fit_all_factors("factors", rows, 32, factor_args=FactorArguments(strategy="ekfac"))
        analyzer.compute_pairwise_scores(
            "scores",
            "factors",
            claims,
            rows,
            per_device_query_batch_size=len(claims),
            per_device_train_batch_size=32,
            score_args=ScoreArguments(damping_factor=None),
        )
        scores: np.ndarray = analyzer.load_pairwise_scores("scores")["all_modules"].double().numpy()
    return scores


def _padded(sequences: Sequence[TrainingSequence]) -> list[dict[str, Any]]:
    """Return sequences as tensors of one length: ids, labels, and a mask that is 0 where there is padding."""
    import torch

    longest = max(len(sequence.ids) for sequence in sequences)
    padded = []
    for sequence in sequences:
        n, left = len(sequence.ids), longest - len(sequence.ids)
        padded.append(
            {
                "ids": torch.tensor([*sequence.ids, *[0] * left]),
                "labels": torch.tensor([*sequence.labels, *[IGNORED] * left]),
                "mask": torch.tensor([1] * n + [0] * left),
            }
        )
    return padded


def adamw_influence(lab: Lab, method: str) -> np.ndarray:
    """Return dattri-llm's AdamW-influence scores, of a tuning on all rows that it watches: [questions, rows]."""
    from dattri_llm import (
        AttributionArguments,
        GradientStorageManager,
        HookManager,
        HookManagerConfig,
        OffloadCallback,
        OptimizerStateCallback,
    )
    from dattri_llm.attribution import AdamWInfluenceAttributor

    trained = {"lora": [r"\.lora_[AB]\."], "full": [r"\.layers\..*_proj$"]}[method]
    numbers = range(len(lab.rows))
    with tempfile.TemporaryDirectory() as folder:
        stores = {name: str(Path(folder) / name) for name in ("rows", "claims", "scores")}
        hooked: list[Any] = []

        def hook(model: Any, store: str, *callbacks: Any) -> Any:
            saver = OffloadCallback(1, GradientStorageManager(store))
            return HookManager(model, config=HookManagerConfig(linear_io=trained), callbacks=[saver, *callbacks])

        def watch(model: Any, optimizer: Any) -> Callable[[int], None]:
            states = OptimizerStateCallback(model, optimizer)
            hooks = hook(model, stores["rows"], states)
            collecting = hooks.collect()
            collecting.__enter__()
            hooked.extend((hooks, collecting, states))
            return states.record_post

        model = lab.tune(method, numbers, 0, watch)
        hooks, collecting, states = hooked
        collecting.__exit__(None, None, None)
        hooks.remove()
        hooks = hook(model, stores["claims"])
        with hooks.collect():
            sequence_losses(model, [options[0] for options in lab.answers])[0].sum().backward()
        hooks.remove()
        result = AdamWInfluenceAttributor(AttributionArguments(output_dir=stores["scores"], use_cpu=True))
        table = result.attribute_from_cache(
            stores["rows"], stores["claims"], dynamics=states.dynamics(), propagation="test"
        )
    order, seen = lab.order(method, numbers, 0), dict.fromkeys(table.row_steps, 0)
    scores = np.zeros((len(lab.answers), len(lab.rows)))
    for step, line in zip(table.row_steps, table.scores.double().numpy(), strict=True):
        # lines of a step are in its batch's order; the score is what leaving out would do to the loss, with a minus
        scores[:, order[step * BATCH + seen[step]]] -= line
        seen[step] += 1
    return scores


def bergson(lab: Lab, model: Any, pipeline: Callable[[Any, Path], None]) -> np.ndarray:
    """Return the scores that one of bergson's pipelines writes: [questions, rows].

    Args:
        lab: rows and claims.
        model: a tuned model, with its adapters or without; bergson reads it from a folder.
        pipeline: is given an index configuration and the folder of the claims.
    """
    import torch
    from bergson.config.config import DataConfig, TrackstarIndexConfig
    from bergson.data import load_scores
    from datasets import Dataset

    torch.manual_seed(0)
    sides = {"rows": lab.rows, "claims": [options[0] for options in lab.answers]}
    with tempfile.TemporaryDirectory() as place, _quiet():
        folder = Path(place)
        # an adapter folder names the base that it belongs to, so that one is written too
        lab.model.save_pretrained(folder / "base")
        if hasattr(model, "peft_config"):
            model = copy.deepcopy(model)
            model.peft_config["default"].base_model_name_or_path = str(folder / "base")
        model.save_pretrained(folder / "model")
        for name in ("base", "model"):
            lab.tokenizer.save_pretrained(folder / name)
        for name, sequences in sides.items():
            columns = {
                "input_ids": [list(each.ids) for each in sequences],
                "labels": [list(each.labels) for each in sequences],
                "length": [len(each.ids) for each in sequences],
            }
            Dataset.from_dict(columns).save_to_disk(folder / name)
        config = TrackstarIndexConfig(
            run_path=str(folder / "run"),
            model=str(folder / "model"),
            data=DataConfig(dataset=str(folder / "rows")),
            token_batch_size=lab.model.config.max_position_embeddings,
        )
        pipeline(config, folder / "claims")
        scores: np.ndarray = load_scores(folder / "run" / "scores")[:].astype(float).T
    return scores


def trackstar(config: Any, claims: Path, mix: bool) -> None:
    """Run bergson's TrackStar as its leaderboard does, with the claims in the mix or without."""
    from bergson.cli.trackstar import trackstar as run
    from bergson.config.config import PreprocessConfig, QuerySetConfig, TrackstarConfig

    config.projection_dim = 32
    query, lengths = QuerySetConfig(dataset=str(claims)), PreprocessConfig(unit_normalize=True)
    run(config, TrackstarConfig(query=query, preprocess_cfg=lengths, mix_hessians=mix))


def bergson_ekfac(config: Any, claims: Path) -> None:
    """Run bergson's EK-FAC as its leaderboard does."""
    from bergson.config.config import (
        HessianConfig,
        HessianPipelineConfig,
        PreprocessConfig,
        QuerySetConfig,
        ScoreConfig,
    )
    from bergson.hessians.pipeline import hessian_pipeline

    config.projection_dim, config.max_batch_size = 0, 64
    query = HessianPipelineConfig(query=QuerySetConfig(dataset=str(claims)))
    hessian_pipeline(config, HessianConfig("kfac", ev_correction=True), ScoreConfig(), PreprocessConfig(), query)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what bergson prints and logs, and its progress bars, out of the tables."""
    from datasets import disable_progress_bars, enable_progress_bars

    disable_progress_bars()
    logging.disable(logging.WARNING)
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            yield
    finally:
        logging.disable(logging.NOTSET)
        enable_progress_bars()


def peer_scores(
    packages: Sequence[str], lab: Lab, method: str, tuned: Any, stopwatch: Stopwatch
) -> dict[str, np.ndarray]:
    """Return the scores of the packages, by name."""
    merged = copy.deepcopy(tuned).merge_and_unload() if method == "lora" else tuned
    weights = "tuned, merged weights" if method == "lora" else "tuned"
    models = {weights: merged} | ({"tuned, adapters": tuned} if method == "lora" else {})
    runs: dict[str, Callable[[], np.ndarray]] = {}
    if "kronfluence" in packages:
        # the output layer isn't trained by LoRA
        layers = (lambda name: name != "lm_head") if method == "lora" else (lambda name: True)
        runs[f"EK-FAC, {weights}"] = partial(ekfac, lab, merged, layers)
        if method == "lora":
            runs["EK-FAC, tuned, adapters"] = partial(ekfac, lab, tuned, lambda name: ".lora_" in name)
    if "dattri" in packages:
        runs["AdamW-influence, the whole tuning"] = partial(adamw_influence, lab, method)
    if "bergson" in packages:
        for what, model in models.items():
            runs[f"TrackStar (bergson), {what}"] = partial(bergson, lab, model, partial(trackstar, mix=True))
            unmixed = partial(trackstar, mix=False)
            runs[f"TrackStar (bergson), rows' statistics alone, {what}"] = partial(bergson, lab, model, unmixed)
            runs[f"EK-FAC (bergson), {what}"] = partial(bergson, lab, model, bergson_ekfac)
    return {name: stopwatch.time(name, run) for name, run in runs.items()}


def main() -> None:
    """Measure every world, tuned in every way that is asked for."""
    parser: argparse.ArgumentParser = make_parser()
    parser.add_argument("--packages", nargs="+", default=list(PACKAGES), choices=list(PACKAGES))
    parser.add_argument("--save", action="store_true", help="keep the comparisons for RESULTS.md")
    arguments = parser.parse_args()
    for name in arguments.packages:
        sys.path.append(peer_packages(f"attribution-{name}", *PACKAGES[name]))
    if "bergson" in arguments.packages:
        import_module("bergson.cli.trackstar")  # some seconds, which aren't the scores'
    peers = partial(peer_scores, arguments.packages)
    worlds = [measure(seed, method, arguments, peers) for seed in arguments.seeds for method in arguments.methods]
    if arguments.save:
        save(arguments.packages, arguments.methods, worlds)


def save(packages: Sequence[str], methods: Sequence[str], worlds: Sequence[Measured]) -> None:
    """Keep a comparison for each peer; a world and a way of tuning are a turn, and seconds are the processor's."""
    effect = next(iter(worlds[0].lds))
    layers = next(iter(LAYERS))
    ours = [sum(world.seconds[f"gradients of {whose}, {layers}"] for whose in WHOSE) for world in worlds]
    for begins, package in RECORDED.items():
        if package not in packages:
            continue
        names = [next(name for name in world.lds if name.partition(",")[0] == begins) for world in worlds]
        own, other = (
            ", ".join(f"{world.lds[name]:.3f}" for world, name in zip(worlds, each, strict=True))
            for each in ([effect] * len(worlds), names)
        )
        Comparison(
            name=f"attribution-{begins.lower().replace(' (bergson)', '-bergson')}",
            what=f"`attribute`: {N_ROWS} rows scored for {PER_KIND * len(KINDS)} claims of a tiny model, after tuning "
            f"by {', then '.join(methods)} (seconds of the processor)",
            peer=f"{begins.removesuffix(' (bergson)')} of {PACKAGES[package][0].replace('==', ' ')}",
            ours=ours,
            theirs=[world.seconds[name] for world, name in zip(worlds, names, strict=True)],
            same=f"LDS against tuning again on halves: ours {own}; theirs {other}",
            packages=("torch", "transformers", "peft"),
        ).save()


if __name__ == "__main__":
    main()
