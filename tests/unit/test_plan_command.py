"""The plan command as a user starts it, and the search behind it."""

import json
import subprocess
import sys
import time

import pytest
from commands import run_module

from magic_megatron.config.cluster import ClusterConfig
from magic_megatron.config.layout import ParallelConfig
from magic_megatron.config.model import ModelConfig
from magic_megatron.config.sft import SftConfig
from magic_megatron.planner.memory import estimate_memory, fits
from magic_megatron.planner.search import SearchResult, SearchSpace, all_layouts, search
from magic_megatron.planner.workload import Workload
from recipes.command import compose, typed

OPEN = {"tp": None, "pp": None, "cp": None, "ep": None, "sequence_parallel": None}


def planned(nodes: int, *overrides: str, **sizes: int) -> tuple[Workload, ClusterConfig, SearchResult]:
    recipe = compose("plan", list(overrides))
    model, cluster = typed(ModelConfig, recipe.model), typed(ClusterConfig, recipe.cluster)
    assert model.vocab_size is not None
    world = nodes * cluster.gpus_per_node
    work = Workload(model, model.vocab_size, "bf16", 22528, 22528, max(1, world // 4))
    space = SearchSpace(all_layouts(work, world, **(OPEN | sizes)), (1, 2, 4, 8), ("none", "full"))
    return work, cluster, search(work, cluster, space, world)


def test_the_fastest_that_fits_comes_first():
    _, cluster, result = planned(4)
    times = [candidate.step.seconds for candidate in result.fitting]
    assert times == sorted(times) and len(times) > 100
    assert all(candidate.memory.total <= cluster.usable_bytes for candidate in result.fitting)
    assert all(candidate.memory.total > cluster.usable_bytes for candidate in result.over)
    assert all(0 < candidate.step.mfu < cluster.matmul_efficiency for candidate in result.fitting)
    layouts = [candidate.place.parallel for candidate in result.fitting]
    assert ParallelConfig(4, 2, 2, 4, 1, None) in layouts


def test_every_gpu_is_used():
    _, _, result = planned(3, "model=qwen3_32b")
    for candidate in (*result.fitting, *result.over):
        place = candidate.place
        assert place.parallel.tp * place.parallel.pp * place.parallel.cp * place.dp == 24


def test_a_rule_that_is_broken_is_told_once_for_all_sizes():
    _, _, result = planned(4)
    rules = [message for messages in result.refused.values() for message in messages[:1]]
    assert any(rule.startswith("parallel.tp=8: qwen3_30b_a3b has 32 attention heads") for rule in rules)
    assert len(rules) < 10


def test_a_size_that_is_given_is_kept():
    _, _, result = planned(4, tp=2, ep=8)
    assert {(c.place.parallel.tp, c.place.parallel.ep) for c in (*result.fitting, *result.over)} == {(2, 8)}


@pytest.mark.parametrize("model", ["qwen3_30b_a3b", "qwen3_32b"])
@pytest.mark.parametrize("nodes", [1, 128, 1024])
def test_any_number_of_nodes_is_planned_in_seconds(model, nodes):
    started = time.process_time()
    _, _, result = planned(nodes, f"model={model}")
    assert time.process_time() - started < 20
    assert result.fitting and result.refused
    assert result.over or nodes == 1024


def test_a_run_of_sft_is_judged_as_its_plan():
    overrides = ["model=qwen3_30b_a3b", "parallel=magicagent", "platform=cuda", "data.path=-", "output_dir=-"]
    config = typed(SftConfig, compose("sft", overrides))
    work, cluster, result = planned(4, tp=4, pp=2, cp=2, ep=4)
    place = next(
        candidate.place
        for candidate in result.fitting
        if (candidate.place.micro_batch_size, candidate.place.recompute)
        == (config.train.micro_batch_size, config.train.recompute)
    )
    assert fits(config, cluster, 32) == estimate_memory(work, place, cluster.usable_bytes)


def test_a_layout_is_explained_and_written(tmp_path):
    output = tmp_path / "new" / "plan.json"
    done = run_module("magic_megatron.plan", "parallel=magicagent", "micro_batch_size=4", f"output={output}")
    assert done.returncode == 0, done.stderr
    for text in (
        "30.53 B parameters, 3.35 B active",
        "TP4·PP2·CP2·EP4, micro-batch 4",
        "all-to-all of tokens",
        "dp=2",
    ):
        assert text in done.stdout
    plan = json.loads(output.read_text())
    assert [found["parallel"]["ep"] for found in plan["fitting"]] == [4, 4]
    assert plan["fitting"][0]["memory"]["total"] > plan["fitting"][0]["memory"]["weights"] > 0


def test_a_machine_without_a_peak_is_ranked_by_memory():
    tiny = ["model=qwen3_moe_tiny", "model.vocab_size=2048", "sequence_length=1024", "global_batch_size=8"]
    done = run_module("magic_megatron.plan", "cluster=cpu", "nodes=1", *tiny)
    assert done.returncode == 0, done.stderr
    assert "memory not judged" in done.stdout and "MFU" not in done.stdout and "total MiB" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nodes=0"], "nodes=0: must lie between 1 and 1024"),
        (["nodes=1025"], "nodes=1025: must lie between 1 and 1024"),
        (["cluster=b200"], "cluster=b200: no such choice; choose one of a100, a800"),
        (["model=qwen3_tiny"], "model.vocab_size=null: qwen3_tiny has as many rows as the tokenizer"),
        (["row_length=30000"], "row_length=30000: no row is longer than its pack"),
        (["parallel.etp=2"], "parallel.etp=2: only whole experts are planned"),
        (["micro_batch_size=0"], "micro_batch_size=0: must be positive"),
        (["parallel=magicagent", "nodes=3"], "tp·pp·cp = 16 must divide the world size 24"),
        (["parallel=magicagent", "sequence_length=1000"], "try sequence_length=1008"),
        (["output=/"], "output=/: is a folder"),
    ],
)
def test_bad_input_is_one_line(arguments, message):
    done = run_module("magic_megatron.plan", *arguments)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_planning_needs_neither_torch_nor_megatron():
    code = "import sys, magic_megatron.plan; print({'torch', 'megatron'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()"
