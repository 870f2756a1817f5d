"""Near-duplicates beside datasketch's MinHash + LSH and semhash's embeddings: seconds, and recall of planted ones.

    python benchmarks/near_duplicates.py [--texts 20000] [--planted 500] [--rounds 3] [--save]

Texts are those of `real_rows.py`, 52,000 at most. Each planted one is a copy of an earlier text in which some words are
replaced by others of the texts; it counts where its word 3-grams still have a Jaccard similarity of .8 or more to its
origin's, which is what we and the datasketch side look for (120 permutations in 20 bands of 6, exact Jaccard at .8).
semhash goes by meaning, at its own threshold of .9, so that a copy in other words is found as well; its own model can't
be had here, and a static one of the same kind is distilled from all-MiniLM-L6-v2 by model2vec beforehand (not timed).
The sides take turns after a warm-up. "Others" are texts that a side names beside the planted ones; those of ours and of
datasketch have a similarity of .8 to an earlier text.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from statistics import median

from real_rows import rows
from sides import Comparison, peer_packages

from tunescope.text.near_duplicates import repeats, sketch
from tunescope.text.words import hash_words, words

SEMHASH = "semhash==0.5.0"
AROUND_SEMHASH = (
    "model2vec==0.10.0",
    "vicinity==0.4.6",
    "pyversity==0.2.0",
    "frozendict==2.5.1",
    "numkong==7.8.6",
    "orjson==3.13.0",
    "usearch==2.26.6",
    "skeletoken==0.6.1",
)
SIMILAR = 0.8
Find = Callable[[Sequence[str]], set[int]]


def shingles(text: str) -> set[str]:
    """Return a text's word 3-grams."""
    found = words(text)
    return {" ".join(found[i : i + 3]) for i in range(len(found) - 2)}


def jaccard(a: set[str], b: set[str]) -> float:
    """Return the similarity of two sets."""
    return len(a & b) / len(a | b) if a or b else 0.0


def plant(texts: list[str], count: int, seed: int = 0) -> tuple[list[str], set[int]]:
    """Return the texts and behind them changed copies of some; the numbers of those that are still similar enough."""
    rng = random.Random(seed)
    drawn = rng.sample([number for number, text in enumerate(texts) if len(text.split()) >= 20], count)
    other = [word for text in texts[:500] for word in text.split()]
    copies = []
    for number in drawn:
        copy = texts[number].split(" ")
        for place in rng.sample(range(len(copy)), min(len(copy), rng.randint(1, 1 + len(copy) // 30))):
            copy[place] = rng.choice(other)
        copies.append(" ".join(copy))
    similar = {
        len(texts) + at
        for at, (number, copy) in enumerate(zip(drawn, copies, strict=True))
        if jaccard(shingles(texts[number]), shingles(copy)) >= SIMILAR
    }
    return texts + copies, similar


def ours(texts: Sequence[str]) -> set[int]:
    """Return the numbers of the texts that `check` calls near-duplicates of an earlier one."""
    return {each.later for each in repeats(sketch(*hash_words(list(texts))), SIMILAR)}


def datasketch(texts: Sequence[str]) -> set[int]:
    """Find them with datasketch: candidates from LSH, decided by exact Jaccard."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=120, params=(20, 6))
    sets: list[set[str]] = []
    found = set()
    for number, text in enumerate(texts):
        own = shingles(text)
        minhash = MinHash(num_perm=120)
        minhash.update_batch([shingle.encode() for shingle in own])
        if any(jaccard(own, sets[int(other)]) >= SIMILAR for other in index.query(minhash)):
            found.add(number)
        index.insert(str(number), minhash)
        sets.append(own)
    return found


def semhash() -> Find:
    """Return a search by semhash, with a static model distilled from our embedder."""
    sys.path.append(peer_packages("semhash", SEMHASH, *AROUND_SEMHASH))
    from model2vec.distill import distill
    from semhash import SemHash

    from tunescope.models.embedded import EMBEDDER, fetch

    model = distill(model_name=str(fetch(EMBEDDER)))

    def find(texts: Sequence[str]) -> set[int]:
        index = SemHash.from_records(records=[{"text": text} for text in texts], columns=["text"], model=model)
        kept = {record["text"] for record in index.self_deduplicate(threshold=0.9).selected}
        return {number for number, text in enumerate(texts) if text not in kept}

    return find


def main() -> None:
    """Measure the sides in turn and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--planted", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", action="store_true", help="keep the comparisons for RESULTS.md")
    given = parser.parse_args()
    plain = [f"{row['instruction']}\n\n{row['input']}\n{row['output']}" for row in rows(given.texts)]
    texts, planted = plant(list(dict.fromkeys(plain)), given.planted)
    sides: dict[str, Find] = {"tunescope": ours, "datasketch": datasketch, "semhash": semhash()}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    found: dict[str, set[int]] = {}
    for number in range(given.rounds + 1):
        for name, find in sides.items():
            began = time.perf_counter()
            found[name] = find(texts if number else texts[:2000])
            if number:
                seconds[name].append(time.perf_counter() - began)
    first_copy = len(texts) - given.planted
    said = {}
    for name, numbers in found.items():
        others = sum(number < first_copy for number in numbers)
        said[name] = f"{len(numbers & planted)} of {len(planted)} planted ones, {others:,} others"
        print(f"{name}: {median(seconds[name]):.2f} s, {said[name]}")
    for name, package in (("datasketch", f"datasketch {version('datasketch')}"), ("semhash", SEMHASH)):
        if given.save:
            Comparison(
                name=f"near-duplicates-{name}",
                what=f"`check`: near-duplicates among {len(texts):,} texts",
                peer=package.replace("==", " "),
                ours=seconds["tunescope"],
                theirs=seconds[name],
                same=f"ours: {said['tunescope']}; theirs: {said[name]}",
                packages=("numpy", "rensa"),
            ).save()


if __name__ == "__main__":
    main()
