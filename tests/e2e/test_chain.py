"""launch/magicagent.sh: SFT, GRPO on planning rows and XXPO in ALFWorld, each with the weights of the one before."""

import os
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from commands import must_run
from rl_runs import MARK, check, processes_of, wait_until
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
LENGTHS = "data.max_prompt_length=1024 data.max_response_length=16"
RL = (
    "platform=rehearsal train.num_steps=1 train.batch_size=2 train.save_interval=1 rollout.n=2 rollout.top_p=1 "
    "rollout.top_k=-1 validation.interval=0 validation.before=false optim.lr=1e-3"
)


def weights(folder):
    return {
        name: value
        for file in sorted(folder.glob("*.safetensors"))
        for name, value in load_file(file).items()
    }


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_three_stages_hand_their_weights_on(synth_folder, tmp_path):
    games, rows, export = tmp_path / "games", tmp_path / "rows", tmp_path / "export"
    must_run(
        "magic_megatron.rl.envs.make_games",
        "rooms=small",
        "split=train",
        "num_games=2",
        f"output_dir={games}",
    )
    of_games = ["rl/env@env=alfworld", f"env.games={games}", "num_episodes=2"]
    must_run("magic_megatron.rl.envs.demonstrate", *of_games, f"output_dir={rows}")
    both = f"input=[{synth_folder / 'data.jsonl'},{rows / 'data.jsonl'}]"
    must_run("data_synth.export", "format=[indexed,parquet]", both, f"output_dir={export}")
    run = tmp_path / "run"
    settings = {
        "SFT": f"platform=rehearsal data.path={export / 'train'} train.num_steps=2 train.global_batch_size=2",
        # Nothing is solved after two steps of SFT, so the entropy alone has a gradient.
        "GRPO": f"data.train=[{export / 'train.parquet'}] data.overlong=drop {LENGTHS} algorithm.lambda1=0.01",
        "XXPO": f"env.games={games} env.validation_splits=[train] env.max_steps=2 {LENGTHS}",
        "RL": RL,
        "NUM_PROCESSES": "1",
        MARK: str(run),
    }

    def chain():
        log = tmp_path / "log"
        with log.open("w") as file:
            command = [str(ROOT / "launch/magicagent.sh"), str(run)]
            done = subprocess.run(
                command, env=os.environ | settings, stdout=file, stderr=subprocess.STDOUT, timeout=1200
            )
        assert done.returncode == 0, log.read_text()[-4000:]
        wait_until(lambda: not processes_of(run), 90, log)
        return log.read_text()

    said = chain()
    policy = run / "xxpo/checkpoints/global_step_1/actor/huggingface"
    assert f"magicagent: the policy is in {policy}" in said
    for stage in ("grpo", "xxpo"):
        check(run / stage, num_steps=1)
    stages = [run / "sft_hf", run / "grpo/checkpoints/global_step_1/actor/huggingface", policy]
    assert f"path: {stages[1]}" in (run / "xxpo/recipe.yaml").read_text()
    found = [weights(folder) for folder in stages]
    for one, other in pairwise(found):
        assert one.keys() == other.keys()
        moved = max(float((one[name].float() - other[name].float()).abs().max()) for name in one)
        assert 0 < moved < 0.05, "trained further, not begun anew"
    assert all(torch.isfinite(value).all() for value in found[-1].values())
    assert chain().count("done before") == 4
