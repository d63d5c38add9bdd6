"""Near-duplicates among short texts: recall, precision and texts per second, against rensa's MinHash.

A million requests of 16 to 60 words, one in ten of them a near-duplicate of an earlier one: a word replaced, two words
swapped, or a word dropped. Ours keeps a text unless the index has a fingerprint within `distance` bits: 3, the
recipe's, and 7, which is shown on all texts with `--full` alone. rensa (`RMinHash`, 128 permutations over the same
words, and `RMinHashLSH` with 16 bands at its threshold of 0.7, candidates compared by Jaccard similarity) does the same
on a part of the texts, since it takes longer; rates and quality are compared on that part.

Recall: planted near-duplicates that are dropped. Precision: dropped texts that were planted. A text is judged by
whether it was planted at all, for both.

    python benchmarks/dedup.py [--full]
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from rensa import RMinHash, RMinHashLSH

from data_synth.filters.simhash import SimHashIndex, features, simhashes

NUM_TEXTS, PART, FULL_PART = 1_000_000, 50_000, 300_000
SECONDS = 180.0
SHARE_PLANTED, SEED = 0.1, 0
DISTANCES = (3, 7)
PERMUTATIONS, BANDS, THRESHOLD = 128, 16, 0.7
VERBS, NOUNS, STARTS, ENDS = (
    line.split()
    for line in (
        "book find check order cancel send search translate schedule compare track rent reserve",
        "flight hotel email order weather meeting invoice taxi movie recipe route stock ticket",
        "ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wi xo yu",
        "lar men tor sin gal vor dex pol nem rit",
    )
)
WORDS = [start + end for start in STARTS for end in ENDS]


def main() -> None:
    """Measure and end with a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--full", action="store_true", help=f"distance 7 on all texts, rensa on {FULL_PART:,}"
    )
    full = parser.parse_args().full
    part = FULL_PART if full else PART
    print(f"ours: data_synth.filters.simhash; baseline: rensa {version('rensa')}")
    texts, planted = _texts(NUM_TEXTS)
    results = []
    for distance in DISTANCES if full else DISTANCES[:1]:
        seconds, dropped = _timed(lambda d=distance: _ours(texts, d))
        recall, precision = _quality(dropped, planted)
        print(
            f"ours, distance {distance}, {NUM_TEXTS:,} texts: {seconds:.1f} s of CPU time on one core, recall"
            f" {recall:.3f}, precision {precision:.4f}"
        )
        results.append(_entry(f"dedup/million_texts_distance_{distance}", seconds, SECONDS, "lower", "s"))
    some, known = texts[:part], planted[:part]
    seconds, dropped = _timed(lambda: _rensa(some))
    theirs = (part / seconds, *_quality(dropped, known))
    print(
        f"rensa, {part:,} texts: {theirs[0]:,.0f} texts/s, recall {theirs[1]:.3f}, precision {theirs[2]:.4f}"
    )
    for distance in DISTANCES:
        seconds, dropped = _timed(lambda d=distance: _ours(some, d))
        ours = (part / seconds, *_quality(dropped, known))
        print(
            f"ours, distance {distance}, {part:,} texts: {ours[0]:,.0f} texts/s, recall {ours[1]:.3f}, precision"
            f" {ours[2]:.4f}; {ours[0] / theirs[0]:.1f} times as fast"
        )
        for name, unit, place in (("rate", "texts/s", 0), ("recall", "share", 1), ("precision", "share", 2)):
            entry = _entry(f"dedup/{name}_distance_{distance}", ours[place], theirs[place], "higher", unit)
            results.append(entry)
    print(json.dumps(results))


def _texts(number: int) -> tuple[list[str], list[bool]]:
    """Texts, and which of them are near-duplicates of an earlier one."""
    rng, texts, planted = random.Random(SEED), list[str](), list[bool]()
    originals = list[int]()
    for _ in range(number):
        is_planted = bool(originals) and rng.random() < SHARE_PLANTED
        if is_planted:
            texts.append(_edited(texts[rng.choice(originals)], rng))
        else:
            originals.append(len(texts))
            opening = [rng.choice(VERBS), "a", rng.choice(NOUNS), "for"]
            texts.append(" ".join(opening + rng.choices(WORDS, k=rng.randint(12, 56))))
        planted.append(is_planted)
    return texts, planted


def _edited(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    place = rng.randrange(len(words) - 1)
    match rng.randrange(3):
        case 0:
            words[place] = rng.choice(WORDS)
        case 1:
            words[place], words[place + 1] = words[place + 1], words[place]
        case 2:
            del words[place]
    return " ".join(words)


def _ours(texts: list[str], distance: int) -> list[bool]:
    """Which texts are dropped."""
    index, dropped = SimHashIndex(distance), list[bool]()
    for fingerprint in simhashes(texts).tolist():
        dropped.append(index.find(fingerprint) is not None)
        if not dropped[-1]:
            index.add(fingerprint)
    return dropped


def _rensa(texts: list[str]) -> list[bool]:
    index = RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=BANDS)
    kept, dropped = dict[int, Any](), list[bool]()
    for number, text in enumerate(texts):
        sketch = RMinHash(num_perm=PERMUTATIONS, seed=SEED)
        sketch.update(features(text))
        dropped.append(any(sketch.jaccard(kept[other]) >= THRESHOLD for other in index.query(sketch)))
        if not dropped[-1]:
            kept[number] = sketch
            index.insert(number, sketch)
    return dropped


def _timed(work: Callable[[], list[bool]]) -> tuple[float, list[bool]]:
    cpu = time.process_time()
    dropped = work()
    return time.process_time() - cpu, dropped


def _quality(dropped: list[bool], planted: list[bool]) -> tuple[float, float]:
    """Recall and precision."""
    both = sum(one and other for one, other in zip(dropped, planted, strict=True))
    return both / sum(planted), both / max(sum(dropped), 1)


def _entry(name: str, ours: float, baseline: float, better: str, unit: str) -> dict[str, Any]:
    return {
        "name": name,
        "ratio": round(ours / baseline, 4),
        "target": 1.0,
        "better": better,
        "ours": round(ours, 4),
        "baseline": round(baseline, 4),
        "unit": unit,
    }


if __name__ == "__main__":
    main()
