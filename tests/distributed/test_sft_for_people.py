"""What a run leaves for people: figures of speed, W&B, the page, and a dry run that says all that is wrong."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from commands import must_run, run_module

from recipes.command import compose

KEY = "0123456789abcdef0123456789abcdef01234567"
PEAK = 0.5  # TFLOP/s; what this machine has doesn't matter
RUN = [
    *("model=qwen3_moe_tiny", "platform=rehearsal", "data.sequence_length=512", "optim.lr=5e-3"),
    *("optim.warmup_steps=1", "train.global_batch_size=4", "train.routing_interval=2"),
    *(f"cluster.peak_tflops={PEAK}", "train.save_interval=6"),
]


def start(*overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A run of one process, with W&B as the recipe has it and a key that must not be found anywhere."""
    inherited = {key: value for key, value in os.environ.items() if key != "WANDB_MODE"}
    return subprocess.run(
        [sys.executable, "-m", "magic_megatron.sft", *overrides],
        capture_output=True,
        text=True,
        timeout=600,
        env=inherited | {"OMP_NUM_THREADS": "1", "WANDB_API_KEY": KEY} | environment,
    )


@pytest.fixture(scope="module")
def run_folder(export_folder: Path, held_out: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six steps with W&B, then stopped and gone on with for two more."""
    base = tmp_path_factory.mktemp("people")
    folder, cache = base / "run", str(base / "cache")
    data = f"data.path={export_folder}/train"
    run = [*RUN, data, f"data.validation_path={held_out}", f"output_dir={folder}"]
    for num_steps in (6, 8):
        done = start(*run, f"train.num_steps={num_steps}", WANDB_CACHE_DIR=cache)
        assert done.returncode == 0, done.stderr[-3000:]
        assert re.search(
            r"^sft: step \d+ of \d, .* left, .*step.*, loss [\d.]+, [\d,]+ tokens/s, MFU", done.stderr, re.M
        )
        assert "\r" not in done.stderr
        for text in (done.stdout, done.stderr):
            assert KEY not in text
    return folder


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_mfu_is_the_formula_of_the_docs(run_folder):
    model = compose("sft", ["model=qwen3_moe_tiny", "data.path=x", "output_dir=x"]).model
    vocab = len(json.loads((run_folder / "tokenizer/tokenizer.json").read_text())["model"]["vocab"])
    hidden, queries = model.hidden_size, model.num_attention_heads * model.head_dim
    keys = model.num_key_value_heads * model.head_dim
    layer = 2 * hidden * (2 * queries + 2 * keys) + 2 * hidden * model.num_experts
    layer += 6 * hidden * model.moe_intermediate_size * model.num_experts_per_tok
    per_token = model.num_hidden_layers * layer + 2 * hidden * vocab
    for line in lines(run_folder / "metrics.jsonl"):
        work = line["mfu"] * line["step_time_s"] * PEAK * 1e12
        # Rows have 1 to 512 tokens, of which each sees half.
        attention = model.num_hidden_layers * 2 * queries * 512
        assert (
            3 * per_token * line["num_tokens"]
            < work
            < 3 * (per_token + attention) * line["num_tokens"] * 1.02
        )


def test_the_parts_of_a_step_are_within_its_time(run_folder):
    metrics = lines(run_folder / "metrics.jsonl")
    assert [line["step"] for line in metrics] == list(range(1, 9))
    for line in metrics:
        assert 0 < line["data_time_s"] + line["optimizer_time_s"] < line["step_time_s"]
        assert line["tokens_per_s"] == pytest.approx(line["num_tokens"] / line["step_time_s"])
        assert 0.1 < line["memory_gib"] < 8


def test_wandb_is_offline_and_a_resumed_run_keeps_its_id(run_folder):
    name = (run_folder / "wandb/run_id").read_text()
    starts = sorted((run_folder / "wandb").glob("offline-run-*"))
    assert len(starts) == 2
    assert all((folder / f"run-{name}.wandb").stat().st_size > 1000 for folder in starts)


def test_no_file_holds_the_key(run_folder):
    files = [path for path in run_folder.parent.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files)
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_the_page_is_whole_and_needs_nothing_from_outside(run_folder):
    page = (run_folder / "report.html").read_text()
    titles = re.findall(r"<h[23]>(.*?)</h[23]>", page)
    for title in (
        "Loss",
        "Gradient norm",
        "Learning rate",
        "Exact match",
        "MaxVio",
        "Balance loss",
        "z-loss",
        "MFU",
    ):
        assert title in titles
    for title in (
        "Specialisation",
        "Load of the experts",
        "Which experts each domain chooses",
        "Memory, GiB",
    ):
        assert title in titles
    assert titles.count("Layer 0") == titles.count("Layer 1") == 2
    assert "step 8 of 8 (finished)" in page
    assert "scheduling/calendar" in page and "aux_loss_coeff: 0.0001" in page
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', page)


def test_runs_lie_over_one_another(run_folder, tmp_path):
    """The second is the first up to step 4, as a run that is still going has it."""
    other = tmp_path / "other"
    other.mkdir()
    metrics = (run_folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (other / "metrics.jsonl").write_text("".join(metrics[:4]) + metrics[4][:20])
    recipe = yaml.safe_load((run_folder / "recipe.yaml").read_text())
    recipe["optim"]["lr"] = 0.125
    (other / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    page = tmp_path / "compared.html"
    must_run("magic_megatron.sft.report", f"runs=[{run_folder},{other}]", f"output={page}")
    text = page.read_text()
    assert "2 runs compared" in text and "<summary>1 keys</summary>" in text
    row = re.search(r"<td>optim.lr</td>(.*?)</tr>", text)
    assert row and re.findall(r"<td>(.*?)</td>", row.group(1)) == ["0.005", "0.125"]
    assert re.search(r"<td>steps</td><td>8</td><td>4</td>", text)
    loss = text[text.index("<h3>Loss</h3>") : text.index("<h3>Gradient norm</h3>")]
    assert {"#2f6fde", "#e07b39"} <= set(re.findall(r"stroke: (#\w+)", loss))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["runs=nowhere"], "runs=nowhere: no step in nowhere/metrics.jsonl"),
        (["runs=[]"], "runs=[]: no run"),
        (["runs=[a,a]", "output=x.html"], "runs=a,a: names a folder twice"),
        (["runs=[a,b]"], "output=null: 2 runs"),
    ],
)
def test_the_page_refuses(overrides, message):
    done = run_module("magic_megatron.sft.report", *overrides)
    assert done.returncode == 2 and message in done.stderr


def test_a_dry_run_says_what_the_run_would_do_and_writes_nothing(export_folder, tmp_path):
    """The paper's recipe, which needs 32 GPUs."""
    done = run_module(
        "magic_megatron.sft",
        *("model=qwen3_30b_a3b", "parallel=magicagent", "cluster=a800", "platform=cuda", "world_size=32"),
        *(
            "dry_run=true",
            "train.num_steps=100",
            f"data.path={export_folder}/train",
            f"output_dir={tmp_path}/run",
        ),
    )
    assert "TP4·PP2·CP2·EP4 in 32 processes, dp 2" in done.stdout
    assert "memory       70.7 GiB on the fullest rank, of 74.1 GiB usable" in done.stdout
    assert "398.1 GiB each" in done.stdout  # 30.53 B parameters of 14 bytes
    is_short = "checkpoints of 398.1 GiB, 2 kept" in done.stderr
    assert done.returncode == (2 if is_short else 0), done.stderr
    assert not (tmp_path / "run").exists()


def test_a_dry_run_says_everything_that_is_wrong(export_folder, tmp_path):
    (tmp_path / "file").write_text("")
    done = run_module(
        "magic_megatron.sft",
        *("dry_run=true", "world_size=3", "model=qwen3_moe_tiny", "parallel.tp=2", "parallel.ep=3"),
        *(f"data.path={tmp_path}/train", f"output_dir={tmp_path}/file", "init_from=nothing"),
        *("optim.lr=-1", "optim.beta1=2", "train.keep_checkpoints=1"),
    )
    assert done.returncode == 2
    wrong = [line.split("=", 1)[0] for line in done.stderr.splitlines() if line.startswith("error: ")]
    keys = ["optim.lr", "optim.beta1", "parallel.tp", "parallel.ep", "data.path", "init_from", "output_dir"]
    assert wrong == [f"error: {key}" for key in keys]
    assert "7 things are wrong, nothing was started" in done.stderr


def test_a_world_size_that_was_not_started_is_refused(export_folder, tmp_path):
    done = run_module(
        "magic_megatron.sft", "world_size=4", f"data.path={export_folder}/train", f"output_dir={tmp_path}"
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: world_size=4: 1 processes were started")


def test_wandb_online_without_a_key_is_refused(export_folder, tmp_path):
    data = f"data.path={export_folder}/train"
    done = start(
        "logging.wandb=online", data, f"output_dir={tmp_path}", WANDB_API_KEY="", NETRC=f"{tmp_path}/netrc"
    )
    assert done.returncode == 2 and "logging.wandb=online: neither WANDB_API_KEY nor" in done.stderr


def test_a_run_goes_on_where_wandb_does_not_start(export_folder, tmp_path):
    """Its folder can't be made: a file is in its place."""
    (tmp_path / "wandb").write_text("")
    done = start(*RUN, "train.num_steps=2", f"data.path={export_folder}/train", f"output_dir={tmp_path}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "training goes on without it" in done.stderr
    assert len(lines(tmp_path / "metrics.jsonl")) == 2
