"""What is refused before Ray starts, and the order files of what isn't."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import must_run
from transformers import AutoTokenizer, Qwen3Config

from data_synth.writers.parquet import SCHEMA
from magic_megatron.config.rl import RlConfig
from magic_megatron.rl.arguments import full_names
from magic_megatron.rl.dataset import PromptDataset
from magic_megatron.rl.preflight import plan_run
from recipes.command import InputError, compose, typed


@pytest.fixture(scope="module")
def rows(synth_folder, tmp_path_factory):
    """Forty rows of two scheduling subtasks, half of them said to be of another task."""
    folder = tmp_path_factory.mktemp("parquet")
    source = folder / "some.jsonl"
    lines = (synth_folder / "data.jsonl").read_text().splitlines()[:40]
    source.write_text("\n".join(lines) + "\n")
    must_run("data_synth.export", f"input={source}", "format=parquet", f"output_dir={folder / 'export'}")
    return folder / "export" / "train.parquet"


@pytest.fixture(scope="module")
def policy(export_folder, tmp_path_factory):
    """A folder that looks like a policy: what is checked of it here."""
    folder = tmp_path_factory.mktemp("policy")
    for file in (export_folder / "tokenizer").iterdir():
        shutil.copy(file, folder)
    vocabulary = len(AutoTokenizer.from_pretrained(folder))
    model = Qwen3Config(
        vocab_size=vocabulary,
        max_position_embeddings=4096,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    (folder / "config.json").write_text(json.dumps(model.to_dict()))
    return folder


@pytest.fixture
def plan(policy, rows, tmp_path):
    def make(*overrides, data=rows):
        arguments = [
            "platform=rehearsal",
            f"model.path={policy}",
            f"data.train=[{data}]",
            f"data.validation=[{data}]",
            f"output_dir={tmp_path / 'run'}",
            "train.num_steps=5",
            "train.batch_size=4",
            "data.max_prompt_length=700",
            *overrides,
        ]
        return plan_run(typed(RlConfig, compose("rl", full_names(arguments))))

    return make


def refusal(call):
    with pytest.raises(InputError) as refused:
        call()
    return str(refused.value)


def altered(rows, folder, change):
    table = pq.read_table(rows).to_pylist()
    for number, row in enumerate(table):
        change(number, row)
    path = folder / "altered.parquet"
    pq.write_table(pa.Table.from_pylist(table, schema=SCHEMA), path)
    return path


def test_the_prompts_of_a_run_are_written_down_before_it_starts(plan, tmp_path):
    orders = plan("validation.num_prompts=3", "validation.num_samples=2").orders
    train = PromptDataset(str(orders["train"]))
    assert len(train) == 5 * 4
    assert {train[number]["sampling"] for number in range(len(train))} == {"train"}
    held_out = PromptDataset([str(orders["validation"])])
    assert len(held_out) == 3 * (1 + 2)
    drawn = [held_out[number]["sampling"] for number in range(len(held_out))]
    assert drawn == ["greedy"] * 3 + ["sampled"] * 6
    assert held_out[0]["raw_prompt"] == held_out[3]["raw_prompt"]
    assert len({held_out[number]["index"] for number in range(9)}) == 9, "each answer has a seed of its own"
    assert (tmp_path / "run" / "recipe.yaml").exists()


def test_games_are_rows_like_others(plan):
    orders = plan("env=errand", "env.num_instances=6", "env.num_validation_instances=2", data="none").orders
    train = PromptDataset(str(orders["train"]))
    assert train[0]["agent_name"] == "environment"
    instance = json.loads(train[0]["extra_info"]["instance"])
    assert instance["environment"] == "errand"
    held_out = PromptDataset(str(orders["validation"]))
    tasks = {held_out[number]["extra_info"]["task"] for number in range(len(held_out))}
    assert tasks == {"errand/valid_seen", "errand/valid_unseen"}


def test_games_are_held_out_for_a_validation_only(plan):
    never = ["validation.interval=0", "validation.before=false"]
    orders = plan("env=errand", "env.validation_splits=[elsewhere]", *never, data="none").orders
    assert PromptDataset(str(orders["validation"]))[0]["extra_info"]["task"] == "errand"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["env=errand", "env.validation_splits=[elsewhere]"], ["elsewhere"]),
        (["rollout.n=1"], ["rollout.n=1", "rollout.n=8"]),
        (["train.batch_size=0"], ["train.batch_size=0"]),
        (["rollout.temperature=0"], ["rollout.temperature=0", "0.9"]),
        (["rollout.tensor_parallel_size=2"], ["rollout.tensor_parallel_size=2", "nodes"]),
        (["data.max_prompt_length=20"], ["tokens, more than data.max_prompt_length=20", "overlong=drop"]),
        (["data.max_prompt_length=20", "data.overlong=drop"], ["no row is left"]),
        (["data.max_prompt_length=4096"], ["data.max_prompt_length=4096", "4096 positions"]),
        (["data.tasks=[cooking]"], ["data.tasks=cooking", "scheduling"]),
        (["schedule=single", "schedule.task=cooking"], ["schedule.task=cooking", "scheduling"]),
        (["data.train=[]"], ["data.train=[]", "data_synth.export"]),
        (["data.train=[nothing.parquet]"], ["data.train=nothing.parquet", "no such file"]),
        (["data.validation=[]"], ["validation.interval=0"]),
        (["model.path=nowhere"], ["model.path=nowhere", "config.json"]),
        (["engine=megatron", "engine.parallel.tp=2"], ["engine.parallel.tp=2", "the run's 1 GPUs"]),
        (
            ["engine=megatron", "engine.parallel.tp=4", "engine.parallel.ep=2", "gpus_per_node=4"],
            ["engine.parallel.tp=4: policy", "try engine.parallel.tp=1 or engine.parallel.tp=2"],
        ),
        (["engine.parallel.cp=2", "gpus_per_node=3"], ["engine.parallel.cp=2", "the run's 3 GPUs"]),
        (["env=alfworld"], ["env.games=null", "make_games"]),
        (["engine.max_tokens=500"], ["engine.max_tokens=500", "raise it to"]),
        (
            ["engine.max_log_prob_tokens=400", "engine.parallel.cp=2", "gpus_per_node=2"],
            ["engine.max_log_prob_tokens=400", "engine.parallel.cp=2"],
        ),
        ([f"data.train=[{__file__}]"], ["data.train=", "not parquet files"]),
    ],
)
def test_bad_input_is_named_with_its_fix(plan, overrides, words):
    message = refusal(lambda: plan(*overrides))
    assert all(word in message for word in words), message


def test_a_row_without_ground_truth_is_refused(plan, rows, tmp_path):
    def forget(number, row):
        row["reward_model"]["ground_truth"] = ""

    message = refusal(lambda: plan(data=altered(rows, tmp_path, forget)))
    assert "ground truth" in message
    assert "data.train: row" in message


def test_a_task_without_a_reward_is_refused(plan, rows, tmp_path):
    def rename(number, row):
        row["extra_info"]["task"] = "cooking"

    assert "task=cooking: no reward" in refusal(lambda: plan(data=altered(rows, tmp_path, rename)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vocab_size": 10}, "belongs to another model"),
        ({"eos_token_id": 1}, "belongs to another model"),
        ({"vocab_size": None}, "config.json has no vocab_size"),
        ({"max_position_embeddings": None}, "config.json has no max_position_embeddings"),
    ],
)
def test_a_tokenizer_of_another_model_is_refused(plan, policy, change, words):
    config = json.loads((policy / "config.json").read_text())
    (policy / "config.json").write_text(json.dumps(config | change))
    try:
        assert words in refusal(plan)
    finally:
        (policy / "config.json").write_text(json.dumps(config))


def test_a_tokenizer_of_another_kind_is_refused(plan, policy):
    before = (policy / "tokenizer.json").read_text()
    tokenizer = json.loads(before)
    tokenizer["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}
    tokenizer["model"] = {"type": "WordLevel", "vocab": {"▁Step": 0, "▁?": 1}, "unk_token": "▁?"}
    (policy / "tokenizer.json").write_text(json.dumps(tokenizer))
    try:
        assert "isn't byte-level BPE" in refusal(plan)
    finally:
        (policy / "tokenizer.json").write_text(before)


def test_long_rows_can_be_left_out(plan, rows, tmp_path, capsys):
    def lengthen(number, row):
        if number % 4 == 0:
            row["prompt"][0]["content"] += " word" * 2000

    orders = plan("data.overlong=drop", data=altered(rows, tmp_path, lengthen)).orders
    places = np.load(orders["train"].parent / "train.npy")
    assert len(places) == 20
    assert not np.any(places % 4 == 0)
    assert "left out, longer than 700 tokens" in capsys.readouterr().out
