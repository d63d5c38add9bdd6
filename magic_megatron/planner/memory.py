"""Memory of the fullest rank, and whether a GPU has it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from magic_megatron.config.cluster import ClusterConfig
from magic_megatron.config.layout import data_parallel_size
from magic_megatron.config.sft import SftConfig
from magic_megatron.planner.activations import kept_by_layer, layer_input, logits, workspace
from magic_megatron.planner.parameters import stage_parameters
from magic_megatron.planner.workload import Placement, Workload

_FP32 = 4


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on the fullest rank of a layout, at the fullest moment of a step.

    Attributes:
        stage: the pipeline stage of that rank.
        weights: in Megatron-Core's parameter buffers.
        gradients: in its gradient buffers, in fp32.
        optimizer: this rank's share of fp32 main weights (where the weights aren't fp32) and both Adam moments.
        activations: kept for backward, of all micro-batches in flight.
        workspace: tensors of the layer at work; when recomputing, all that it keeps.
        logits: of the vocabulary, on the last stage.
        usable: what tensors may fill of a GPU; infinite where memory isn't judged.
    """

    stage: int
    weights: float
    gradients: float
    optimizer: float
    activations: float
    workspace: float
    logits: float
    usable: float

    @property
    def model_state(self) -> float:
        """What is there all the time."""
        return self.weights + self.gradients + self.optimizer

    @property
    def total(self) -> float:
        """Logits are gone when the layers' backward passes begin."""
        return self.model_state + self.activations + max(self.workspace, self.logits)

    @property
    def fits(self) -> bool:
        return self.total <= self.usable

    @property
    def largest(self) -> str:
        """Name of the largest term."""
        terms = ("weights", "gradients", "optimizer", "activations", "workspace", "logits")
        return max(terms, key=lambda term: getattr(self, term))


def fits(
    config: SftConfig, cluster: ClusterConfig, world_size: int, vocab_size: int | None = None
) -> MemoryEstimate:
    """Memory of a run of ``magic_megatron.sft``; its ``fits`` says whether a GPU of ``cluster`` has it.

    Args:
        world_size: number of processes.
        vocab_size: rows of the embedding; ``None`` takes the model's own number.

    Raises:
        InputError: a layout that ``world_size`` processes can't have.
    """
    size = vocab_size or config.model.vocab_size
    assert size is not None, f"{config.model.name} has as many rows as the tokenizer: give vocab_size"
    work = Workload(
        model=config.model,
        vocab_size=size,
        dtype=config.platform.dtype,
        sequence_length=config.data.sequence_length,
        row_length=config.data.sequence_length,
        global_batch_size=config.train.global_batch_size,
    )
    place = Placement(
        parallel=config.parallel,
        world_size=world_size,
        dp=data_parallel_size(config.parallel, world_size),
        micro_batch_size=config.train.micro_batch_size,
        recompute=config.train.recompute,
    )
    return estimate_memory(work, place, cluster.usable_bytes)


def estimate_memory(work: Workload, place: Placement, usable: float) -> MemoryEstimate:
    """Of the stage that needs most: the first has most micro-batches in flight, the last has the logits."""
    stages = sorted({0, min(1, place.parallel.pp - 1), place.parallel.pp - 1})
    return max((stage_memory(work, place, usable, stage) for stage in stages), key=lambda m: m.total)


def stage_memory(work: Workload, place: Placement, usable: float, stage: int) -> MemoryEstimate:
    """Of a rank of pipeline stage ``stage``."""
    state = model_state(work, place, stage)
    layers = work.model.num_hidden_layers // place.parallel.pp
    in_flight = min(place.num_microbatches(work), place.parallel.pp - stage)
    layer, extra = kept_by_layer(work, place), workspace(work, place)
    is_last = stage == place.parallel.pp - 1
    recomputes = place.recompute == "full"
    return dataclasses.replace(
        state,
        activations=in_flight * layers * (layer_input(work, place) if recomputes else layer),
        workspace=extra + (layer if recomputes else 0.0),
        logits=logits(work, place) if is_last else 0.0,
        usable=usable,
    )


def model_state(work: Workload, place: Placement, stage: int) -> MemoryEstimate:
    """Weights, gradients and optimizer state alone.

    DistributedOptimizer gives each replica an equal part of each buffer. Weights that are fp32 are their own main
    weights.
    """
    held = stage_parameters(work.model, work.vocab_size, place.parallel, place.dp, stage)
    buffers = held.shared_buffer + held.experts_buffer
    sharded = held.shared_buffer / place.shared_replicas + held.experts_buffer / place.expert_replicas
    copies = 2 if work.dtype == "fp32" else 3
    return MemoryEstimate(
        stage=stage,
        weights=work.itemsize * buffers,
        gradients=_FP32 * buffers,
        optimizer=copies * _FP32 * sharded,
        activations=0.0,
        workspace=0.0,
        logits=0.0,
        usable=float("inf"),
    )
