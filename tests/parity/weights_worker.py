"""Build models under some layouts, fill them, save them, ask them: ``plan.json`` says which and what.

Run alone or as many ranks as the layouts take.
"""

import json
import sys
from pathlib import Path

from magic_megatron.platform import activate

activate("rehearsal")

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from megatron.core import dist_checkpointing, parallel_state  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from magic_megatron.config.layout import ParallelConfig  # noqa: E402
from magic_megatron.config.model import ModelConfig  # noqa: E402
from magic_megatron.config.platform import PlatformConfig  # noqa: E402
from magic_megatron.models.gpt import build_model  # noqa: E402
from magic_megatron.models.initialization import initialize_weights  # noqa: E402
from magic_megatron.models.transformer_config import transformer_config  # noqa: E402
from magic_megatron.models.weights import load_weights  # noqa: E402
from magic_megatron.platform.specs import decoder_block_spec  # noqa: E402
from magic_megatron.sft.processes import distributed, model_parallel  # noqa: E402
from recipes.command import compose, typed  # noqa: E402


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    platform = typed(PlatformConfig, compose("sft", ["output_dir=-"]).platform)
    with distributed(platform):
        for layout in plan:
            parallel = ParallelConfig(**layout["parallel"])
            with model_parallel(parallel, seed=0):
                for work in layout["work"]:
                    do(work, parallel)


def do(work: dict, parallel: ParallelConfig) -> None:
    model = ModelConfig(**work["model"])
    if not model.is_moe:
        parallel = ParallelConfig(**{**vars(parallel), "ep": 1})
    config = transformer_config(
        model, parallel, "rehearsal", torch.float32, recompute="none", moe_capacity_factor=None
    )
    gpt = build_model(
        model,
        config,
        decoder_block_spec(config, "rehearsal"),
        vocab_size=model.vocab_size,
        sequence_length=64,
        pre_process=parallel_state.is_pipeline_first_stage(),
        post_process=parallel_state.is_pipeline_last_stage(),
    )
    if "seed" in work:
        initialize_weights(gpt, work["seed"])
    if "load" in work:
        load_weights(gpt, Path(work["load"]), "init_from")
    if "load_by_megatron" in work:
        load_by_megatron(gpt, work["load_by_megatron"])
    if "save" in work:
        save(gpt, Path(work["save"]), work["model"])
    if "logits" in work:
        tokens = torch.tensor(work["tokens"])
        with torch.no_grad():
            logits = gpt.eval()(tokens, torch.arange(tokens.shape[1]).expand_as(tokens), None)
        save_file({"logits": logits.contiguous()}, work["logits"])


def load_by_megatron(gpt: torch.nn.Module, folder: str) -> None:
    """As a script of Megatron-Core's own would."""
    sharded = gpt.sharded_state_dict()
    tensors = {name: value for name, value in sharded.items() if not name.endswith("_extra_state")}
    loaded = dist_checkpointing.load({"model": tensors}, folder)
    gpt.load_state_dict(loaded["model"], strict=False)


def save(gpt: torch.nn.Module, folder: Path, model: dict) -> None:
    if dist.get_rank() == 0:
        folder.mkdir(parents=True)
        (folder / "recipe.yaml").write_text(json.dumps({"model": model}))
    dist.barrier()
    dist_checkpointing.save({"model": gpt.sharded_state_dict()}, str(folder))
    dist.barrier()


if __name__ == "__main__":
    main()
