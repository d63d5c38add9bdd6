"""The composed recipes whose every value is checked in: the paper's two models, their rehearsals, the ablations.

After a change of recipes or of what they configure, ``python tests/golden_recipes.py`` writes ``tests/golden`` anew:
its diff shows what the change means for a run.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from magic_megatron.config.sft import SftConfig
from recipes.command import compose, typed

FOLDER = Path(__file__).with_name("golden")
REFRESH = "python tests/golden_recipes.py"
ABLATIONS = sorted(path.stem for path in (Path(__file__).parents[1] / "recipes/ablation").glob("*.yaml"))

CLUSTER = ["cluster=a800", "platform=cuda", "train.recompute=full"]
REHEARSAL = ["cluster=cpu", "platform=rehearsal"]
MAGICAGENT_30B_A3B = ["model=qwen3_30b_a3b", "parallel=magicagent", *CLUSTER]
RECIPES = {
    "magicagent_30b_a3b": MAGICAGENT_30B_A3B,
    "magicagent_32b": ["model=qwen3_32b", "parallel=magicagent_dense", *CLUSTER],
    "rehearsal_30b_a3b": ["model=qwen3_moe_tiny", "parallel=magicagent", *REHEARSAL],
    "rehearsal_32b": ["model=qwen3_tiny", "parallel=magicagent_dense", *REHEARSAL],
    **{f"ablation_{name}": [*MAGICAGENT_30B_A3B, f"ablation={name}"] for name in ABLATIONS},
}


def composed(overrides: list[str]) -> SftConfig:
    """The recipe of SFT as a run would get it."""
    return typed(SftConfig, compose("sft", [*overrides, "data.path=DATA", "output_dir=RUN"]))


def flat(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``("optim.lr", 1e-05)`` for each leaf."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def golden(overrides: list[str]) -> str:
    """One line a leaf, below the overrides that make the recipe."""
    leaves = dict(flat(dataclasses.asdict(composed(overrides))))
    return f"# {' '.join(overrides)}\n" + yaml.safe_dump(leaves, sort_keys=False)


def write() -> None:
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.yaml"):
        if path.stem not in RECIPES:
            path.unlink()
    for name, overrides in RECIPES.items():
        (FOLDER / f"{name}.yaml").write_text(golden(overrides))


if __name__ == "__main__":
    write()
