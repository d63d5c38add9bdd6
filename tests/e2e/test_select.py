"""``python -m data_synth.select`` as users run it: what it writes, kills, splits that leak, bad input."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import must_run, run_module

from data_synth.output_folder import file_digest
from data_synth.selection.embedding import embed_pool
from data_synth.selection.pool import read_pool
from data_synth.tools.embedding import model_digest

OUTPUTS = ("data.jsonl", "selection.jsonl", "report.html", "manifest.json")
WORDS = [
    a + b
    for a in ("book", "find", "plan", "send", "rent")
    for b in ("hotel", "train", "letter", "meal", "tour")
]
TASKS = ("decomposition", "tool_augmented", "scheduling")


def make_rows(path: Path, number: int, seed: int = 0, tool: str = "tool", share_rare: float = 0.2) -> None:
    """Rows of three tasks: a few much-repeated requests, and some that are like nothing else."""
    rng, rows = random.Random(seed), list[dict]()
    common = [" ".join(rng.choices(WORDS, k=12)) for _ in range(5)]
    for index in range(number):
        task, rare = TASKS[index % 3], rng.random() < share_rare
        request = " ".join(rng.choices(WORDS, k=12)) if rare else f"{rng.choice(common)} {rng.choice(WORDS)}"
        names = [f"{tool}_{rng.randrange(20)}", "reply"] if task != "scheduling" else []
        row = {
            "id": f"{task}-{seed}-{index}",
            "task": task,
            "subtask": "general",
            "messages": [{"role": "user", "content": request}, {"role": "assistant", "content": "完成"}],
            "tools": [{"type": "function", "function": {"name": name, "parameters": {}}} for name in names],
            "gold": {},
            "meta": {"instance": f"{seed}/{index}", "operators": [rng.choice(["add", "group"])] * 2},
        }
        rows.append(row)
    lines = [json.dumps(row, ensure_ascii=bool(index % 2)) for index, row in enumerate(rows)]
    path.write_text("\n".join(lines), "utf-8")  # no newline at the end


def arguments(folder: Path, *more: str) -> list[str]:
    return [f"input={folder}/rows.jsonl", "embedding=lexical", "budget=60", *more]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    make_rows(folder / "rows.jsonl", 600)
    weights = "weights={decomposition:3,tool_augmented:2,scheduling:1}"
    done = must_run("data_synth.select", *arguments(folder, weights, f"output_dir={folder}/out"))
    assert done.stdout.splitlines() == [f"wrote 60 rows to {folder}/out"]
    return folder


def test_what_is_written(whole):
    source = (whole / "rows.jsonl").read_bytes().splitlines()
    chosen = (whole / "out/data.jsonl").read_bytes().splitlines()
    places = [source.index(line) for line in chosen]
    assert places == sorted(places) and len(set(places)) == 60, "rows as they are, in their order"
    picked = [json.loads(line) for line in (whole / "out/selection.jsonl").open()]
    assert sorted(entry["line"] - 1 for entry in picked) == places
    assert [json.loads(source[entry["line"] - 1])["id"] for entry in picked] == [
        entry["id"] for entry in picked
    ]
    manifest = json.loads((whole / "out/manifest.json").read_text())
    counts = {task: said["num_rows"]["chosen"] for task, said in manifest["tasks"].items()}
    assert counts == {"decomposition": 30, "tool_augmented": 20, "scheduling": 10}
    for task, said in manifest["tasks"].items():
        ranks = [entry["rank"] for entry in picked if entry["task"] == task]
        assert ranks == list(range(counts[task]))
        assert said["novelsum"]["chosen"] > said["novelsum"]["random"] > 0
    rows = [json.loads(line) for line in chosen]
    for operator, count in manifest["operators"]["chosen"].items():
        assert count == sum(operator in row["meta"]["operators"] for row in rows)
    names = {tool["function"]["name"] for row in rows for tool in row["tools"]} - {"reply"}
    assert manifest["tools"]["chosen"].keys() == names
    page = (whole / "out/report.html").read_text()
    assert page.count("<svg") == 2
    assert not re.search(r"""(src|href)=["']?(https?:|//)|url\(http""", page), "assets from outside"


