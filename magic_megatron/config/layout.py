"""Layout algebra: world = tp · pp · cp · dp, and on the expert side world = etp · ep · pp · expert-dp."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from magic_megatron.config.model import ModelConfig
from recipes.command import InputError


@dataclass(frozen=True)
class ParallelConfig:
    """One entry of ``recipes/parallel``. ``sequence_parallel=None`` means: on when tp > 1."""

    tp: int
    pp: int
    cp: int
    ep: int
    etp: int
    sequence_parallel: bool | None

    @property
    def uses_sequence_parallel(self) -> bool:
        return self.tp > 1 if self.sequence_parallel is None else self.sequence_parallel

    @property
    def is_countable(self) -> bool:
        """All sizes are at least 1, so that something can be divided by them."""
        return min(self.tp, self.pp, self.cp, self.ep, self.etp) >= 1


def data_parallel_size(parallel: ParallelConfig, world_size: int) -> int:
    """Number of model replicas (dp).

    Raises:
        InputError: a size below 1, or a world that one side of the layout doesn't divide.
    """
    for key in ("tp", "pp", "cp", "ep", "etp"):
        if getattr(parallel, key) < 1:
            raise InputError(
                f"parallel.{key}={getattr(parallel, key)}: must be at least 1; try parallel.{key}=1"
            )
    dense = parallel.tp * parallel.pp * parallel.cp
    if world_size % dense:
        raise InputError(
            f"parallel.tp={parallel.tp} parallel.pp={parallel.pp} parallel.cp={parallel.cp}: tp·pp·cp = {dense} must"
            f" divide the world size {world_size}; start torchrun --nproc-per-node {_next_multiple(world_size, dense)},"
            " or lower one of them"
        )
    expert = parallel.etp * parallel.ep * parallel.pp
    if world_size % expert:
        raise InputError(
            f"parallel.ep={parallel.ep}: etp·ep·pp = {parallel.etp}·{parallel.ep}·{parallel.pp} = {expert} must divide"
            f" the world size {world_size}; try {_choices('ep', world_size // (parallel.etp * parallel.pp))}"
        )
    return world_size // dense


def check_model_fits(parallel: ParallelConfig, model: ModelConfig, sequence_length: int) -> None:
    """Heads, layers, experts, vocabulary and sequence must split evenly.

    Raises:
        InputError: naming the first key that doesn't divide, with values that do.
    """
    for misfit in model_misfits(parallel, model, sequence_length):
        raise misfit


def model_misfits(parallel: ParallelConfig, model: ModelConfig, sequence_length: int) -> Iterator[InputError]:
    """Every key of ``check_model_fits`` that doesn't divide, for sizes of at least 1."""
    tp, pp, cp, ep = parallel.tp, parallel.pp, parallel.cp, parallel.ep
    if model.num_attention_heads % tp or model.num_key_value_heads % tp:
        yield InputError(
            f"parallel.tp={tp}: {model.name} has {model.num_attention_heads} attention heads in"
            f" {model.num_key_value_heads} key-value groups, both must divide by tp; try"
            f" {_choices('tp', model.num_key_value_heads)}"
        )
    if model.num_hidden_layers % pp:
        yield InputError(
            f"parallel.pp={pp}: {model.name} has {model.num_hidden_layers} layers, which must divide by pp; try"
            f" {_choices('pp', model.num_hidden_layers)}"
        )
    if model.is_moe and model.num_experts % ep:
        yield InputError(
            f"parallel.ep={ep}: {model.name} has {model.num_experts} experts, which must divide by ep; try"
            f" {_choices('ep', model.num_experts)}"
        )
    if not model.is_moe and ep > 1:
        yield InputError(
            f"parallel.ep={ep}: {model.name} is dense, it has no experts to spread; use parallel.ep=1"
        )
    if model.is_moe and tp > 1 and not parallel.uses_sequence_parallel:
        yield InputError(
            f"parallel.sequence_parallel=false: megatron-core doesn't train experts under tp={tp} without it; use"
            " parallel.sequence_parallel=null"
        )
    if model.vocab_size is not None and model.vocab_size % tp:
        yield InputError(
            f"parallel.tp={tp}: the vocabulary of {model.vocab_size} must divide by tp; try"
            f" {_choices('tp', model.vocab_size)}"
        )
    chunks = 2 * cp if cp > 1 else 1
    unit = chunks * (tp if parallel.uses_sequence_parallel else 1)
    if sequence_length % unit:
        cause, reason = ("cp", "2·cp zigzag chunks") if cp > 1 else ("tp", "tp parts of the sequence")
        yield InputError(
            f"parallel.{cause}={getattr(parallel, cause)}: sequence length {sequence_length} must divide by {unit}"
            f" ({reason}{', each split by tp' if cp > 1 and unit > chunks else ''}); try"
            f" data.sequence_length={_next_multiple(sequence_length, unit)}"
        )


def _next_multiple(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _choices(key: str, number: int) -> str:
    """``ep=1, ep=2 or ep=4``: the divisors of ``number``, at most four of them."""
    divisors = [d for d in range(1, number + 1) if number % d == 0][:4]
    named = [f"parallel.{key}={d}" for d in divisors]
    return named[0] if len(named) == 1 else ", ".join(named[:-1]) + " or " + named[-1]
