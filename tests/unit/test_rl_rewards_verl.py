"""The reward as verl 0.9.1 loads and calls it: its own loader, its own manager, rows of its parquet."""

import asyncio
import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from reward_rows import TASKS, of_task, recipe

from magic_megatron.rl.rewards import PARTS, REWARDS
from magic_megatron.rl.rewards.verl_reward import compute_score
from recipes.command import InputError

SETTINGS = OmegaConf.create(asdict(recipe()))


class Characters:
    """A tokenizer of characters."""

    def decode(self, ids, skip_special_tokens):
        return "".join(chr(i) for i in ids)


def managed():
    """verl's naive manager over its custom reward function, from a config as verl has it."""
    from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager
    from verl.trainer.ppo.reward import get_custom_reward_fn

    function = {
        "path": "pkg://magic_megatron.rl.rewards.verl_reward",
        "name": "compute_score",
        "reward_kwargs": {"settings": SETTINGS},
    }
    config = OmegaConf.create({"reward": {"custom_reward_function": function}})
    return NaiveRewardManager(config, Characters(), get_custom_reward_fn(config))


def item(task, response, ground_truth):
    from verl import DataProto

    ids = torch.tensor([[ord(character) for character in response]])
    columns = {
        "data_source": task,
        "reward_model": {"style": "rule", "ground_truth": json.dumps(ground_truth)},
        "extra_info": {"task": task, "turn": 0},
    }
    return DataProto.from_dict(
        tensors={"responses": ids, "attention_mask": torch.ones_like(ids)},
        non_tensors={key: np.array([value], dtype=object) for key, value in columns.items()},
    )


def test_verls_manager_gets_score_and_parts_of_every_task():
    items = [(task, answer) for task in TASKS for answer in of_task(task)[:2]]

    async def all_at_once():
        manager = managed()
        good = [manager.run_single(item(task, a.response, a.ground_truth)) for task, a in items]
        bad = [manager.run_single(item(task, "Hm.", a.ground_truth)) for task, a in items]
        return await asyncio.gather(*good), await asyncio.gather(*bad)

    good, bad = asyncio.run(all_at_once())
    for (task, _), right, wrong in zip(items, good, bad, strict=True):
        assert (right["reward_score"], wrong["reward_score"]) == (2.0, 0.0)
        told = right["reward_extra_info"]
        assert (told["score"], told["task"], told["reason"]) == (2.0, task, "ok")
        own = {"format", REWARDS[task].part}
        assert {name for name in PARTS if told[name] is not None} == own
        assert wrong["reward_extra_info"]["reason"] != "ok"


def test_parts_that_a_task_lacks_stay_out_of_verls_validation_means():
    from verl.trainer.ppo.metric_utils import process_validation_metrics

    infos = [
        compute_score("x", a.response, json.dumps(a.ground_truth), {"task": a.task}, settings=SETTINGS)
        for a in (of_task("scheduling")[0], of_task("decomposition")[0])
    ]
    columns = {key: [info[key] for info in infos] for key in infos[0]}
    means = process_validation_metrics(["s", "d"], ["1", "2"], columns)
    assert means["s"]["schedule"]["mean@1"] == means["d"]["plan"]["mean@1"] == 1.0
    assert "plan" not in means["s"] and "schedule" not in means["d"]


@pytest.mark.parametrize(
    ("extra_info", "ground_truth", "message"),
    [
        ({}, "{}", r"extra_info\.task=None"),
        ({"task": "cooking"}, "{}", "task=cooking: no reward"),
        ({"task": "scheduling"}, "", "no ground truth"),
        ({"task": "scheduling"}, "{}", "subtask"),
    ],
)
def test_rows_that_have_no_reward_are_refused(extra_info, ground_truth, message):
    with pytest.raises(InputError, match=message):
        compute_score("x", "Hm.", ground_truth, extra_info, settings=SETTINGS)
