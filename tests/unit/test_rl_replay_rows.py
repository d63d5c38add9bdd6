"""Rows that ask for another run's rollouts."""

import json

import pyarrow.parquet as pq
import pytest
import rollout_rows

from magic_megatron.config.rl import RlConfig
from magic_megatron.rl.replay_rows import write_replay_rows
from recipes.command import InputError, compose, typed

NUM_GROUPS, NUM_SAMPLES = 2, 3
PROMPTS = 3 * NUM_GROUPS  # a game and two rows of each group


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    rollout_rows.save(folder, steps=(1, 2), num_groups=NUM_GROUPS, num_samples=NUM_SAMPLES)
    return folder


@pytest.fixture
def write(saved, tmp_path):
    def rows(**values):
        given = {"num_steps": 2, "batch_size": PROMPTS, "n": NUM_SAMPLES} | values
        config = compose(
            "rl",
            [
                "platform=rehearsal",
                "model.path=none",
                f"output_dir={tmp_path}",
                f"train_only={saved}",
                f"train.num_steps={given['num_steps']}",
                f"train.batch_size={given['batch_size']}",
                f"rollout.n={given['n']}",
            ],
        )
        return pq.read_table(write_replay_rows(typed(RlConfig, config), tmp_path)).to_pylist()

    return rows


def test_each_step_asks_for_its_groups(write):
    rows = write()
    assert [row["extra_info"]["step"] for row in rows] == [1] * PROMPTS + [2] * PROMPTS
    for step in (rows[:PROMPTS], rows[PROMPTS:]):
        assert len({row["extra_info"]["group"] for row in step}) == PROMPTS
        assert {row["agent_name"] for row in step} == {"replay"}
    assert {row["extra_info"]["task"] for row in rows} >= {"scheduling", "decomposition"}


def test_an_episode_that_left_no_sample_is_missing_and_no_fault(saved, write):
    path = saved / "rollouts" / "000001.jsonl"
    before = path.read_text()
    lines = before.splitlines(keepends=True)
    first = json.loads(lines[0])
    others = [
        line
        for line in lines
        if (json.loads(line)["group"], json.loads(line)["sample"]) != (first["group"], first["sample"])
    ]
    path.write_text("".join(others))
    try:
        assert len(write()) == 2 * PROMPTS
    finally:
        path.write_text(before)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"num_steps": 3}, ["train.num_steps=3", "step 3", "train.num_steps=2"]),
        ({"batch_size": 4}, ["train.batch_size=4", f"train.batch_size={PROMPTS}"]),
        ({"n": 5}, ["rollout.n=5", f"rollout.n={NUM_SAMPLES}"]),
    ],
)
def test_a_recipe_of_another_shape_is_refused(write, values, words):
    with pytest.raises(InputError) as refused:
        write(**values)
    assert all(word in str(refused.value) for word in words)
