"""The unified reward: rewards a second on one core, without embeddings, with cached ones, and what others take.

Responses are generated gold answers of the five tasks and changed copies of them, a group of eight for each ground
truth, as GRPO draws them. In CPU time, medians of three runs.

- without embeddings: scheduling, and tool calls without `reply`; the target is 2,000 rewards/s.
- cached embeddings: decomposition, workflows and replies whose texts were seen before; the target is 500 rewards/s.
- sentence-transformers without a cache: the cosines of the same texts, `encode` called for each reward, as rewards
  are commonly written; same model, all-MiniLM-L6-v2.
- verl's default reward, `default_compute_score` with data source openai/gsm8k, on the same responses: two patterns and
  a comparison of strings, the least that a reward can do.

    python benchmarks/rewards.py [--full]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _result import entry
from verl.utils.reward_score import default_compute_score

from data_synth.tools.embedding import open_encoder
from magic_megatron.rl.rewards import RewardSettings, open_settings, score
from magic_megatron.rl.rewards.semantic import Embeddings

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("tests", "tests/unit", "tests/fuzz")]
from fuzz_rewards import mutated  # noqa: E402
from reward_rows import answers, recipe  # noqa: E402

GROUP = 8
WITHOUT, CACHED = 2_000.0, 500.0
type Case = tuple[str, str, dict[str, Any]]


def main() -> None:
    """Measure and end with a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="uncached embeddings of all responses")
    full = parser.parse_args().full
    print(
        f"ours: magic_megatron.rl.rewards; baselines: sentence-transformers {version('sentence-transformers')},"
        f" verl {version('verl')} default_compute_score"
    )
    settings = open_settings(recipe())
    plain, semantic = _cases(embedded=False), _cases(embedded=True)
    without, cached = _rate(plain, settings), _rate(semantic, settings)
    print(f"without embeddings, {len(plain):,} responses: {without:,.0f} rewards/s")
    print(f"cached embeddings, {len(semantic):,} responses: {cached:,.0f} rewards/s")
    for task in sorted({case[0] for case in semantic}):
        some = [case for case in semantic if case[0] == task]
        print(f"  {task}, {len(some):,} responses: {_rate(some, settings):,.0f} rewards/s")
    uncached = _uncached(semantic if full else semantic[:: len(semantic) // 60])
    print(f"sentence-transformers for each reward: {uncached:,.1f} rewards/s")
    default = _default(plain)
    print(f"verl's default reward: {default:,.0f} rewards/s")
    print(
        json.dumps(
            [
                _entry("without_embeddings", without, WITHOUT, 1.0),
                _entry("cached_embeddings", cached, CACHED, 1.0),
                _entry("cached_against_uncached", cached, uncached, 10.0),
                _entry("without_embeddings_against_verl_default", without, default, 0.01),
            ]
        )
    )


def _cases(embedded: bool) -> list[Case]:
    """A gold answer and seven changed ones for each ground truth, in turns over the tasks."""
    cases: list[Case] = []
    taken: dict[str, int] = {}
    for answer in answers():
        has_reply = '"reply"' in answer.response or answer.task in ("decomposition", "procedural")
        if has_reply != embedded or taken.get(answer.task, 0) == 40:
            continue
        taken[answer.task] = taken.get(answer.task, 0) + 1
        cases.append((answer.task, answer.response, answer.ground_truth))
        for number in range(1, GROUP):
            changed = _changed(answer.response, number)
            cases.append((answer.task, changed, answer.ground_truth))
    return cases


def _changed(response: str, number: int) -> str:
    """Other words in the same format for most, a broken format for two."""
    if number > GROUP - 3:
        return mutated(response, number)
    words = response.split(" ")
    inner = [i for i, word in enumerate(words) if word.isalpha()]
    for place in inner[number :: GROUP + number]:
        words[place] = "another"
    return " ".join(words)


def _rate(cases: Sequence[Case], settings: RewardSettings) -> float:
    def run() -> None:
        for task, response, truth in cases:
            score(task, response, truth, settings)

    run()
    return len(cases) / statistics.median(_seconds(run) for _ in range(3))


def _uncached(cases: Sequence[Case]) -> float:
    """A new cache for each reward: its texts are embedded again, in one call of the model."""
    config = recipe()
    encode = open_encoder(config.embedding.model, config.embedding.device)
    encode(["loads the model"])

    def run() -> None:
        for task, response, truth in cases:
            score(task, response, truth, RewardSettings(config, Embeddings(encode, 1, 8192)))

    return len(cases) / _seconds(run)


def _default(cases: Sequence[Case]) -> float:
    def run() -> None:
        for _, response, _ in cases:
            default_compute_score("openai/gsm8k", response, "42")

    return len(cases) / statistics.median(_seconds(run) for _ in range(3))


def _seconds(run: Callable[[], None]) -> float:
    starts = time.process_time()
    run()
    return time.process_time() - starts


def _entry(name: str, ours: float, baseline: float, target: float) -> dict[str, Any]:
    return entry(f"rewards/{name}", ours / baseline, target, "higher", ours, baseline, "rewards/s")


if __name__ == "__main__":
    main()
