"""verl itself, with Ray and vLLM, through our plug-ins: GRPO on a CPU."""

import os
import re
import subprocess
import sys

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_model import save_tiny_model

from magic_megatron.platform import supervisor

ENVIRONMENT = {
    "VERL_PLATFORM": "cpu",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HYDRA_FULL_ERROR": "1",
}
# The share of one letter in the answer: it differs within a group, so that advantages aren't zero.
REWARD = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    return solution_str.count(ground_truth) / max(1, len(solution_str))
"""
OVERRIDES = [
    "algorithm.adv_estimator=grpo",
    "data.train_batch_size=4",
    "data.max_prompt_length=64",
    "data.max_response_length=32",
    "data.dataloader_num_workers=0",
    "actor_rollout_ref.model.use_remove_padding=False",
    "+actor_rollout_ref.model.override_config.attn_implementation=sdpa",
    "actor_rollout_ref.actor.strategy=fsdp2",
    "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4",
    "actor_rollout_ref.actor.optim.lr=1e-3",
    "actor_rollout_ref.actor.use_kl_loss=True",
    "actor_rollout_ref.actor.fsdp_config.use_torch_compile=False",
    "actor_rollout_ref.ref.fsdp_config.use_torch_compile=False",
    "actor_rollout_ref.rollout.name=vllm",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.rollout.tensor_model_parallel_size=1",
    "actor_rollout_ref.rollout.enforce_eager=True",
    "actor_rollout_ref.rollout.free_cache_engine=False",
    "+actor_rollout_ref.rollout.enable_sleep_mode=False",
    "actor_rollout_ref.rollout.max_model_len=256",
    "actor_rollout_ref.rollout.max_num_seqs=16",
    "actor_rollout_ref.rollout.max_num_batched_tokens=512",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=4",
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=4",
    "actor_rollout_ref.rollout.agent.num_workers=1",
    "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=64",
    "reward.num_workers=1",
    "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
    "trainer.device=cpu",
    "trainer.n_gpus_per_node=1",
    "trainer.nnodes=1",
    "trainer.logger=[console]",
    "trainer.val_before_train=False",
    "trainer.total_epochs=1",
    "trainer.total_training_steps=2",
    "trainer.save_freq=-1",
    "trainer.test_freq=-1",
    "ray_kwargs.ray_init.num_cpus=10",
    "+ray_kwargs.ray_init.num_gpus=1",
    "+ray_kwargs.ray_init.object_store_memory=300000000",
    "+ray_kwargs.ray_init.include_dashboard=False",
]


@pytest.mark.slow
def test_grpo_takes_two_steps_with_ray_and_vllm(tmp_path):
    save_tiny_model(tmp_path / "model", num_experts=0)
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
    files = [
        f"data.train_files={tmp_path}/rows.parquet",
        f"data.val_files={tmp_path}/rows.parquet",
        f"actor_rollout_ref.model.path={tmp_path}/model",
        f"reward.custom_reward_function.path={tmp_path}/reward.py",
        f"trainer.default_local_dir={tmp_path}/checkpoints",
        f"trainer.rollout_data_dir={tmp_path}/rollouts",
    ]
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *OVERRIDES, *files]
    with (tmp_path / "log").open("w") as log:
        run = subprocess.Popen(
            [sys.executable, supervisor.__file__, str(os.getpid()), *command],
            env=os.environ | ENVIRONMENT,
            cwd=tmp_path,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            status = run.wait(timeout=840)
        finally:
            run.terminate()
            run.wait()
    output = (tmp_path / "log").read_text()
    assert status == 0, output[-5000:]
    steps = [line for line in output.splitlines() if "training/global_step:" in line]
    assert len(steps) == 2
    norms = [float(re.search(r"actor/grad_norm:(\S+)", line).group(1)) for line in steps]
    assert all(norm > 0 for norm in norms)
    # vLLM has the weights that the actor trains: their probabilities of the sampled tokens differ by bf16 only.
    differences = [float(re.search(r"rollout_probs_diff_max:(\S+)", line).group(1)) for line in steps]
    assert all(difference < 0.05 for difference in differences)
    assert len(list((tmp_path / "rollouts").glob("*.jsonl"))) == 2
    left = [p for p in psutil.process_iter(["environ"]) if str(tmp_path) in str(p.info["environ"])]
    assert not left
