"""verl with Ray, vLLM and this project's Megatron engine on a Mixture of Experts, TP2·EP2 too, on a CPU."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_platform_verl import ENVIRONMENT, OVERRIDES, REWARD
from tiny_model import save_tiny_model

from magic_megatron.config.platform import PlatformConfig
from magic_megatron.config.rl_engine import EngineConfig
from magic_megatron.platform import supervisor
from magic_megatron.rl.engines.overrides import engine_overrides
from recipes.command import compose, typed

DRIVER = Path(__file__).with_name("engine_driver.py")
NOT_MEGATRONS = (
    "strategy",
    "use_remove_padding",
    "fsdp_config",
    "micro_batch",
    "n_gpus",
    "num_gpus",
    "save_freq",
)


def engine_in(layout):
    """What verl is told of the recipe's engine."""
    recipe = compose("sft", ["+rl/engine@engine=megatron", "output_dir=-"])
    engine = typed(EngineConfig, recipe.engine)
    parallel = dataclasses.replace(engine.parallel, **layout)
    moe = dataclasses.replace(engine.moe, aux_loss_coeff=0.01)
    engine = dataclasses.replace(engine, parallel=parallel, moe=moe, max_tokens=256, max_log_prob_tokens=256)
    return engine_overrides(engine, typed(PlatformConfig, recipe.platform))


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(("layout", "world_size"), [({}, 1), ({"tp": 2, "ep": 2}, 2)], ids=["one", "tp2_ep2"])
def test_grpo_takes_two_steps_with_ray_and_vllm_on_the_megatron_engine(tmp_path, layout, world_size):
    save_tiny_model(tmp_path / "model", num_experts=4)
    rows = [
        {
            "data_source": "tiny",
            "prompt": [{"role": "user", "content": f"go to the kitchen {index}"}],
            "reward_model": {"style": "rule", "ground_truth": "e"},
            "extra_info": {"index": index},
        }
        for index in range(16)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    (tmp_path / "reward.py").write_text(REWARD)
    engine = engine_in(layout)
    engine["rollout"]["dtype"] = "float32"
    (tmp_path / "engine.json").write_text(json.dumps(engine))
    overrides = [
        *(entry for entry in OVERRIDES if not any(word in entry for word in NOT_MEGATRONS)),
        f"data.train_files={tmp_path}/rows.parquet",
        f"data.val_files={tmp_path}/rows.parquet",
        f"actor_rollout_ref.model.path={tmp_path}/model",
        f"reward.custom_reward_function.path={tmp_path}/reward.py",
        f"trainer.default_local_dir={tmp_path}/checkpoints",
        "actor_rollout_ref.actor.ppo_mini_batch_size=4",
        f"trainer.n_gpus_per_node={world_size}",
        "trainer.save_freq=2",
        f"+ray_kwargs.ray_init.num_gpus={world_size}",
    ]
    output = run([sys.executable, str(DRIVER), str(tmp_path / "engine.json"), *overrides], tmp_path)
    steps = [line for line in output.splitlines() if "training/global_step:" in line]
    assert len(steps) == 2
    for line in steps:
        assert metric("actor/grad_norm", line) > 0
        assert metric("actor/max_vio", line) >= 0
        assert metric("actor/z_loss", line) > 0
        assert metric("rollout_probs_diff_max", line) < 1e-3
    assert (tmp_path / "checkpoints" / "global_step_2" / "actor" / ".metadata").is_file()


def metric(name, line):
    return float(re.search(rf"{name}:(?:np.float64\()?([^ )]+)", line).group(1))


def run(command, folder):
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, supervisor.__file__, str(os.getpid()), *command],
            env=os.environ | ENVIRONMENT,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            status = process.wait(timeout=1400)
        finally:
            process.terminate()
            process.wait()
    output = (folder / "log").read_text()
    assert status == 0, output[-5000:]
    assert not [p for p in psutil.process_iter(["environ"]) if str(folder) in str(p.info["environ"])]
    return output
