"""``python -m magic_megatron.plan``: layouts of a model on a cluster that fit, ranked by estimated step time.

Nothing is started and nothing needs a GPU. A layout given as a whole (``parallel=magicagent``) is explained in detail.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from omegaconf import DictConfig

from magic_megatron.config.cluster import ClusterConfig
from magic_megatron.config.layout import check_model_fits, data_parallel_size
from magic_megatron.config.model import ModelConfig
from magic_megatron.planner import table
from magic_megatron.planner.search import SearchResult, SearchSpace, all_layouts, search
from magic_megatron.planner.workload import Recompute, Workload
from recipes.command import InputError, make_folder, run, typed

_MOST_NODES = 1024
_MICRO_BATCH_SIZES = (1, 2, 4, 8)
_RECOMPUTES: tuple[Recompute, ...] = ("none", "full")


@dataclass(frozen=True)
class ParallelChoice:
    """Sizes of a layout; ``None`` leaves one open."""

    tp: int | None
    pp: int | None
    cp: int | None
    ep: int | None
    etp: int
    sequence_parallel: bool | None

    @property
    def is_whole(self) -> bool:
        return None not in (self.tp, self.pp, self.cp, self.ep)


@dataclass(frozen=True)
class PlanConfig:
    """``recipes/plan.yaml``."""

    model: ModelConfig
    cluster: ClusterConfig
    parallel: ParallelChoice
    nodes: int
    dtype: Literal["bf16", "fp32"]
    sequence_length: int
    row_length: int | None
    micro_batch_size: int | None
    global_batch_size: int | None
    packs_per_gpu: float
    recompute: Recompute | None
    top: int
    output: str | None

    @property
    def world_size(self) -> int:
        return self.nodes * self.cluster.gpus_per_node


def main(recipe: DictConfig) -> None:
    config = typed(PlanConfig, recipe)
    _check_values(config)
    work = _workload(config)
    space = _space(config, work)
    output = _output(config)
    result = search(work, config.cluster, space, config.world_size)
    _print(config, work, result)
    if output is not None:
        _write(output, table.as_json(work, config.cluster, config.world_size, result))
        print(f"\nwrote {output}")


def _check_values(config: PlanConfig) -> None:
    if not 1 <= config.nodes <= _MOST_NODES:
        raise InputError(f"nodes={config.nodes}: must lie between 1 and {_MOST_NODES}; try nodes=4")
    for key in (
        "sequence_length",
        "row_length",
        "micro_batch_size",
        "global_batch_size",
        "packs_per_gpu",
        "top",
    ):
        value = getattr(config, key)
        if value is not None and value <= 0:
            raise InputError(f"{key}={value}: must be positive; leave it out for the default, see --cfg job")
    if config.row_length is not None and config.row_length > config.sequence_length:
        raise InputError(
            f"row_length={config.row_length}: no row is longer than its pack of sequence_length="
            f"{config.sequence_length}; try row_length={config.sequence_length}"
        )
    if config.parallel.etp != 1:
        raise InputError(
            f"parallel.etp={config.parallel.etp}: only whole experts are planned; use parallel.etp=1"
        )
    if config.model.vocab_size is None:
        raise InputError(
            f"model.vocab_size=null: {config.model.name} has as many rows as the tokenizer has tokens; give"
            " model.vocab_size=2048"
        )


def _workload(config: PlanConfig) -> Workload:
    assert config.model.vocab_size is not None
    return Workload(
        model=config.model,
        vocab_size=config.model.vocab_size,
        dtype=config.dtype,
        sequence_length=config.sequence_length,
        row_length=config.row_length or config.sequence_length,
        global_batch_size=config.global_batch_size or max(1, round(config.packs_per_gpu * config.world_size)),
    )


def _space(config: PlanConfig, work: Workload) -> SearchSpace:
    """What is tried. A layout given as a whole must keep the rules.

    Raises:
        InputError: it doesn't.
    """
    sizes = {key: getattr(config.parallel, key) for key in ("tp", "pp", "cp", "ep", "sequence_parallel")}
    layouts = all_layouts(work, config.world_size, **sizes)
    if config.parallel.is_whole:
        try:
            data_parallel_size(layouts[0], config.world_size)
            check_model_fits(layouts[0], work.model, work.sequence_length)
        except InputError as error:
            raise InputError(str(error).replace("data.sequence_length", "sequence_length")) from None
    given, recompute = config.micro_batch_size, config.recompute
    return SearchSpace(
        layouts=layouts,
        micro_batch_sizes=_MICRO_BATCH_SIZES if given is None else (given,),
        recomputes=_RECOMPUTES if recompute is None else (recompute,),
    )


def _print(config: PlanConfig, work: Workload, result: SearchResult) -> None:
    num_refused = sum(len(messages) for messages in result.refused.values())
    print(table.headline(work, config.cluster, config.nodes))
    print(
        f"\n{len(result.fitting)} fit, {len(result.over)} need too much memory, {num_refused} break a rule"
        + (f"; the first {config.top}:\n" if len(result.fitting) > config.top else ":\n")
    )
    if result.fitting:
        print(table.ranking(result.fitting, config.top))
    print(table.misses(result))
    best = (result.fitting or result.over)[:1]
    if config.parallel.is_whole:
        for candidate in best:
            print(f"\n{table.explanation(work, candidate)}")
    for candidate in result.fitting[:1]:
        print(f"\nto train as the first: {table.training_keys(work, candidate.place)}")


def _output(config: PlanConfig) -> Path | None:
    if config.output is None:
        return None
    path = Path(config.output)
    make_folder("output", path.parent)
    if path.is_dir():
        raise InputError(f"output={path}: is a folder; give a file, such as {path / 'plan.json'}")
    return path


def _write(path: Path, plan: dict[str, object]) -> None:
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(json.dumps(plan, indent=1) + "\n")
    partial.replace(path)


if __name__ == "__main__":
    run("plan", main)
