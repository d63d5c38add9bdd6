"""Run by test_planner_bytes.py: bytes that each rank really holds, ``planner_worker.py RUNS.json OUT``.

``RUNS.json`` holds override lists by name. The model, its DDP wrapper and its optimizer are those of
``magic_megatron.sft``; one update without gradients makes the optimizer allocate its state. ``OUT`` gets, by name, a
list of ``{"stage", "weights", "gradients", "optimizer"}``, one for each rank.
"""

import json
import sys
from pathlib import Path

from magic_megatron.platform import activate

activate("rehearsal")

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from megatron.core import parallel_state  # noqa: E402

from magic_megatron.config.sft import SftConfig  # noqa: E402
from magic_megatron.models.gpt import build_model  # noqa: E402
from magic_megatron.models.initialization import initialize_weights  # noqa: E402
from magic_megatron.platform.specs import decoder_block_spec  # noqa: E402
from magic_megatron.sft.build import build_optimizer, core_config, wrap  # noqa: E402
from magic_megatron.sft.processes import distributed, model_parallel  # noqa: E402
from recipes.command import compose, typed  # noqa: E402


def build(config: SftConfig):
    core = core_config(config)
    chunk = build_model(
        config.model,
        core,
        decoder_block_spec(core, "rehearsal"),
        vocab_size=config.model.vocab_size,
        sequence_length=config.data.sequence_length,
        pre_process=parallel_state.is_pipeline_first_stage(),
        post_process=parallel_state.is_pipeline_last_stage(),
    )
    initialize_weights(chunk, config.seed)
    ddp = wrap(chunk, core, config)
    optimizer = build_optimizer(config, ddp)
    ddp.zero_grad_buffer()
    optimizer.step()
    return ddp, optimizer


def measure(config: SftConfig) -> dict[str, int]:
    ddp, optimizer = build(config)
    buffers = [*ddp.buffers, *ddp.expert_parallel_buffers]
    held = {id(p) for buffer in buffers for p in buffer.params}
    assert held == {id(p) for p in ddp.parameters()}, "a parameter lies outside of the buffers"
    return {
        "stage": parallel_state.get_pipeline_model_parallel_rank(),
        "parameters": sum(p.numel() for p in ddp.parameters()),
        "weights": sum(buffer.param_data.nbytes for buffer in buffers),
        "gradients": sum(buffer.grad_data.nbytes for buffer in buffers),
        "optimizer": sum(optimizer_bytes(one) for one in optimizer.chained_optimizers),
    }


def optimizer_bytes(optimizer) -> int:
    """Main weights that are no view of the weights, and whatever torch's AdamW keeps for each."""
    main = [p for group in optimizer.shard_fp32_from_float16_groups for p in group]
    state = [
        value
        for kept in optimizer.optimizer.state.values()
        for name, value in kept.items()
        if isinstance(value, torch.Tensor) and name != "step"
    ]
    return sum(tensor.nbytes for tensor in (*main, *state))


def main() -> None:
    runs = json.loads(Path(sys.argv[1]).read_text())
    configs = {
        name: typed(SftConfig, compose("sft", ["data.path=-", "output_dir=-", *run]))
        for name, run in runs.items()
    }
    measured = {}
    with distributed(next(iter(configs.values())).platform):
        for name, config in configs.items():
            with model_parallel(config.parallel, config.seed):
                gathered = [None] * dist.get_world_size()
                dist.all_gather_object(gathered, measure(config))
                measured[name] = gathered
        if dist.get_rank() == 0:
            Path(sys.argv[2]).write_text(json.dumps(measured))


if __name__ == "__main__":
    main()