def test_the_same_again_and_in_another_folder(whole):
    again = json.loads((whole / "out/manifest.json").read_text())["settings"]["weights"]
    weights = "weights={" + ",".join(f"{task}:{weight}" for task, weight in again.items()) + "}"
    done = must_run("data_synth.select", *arguments(whole, weights, f"output_dir={whole}/out"))
    assert done.stdout.splitlines() == [f"{whole}/out is complete: 60 rows"]
    must_run("data_synth.select", *arguments(whole, weights, f"output_dir={whole}/other", "num_threads=1"))
    for name in OUTPUTS:
        assert (whole / "other" / name).read_bytes() == (whole / "out" / name).read_bytes()


def test_other_settings_replace_the_selection_and_keep_the_vectors(whole):
    must_run("data_synth.select", *arguments(whole, f"output_dir={whole}/changed"))
    first = {name: (whole / "changed" / name).read_bytes() for name in (*OUTPUTS, "embeddings.npy")}
    written = (whole / "changed/embeddings.npy").stat().st_mtime_ns
    must_run("data_synth.select", *arguments(whole, f"output_dir={whole}/changed", "seed=1"))
    assert (whole / "changed/embeddings.npy").stat().st_mtime_ns == written
    assert (whole / "changed/data.jsonl").read_bytes() != first["data.jsonl"]
    (whole / "changed/embeddings.npy").write_bytes(first["embeddings.npy"][:-4] + b"abcd")
    must_run("data_synth.select", *arguments(whole, f"output_dir={whole}/changed"))
    assert {name: (whole / "changed" / name).read_bytes() for name in first} == first


def test_killed_at_any_moment_it_goes_on(tmp_path):
    make_rows(tmp_path / "rows.jsonl", 6_000, share_rare=1.0)
    must_run("data_synth.select", *arguments(tmp_path, f"output_dir={tmp_path}/whole"))
    command = [
        sys.executable,
        "-m",
        "data_synth.select",
        *arguments(tmp_path, f"output_dir={tmp_path}/killed"),
    ]
    partial, sizes = tmp_path / "killed/embeddings.partial", []
    for blocks in (1, 6, 14):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
            while process.poll() is None:
                if partial.exists() and partial.stat().st_size > blocks * 256 * 384 * 4:
                    os.killpg(process.pid, signal.SIGKILL)
                    break
                time.sleep(0.002)
            else:
                pytest.fail("it ended before it was killed")
        sizes.append(partial.stat().st_size)
    assert sizes == sorted(sizes), "what was embedded stays"
    must_run("data_synth.select", *arguments(tmp_path, f"output_dir={tmp_path}/killed"))
    for name in OUTPUTS:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not partial.exists()


def test_with_a_sentence_encoder(tmp_path):
    make_rows(tmp_path / "rows.jsonl", 60)
    folder = f"output_dir={tmp_path}/out"
    must_run("data_synth.select", f"input={tmp_path}/rows.jsonl", "budget=9", "mode=paper", folder)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["num_rows"] == 9
    assert manifest["settings"]["embedding_sha256"] == model_digest("minilm")
    assert manifest["embeddings"]["embeddings.npy"]["width"] == 384


def test_vectors_of_another_model_are_not_kept(tmp_path):
    make_rows(tmp_path / "rows.jsonl", 12)
    pool = read_pool([f"{tmp_path}/rows.jsonl"], 256)
    made_from = {"embedding": "lexical", "embedding_sha256": "one", "sources": ["rows"]}
    first = embed_pool(pool, made_from, tmp_path, 256)
    np.save(tmp_path / "embeddings.npy", first * 2)
    record = json.loads((tmp_path / "embeddings.json").read_text())
    record["sha256"] = file_digest(tmp_path / "embeddings.npy")
    (tmp_path / "embeddings.json").write_text(json.dumps(record))
    assert (embed_pool(pool, made_from, tmp_path, 256) == first * 2).all(), "kept"
    assert (embed_pool(pool, made_from | {"embedding_sha256": "two"}, tmp_path, 256) == first).all()


