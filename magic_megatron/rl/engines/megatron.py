"""verl's Megatron engine on this project's model: same specs, router, weights and checkpoints as in SFT.

Forward and backward passes, packing, and log-probabilities and entropy over a split vocabulary are verl's. What it
would take from a bridge is replaced; bridges need transformer-engine even to be imported.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
from megatron.core.models.gpt import GPTModel
from megatron.core.transformer.module import Float16Module
from tensordict import TensorDict
from torch import Tensor
from verl.models.mcore.util import preprocess_thd_engine
from verl.utils import tensordict_utils as tu
from verl.utils.megatron.optimizer import get_megatron_optimizer, init_megatron_optim_config
from verl.utils.megatron_utils import (
    load_megatron_model_to_gpu,
    load_megatron_optimizer,
    register_megatron_training_hooks,
)
from verl.workers.engine.base import EngineRegistry
from verl.workers.engine.megatron import MegatronEngineWithLMHead
from verl.workers.engine.utils import prepare_micro_batches

from magic_megatron.models.huggingface_config import model_config
from magic_megatron.models.huggingface_shards import HuggingFaceExport
from magic_megatron.models.training_state import TrainingState
from magic_megatron.moe.router import BatchSize, RouterStatistics
from magic_megatron.moe.tally import RouterMetrics
from magic_megatron.rl.engines.build import DTYPES, build_chunk, core_config
from magic_megatron.rl.engines.checkpoints import EngineCheckpoints
from magic_megatron.rl.engines.settings import read_settings


# verl's own engine is registered for cuda without a vendor, and an entry with one goes before it.
@EngineRegistry.register(
    model_type="language_model", backend="megatron", device="cuda", vendor=["nvidia", "cpu"]
)
class MegatronEngine(MegatronEngineWithLMHead):  # type: ignore[misc]
    """One actor or, with ``forward_only``, one reference policy.

    Updates report ``actor/load_balancing_loss``, ``aux_loss``, ``z_loss``, ``max_vio`` (mean over the layers),
    ``max_vio_worst_layer`` and ``num_dropped_tokens`` of a Mixture of Experts. Passes without a gradient neither
    count nor change anything.
    """

    # ---- building -------------------------------------------------------------------------------------------

    def initialize(self) -> None:
        """Build model, optimizer and schedule.

        Raises:
            InputError: settings that this engine can't follow, or weights that aren't the model's.
        """
        self._build_tf_config()
        self.module = self._build_megatron_module()
        self._export: HuggingFaceExport | None = None
        self._updating = False
        self.router: RouterStatistics | None = None
        self.optimizer = self.lr_scheduler = None
        if not self.engine_config.forward_only:
            if self.model.is_moe:
                self.router = RouterStatistics(self.module, self.settings.moe)
                self.chunk.register_forward_pre_hook(self._add_padding_mask, with_kwargs=True)
            self.optimizer = self._build_optimizer()
            self.lr_scheduler = self._build_lr_scheduler()
            state = TrainingState(self.chunk, self.optimizer, self.router)
            self.checkpoints = EngineCheckpoints(state, self.lr_scheduler, self.model, self.model_config)
        trains = not self.engine_config.forward_only
        self.to(
            device="cpu",
            model=self._is_offload_param,
            optimizer=self._is_offload_optimizer and trains,
            grad=self._is_offload_param and trains,
        )

    def _build_tf_config(self) -> None:
        self.settings = read_settings(self.engine_config.override_mcore_model_config)
        self.folder = Path(str(self.model_config.local_path))
        self.model = model_config(self.model_config.hf_config.to_dict(), name=self.folder.name)
        self.is_value_model = False
        self.bridge = self.provider = self.peft_cls = None
        self.param_dtype = self.dtype = DTYPES[self.settings.dtype]
        self.tf_config = core_config(self.engine_config, self.model, self.settings)

    def _build_megatron_module(self) -> list[torch.nn.Module]:
        self.chunk = build_chunk(self.model, self.tf_config, self.settings, self.folder)
        half = self.param_dtype is torch.bfloat16
        module = Float16Module(self.tf_config, self.chunk) if half else self.chunk
        if self.engine_config.forward_only:
            return [module]
        ddp_config = DistributedDataParallelConfig(
            use_distributed_optimizer=True, **self._resolve_override_ddp_config()
        )
        return [DistributedDataParallel(self.tf_config, ddp_config, module)]

    def _build_optimizer(self) -> Any:
        """verl's AdamW, with the betas of its config, which it leaves to Megatron-Core's defaults."""
        given: Any = self.optimizer_config
        config = init_megatron_optim_config(
            given,
            use_distributed_optimizer=True,
            fp16=False,
            bf16=self.param_dtype is torch.bfloat16,
        )
        config.adam_beta1, config.adam_beta2 = given.betas
        optimizer = get_megatron_optimizer(model=self.module, config=config)
        register_megatron_training_hooks(self.module, optimizer)
        return optimizer

    # ---- passes over a batch --------------------------------------------------------------------------------

    def forward_backward_batch(self, data: TensorDict, loss_function: Any, forward_only: bool = False) -> Any:
        """verl's pass over a batch, around which an update keeps the routers' accounts."""
        if forward_only or self.router is None:
            return super().forward_backward_batch(data, loss_function, forward_only)
        no_loss: Any = None
        self._begin_router(self.router, data)
        self._updating = True
        if self.router.needs_statistics_pass:
            with self.router.counting():
                super().forward_backward_batch(data, loss_function=no_loss, forward_only=True)
        output = super().forward_backward_batch(data, loss_function, forward_only=False)
        self._updating = False
        metrics = self.router.end_step()
        if parallel_state.is_pipeline_last_stage():
            output["metrics"] |= _as_verl_has_them(metrics)
        return output

    def forward_step(
        self, batch_iter: Iterator[TensorDict], model: torch.nn.Module, *args: Any, **kwargs: Any
    ) -> Any:
        if not self._updating:
            return super().forward_step(batch_iter, model, *args, **kwargs)
        assert self.router is not None
        batch = next(batch_iter)
        sequences = _number_tokens(batch["input_ids"].to(torch.cuda.current_device()), _is_real(batch))
        self._padding_mask = sequences == 0
        with self.router.microbatch(None, (sequences - 1).clamp(min=0), len(batch)):
            return super().forward_step(iter([batch]), model, *args, **kwargs)

    def postprocess_micro_batch_func(
        self,
        output: Any,
        data: TensorDict,
        forward_only: bool,
        loss_function: Callable[..., Any] | None,
        local_cp_size: int | None = None,
    ) -> Any:
        """verl's, but for the tokens by which gradients are divided: it counts them ``num // cp`` on each rank."""
        answer = super().postprocess_micro_batch_func(
            output, data, forward_only, loss_function, local_cp_size
        )
        if len(answer) == 2:
            return answer
        loss, _, report = answer
        cp, rank = (
            parallel_state.get_context_parallel_world_size(),
            parallel_state.get_context_parallel_rank(),
        )
        num_tokens = self._routed_num_tokens(data)
        return loss, (num_tokens // cp + (num_tokens % cp > rank)).to(torch.int), report

    def _begin_router(self, router: RouterStatistics, data: TensorDict) -> None:
        tu.assign_non_tensor(data, sp_size=self.engine_config.context_parallel_size)
        group = self.get_data_parallel_group()
        batches, _ = prepare_micro_batches(data=data, dp_group=group, same_micro_num_in_dp=True)
        lengths, is_real = data["input_ids"].offsets().diff(), _is_real(data)
        sizes = torch.stack([(lengths * is_real).sum(), is_real.sum(), lengths.sum()])
        sizes = sizes.to(torch.cuda.current_device())
        dist.all_reduce(sizes, group=group)
        num_tokens, num_sequences, num_divided_by = sizes.tolist()
        size = BatchSize(
            num_tokens=num_tokens,
            # verl has the gradients divided by all tokens, those of padding too, and its loss multiplied by them.
            num_loss_tokens=num_divided_by,
            num_microbatches=len(batches) * group.size(),
            num_sequences=num_sequences,
        )
        router.begin_step(size, num_local_microbatches=len(batches))

    def _routed_num_tokens(self, data: TensorDict) -> Tensor:
        """Real tokens of this rank's samples, prompts included. A copy: verl adds up the ranks' in place."""
        input_ids: Any = data["input_ids"]
        return input_ids.offsets()[-1].clone()

    def _add_padding_mask(
        self, chunk: GPTModel, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, kwargs | {"padding_mask": self._padding_mask if self._updating else None}

    # ---- weights and checkpoints ----------------------------------------------------------------------------

    def get_per_tensor_param(
        self, base_sync_done: bool = False, **kwargs: Any
    ) -> tuple[Generator[tuple[str, Tensor], None, None], None]:
        """All weights, whole, as transformers names them; every rank must take all of them."""
        load_megatron_model_to_gpu(self.module, load_grad=False)
        if self._export is None:
            self._export = HuggingFaceExport(self.chunk, self.model)
        return iter(self._export), None

    def optimizer_step(self) -> Any:
        grad_norm = super().optimizer_step()
        self.checkpoints.num_updates += 1
        return grad_norm

    def save_checkpoint(
        self,
        local_path: str,
        hdfs_path: str | None = None,
        global_step: int = 0,
        max_ckpt_to_keep: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Write a checkpoint that any layout, ``magic_megatron.sft`` and ``magic_megatron.convert`` read."""
        load_megatron_model_to_gpu(self.module, load_grad=False)
        contents = self.checkpoint_config.save_contents
        self.checkpoints.save(Path(local_path), with_optimizer="optimizer" in contents, keep=max_ckpt_to_keep)
        if "hf_model" in contents:
            weights, _ = self.get_per_tensor_param()
            self.checkpoints.save_huggingface(Path(local_path) / "huggingface", weights)
        self._offload_again()

    def load_checkpoint(
        self,
        local_path: str,
        hdfs_path: str | None = None,
        del_local_after_load: bool = False,
        **kwargs: Any,
    ) -> None:
        """Go on from what ``save_checkpoint`` wrote, in whatever layout.

        Raises:
            InputError: it is of another model, or damaged.
        """
        load_megatron_model_to_gpu(self.module, load_grad=False)
        load_megatron_optimizer(self.optimizer)
        self.checkpoints.load(Path(local_path))
        self._offload_again()

    def _offload_again(self) -> None:
        self.to(device="cpu", model=self._is_offload_param, optimizer=self._is_offload_optimizer, grad=False)


def _is_real(data: TensorDict) -> Tensor:
    """Whether a sample is one, bool [N]: the trainer fills batches up with others, which no router may count."""
    field: Any = data.get("is_padding")
    if field is None:
        return torch.ones(len(data), dtype=torch.bool, device=data["input_ids"].offsets().device)
    return (field.values() if field.is_nested else field).view(-1) == 0


def _number_tokens(input_ids: Any, is_real: Tensor) -> Tensor:
    """This rank's part of the pack [1, T]: 1 for tokens of the first sample, 2 of the second, ..., 0 at padding."""
    lengths = input_ids.offsets().diff()
    numbers = torch.arange(1, len(lengths) + 1, device=lengths.device) * is_real.to(lengths.device)
    numbers = numbers.repeat_interleave(lengths)
    nested = torch.nested.nested_tensor_from_jagged(numbers, input_ids.offsets())
    packed: Tensor = preprocess_thd_engine(nested, pre_process=True)[0]
    return packed


def _as_verl_has_them(metrics: RouterMetrics) -> dict[str, list[float]]:
    """A value per micro-batch, of which there is one here."""
    values = {
        "load_balancing_loss": metrics.load_balancing_loss,
        "aux_loss": metrics.aux_loss,
        "z_loss": metrics.z_loss,
        "max_vio": metrics.max_vio,
        "max_vio_worst_layer": max(metrics.max_vio_per_layer),
        "num_dropped_tokens": float(metrics.num_dropped_tokens),
    }
    return {f"actor/{name}": [value] for name, value in values.items()}