def test_splits_that_share_nothing_pass_and_others_are_refused(tmp_path):
    make_rows(tmp_path / "train.jsonl", 30, seed=1, tool="train")
    make_rows(tmp_path / "test.jsonl", 30, seed=2, tool="test")
    make_rows(tmp_path / "tools.jsonl", 30, seed=3, tool="train")
    make_rows(tmp_path / "both.jsonl", 12, seed=1, tool="train")
    done = must_run("data_synth.select", f"check=[{tmp_path}/train.jsonl,{tmp_path}/test.jsonl]")
    assert "30 rows, 30 instances" in done.stdout
    assert done.stdout.splitlines()[-1] == "no instance and no tool is shared"
    for name, said in (("tools", " tools, such as train_"), ("both", "share 12 instances, such as ")):
        refused = run_module("data_synth.select", f"check=[{tmp_path}/train.jsonl,{tmp_path}/{name}.jsonl]")
        assert refused.returncode == 2
        assert said in refused.stderr and len(refused.stderr.splitlines()) == 1
    held_out = [
        f"held_out={tmp_path}/tools.jsonl",
        f"output_dir={tmp_path}/out",
        "budget=5",
        "embedding=lexical",
    ]
    refused = run_module("data_synth.select", f"input={tmp_path}/train.jsonl", *held_out)
    assert refused.returncode == 2 and "held_out" in refused.stderr
    assert not (tmp_path / "out/data.jsonl").exists()


def test_held_out_files_are_checked_whenever_they_change(tmp_path):
    make_rows(tmp_path / "rows.jsonl", 90, seed=1, tool="train")
    make_rows(tmp_path / "test.jsonl", 30, seed=2, tool="test")
    given = [*arguments(tmp_path), f"held_out={tmp_path}/test.jsonl", f"output_dir={tmp_path}/out"]
    clean = (tmp_path / "test.jsonl").read_bytes()

    def refuses_overlap() -> None:
        make_rows(tmp_path / "test.jsonl", 30, seed=2, tool="train")
        refused = run_module("data_synth.select", *given)
        assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1, refused.stderr
        assert refused.stderr.startswith("error: held_out=[") and " tools, such as train_" in refused.stderr

    refuses_overlap()
    assert not (tmp_path / "out/data.jsonl").exists()
    (tmp_path / "test.jsonl").write_bytes(clean)
    must_run("data_synth.select", *given)
    assert must_run("data_synth.select", *given).stdout.endswith("is complete: 60 rows\n")
    written = {name: (tmp_path / "out" / name).read_bytes() for name in OUTPUTS}
    refuses_overlap()
    assert {name: (tmp_path / "out" / name).read_bytes() for name in OUTPUTS} == written
    make_rows(tmp_path / "test.jsonl", 30, seed=3, tool="other")
    assert must_run("data_synth.select", *given).stdout.startswith("wrote 60 rows")
    for name in ("data.jsonl", "selection.jsonl"):
        assert (tmp_path / "out" / name).read_bytes() == written[name], "held-out rows choose nothing"
    given[-2] = f"held_out={tmp_path}/none.jsonl"
    refused = run_module("data_synth.select", *given)
    assert refused.returncode == 2 and f"held_out={tmp_path}/none.jsonl: No such file" in refused.stderr


REFUSED = [
    (["budget=601"], "budget=601: the tasks with a weight have 600 rows"),
    (["budget=0"], "budget=0: must be at least 1"),
    (["weights={cooking:1}"], "weights.cooking=1.0: no such task"),
    (["weights={scheduling:-1}"], "weights.scheduling=-1.0"),
    (["weights={scheduling:0}"], "weights: all are 0"),
    (["embedding=/nowhere"], "embedding=/nowhere"),
    (["input=/nowhere/data.jsonl"], "input=/nowhere/data.jsonl: no such file"),
    (["mode=best"], "mode=best"),
    (["budgett=3"], "budgett=3: unknown key"),
]


@pytest.mark.parametrize(("changed", "said"), REFUSED, ids=lambda value: str(value)[:30])
def test_bad_input_is_refused_in_one_line(whole, tmp_path, changed, said):
    given = {argument.split("=")[0]: argument for argument in [*arguments(whole), *changed]}
    refused = run_module("data_synth.select", *given.values(), f"output_dir={tmp_path}/out")
    assert refused.returncode == 2, refused.stderr
    assert said in refused.stderr and len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "out/data.jsonl").exists()


def test_what_is_there_is_left_alone(whole, tmp_path):
    (tmp_path / "data.jsonl").write_text("mine")
    refused = run_module("data_synth.select", *arguments(whole, f"output_dir={tmp_path}"))
    assert refused.returncode == 2 and "of something else" in refused.stderr
    assert (tmp_path / "data.jsonl").read_text() == "mine"
    refused = run_module("data_synth.select", *arguments(whole, f"output_dir={whole}/out/data.jsonl"))
    assert refused.returncode == 2
