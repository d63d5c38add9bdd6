"""Files that decide the bytes of a run are recorded by what is in them, not by their names alone."""

import json
import os
import shutil
from pathlib import Path

import pytest

from data_synth.__main__ import main
from data_synth.config import Settings
from data_synth.tasks.mixture.settings import MixtureRun
from data_synth.tasks.procedural.settings import ProceduralRun
from data_synth.tools.embedding import model_digest
from recipes.command import InputError, compose, typed

RUNS = {"procedural": ProceduralRun, "all": MixtureRun}
GOALS = (
    "Find the height of K2.",
    "Find the height of Denali.",
    "Compare the heights in Subgoal 1 and Subgoal 2.",
)


def write_plans(path: Path, place: str) -> Path:
    """One row in Lumos's format."""
    text = "; ".join(f"Subgoal {number}: {goal}" for number, goal in enumerate(GOALS, 1))
    user = f"Please provide a reasonable subgoal-based plan.\nTask: Is K2 higher than {place}?;"
    user += " Initial Environment Description: None."
    messages = [{"role": "user", "content": user}, {"role": "assistant", "content": text}]
    path.write_text(json.dumps({"dataset": "maths", "id": "maths_0", "messages": messages}))
    return path


def write_model(folder: Path, weights: bytes = b"\0\1") -> Path:
    """What has the files of a model's folder."""
    (folder / "pooling").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "pooling/config.json").write_text("{}")
    return folder


def recorded(task: str, *overrides: str) -> dict:
    settings: Settings = typed(
        RUNS[task], compose("synth", [f"task={task}", "output_dir=unused", *overrides])
    )
    return settings.recorded()


@pytest.mark.parametrize("task", RUNS)
def test_a_changed_source_of_plans_is_another_run(task, tmp_path):
    given = f"procedural.sources=[decomposition,{write_plans(tmp_path / 'plans.jsonl', 'Denali')}]"
    first = recorded(task, given)
    assert recorded(task, given) == first
    write_plans(tmp_path / "plans.jsonl", "Elbrus")
    second = recorded(task, given)
    assert {key for key in first if first[key] != second[key]} == {"procedural.sources_sha256"}
    assert not any("sha256" in key for key in recorded(task)), "built-in sources are the generator's version"


def test_a_task_that_is_not_drawn_reads_no_file():
    given = ["procedural.sources=[/nowhere]", "weights.procedural=0"]
    assert "procedural.sources_sha256" not in recorded("all", *given)
    with pytest.raises(InputError, match=r"^procedural.sources=/nowhere: No such file.*; "):
        recorded("all", given[0])


def test_a_run_whose_source_changed_does_not_go_on(tmp_path):
    plans = write_plans(tmp_path / "plans.jsonl", "Denali")
    overrides = ["task=procedural", f"procedural.sources=[questions,{plans}]", "num_samples=2", "language=en"]
    config = compose("synth", [*overrides, f"output_dir={tmp_path}/out"])
    main(config)
    main(config)  # complete
    write_plans(plans, "Elbrus")
    before = (tmp_path / "out/data.jsonl").read_bytes()
    with pytest.raises(InputError, match=r"^procedural.sources_sha256=.* was made with .*; choose another"):
        main(config)
    assert (tmp_path / "out/data.jsonl").read_bytes() == before


@pytest.mark.parametrize("task", RUNS)
def test_a_changed_model_of_the_same_size_is_another_run(task, tmp_path):
    given = f"tools.embedding={write_model(tmp_path / 'model')}"
    first = recorded(task, given)
    (tmp_path / "model/model.safetensors").write_bytes(b"\1\0")
    second = recorded(task, given)
    assert {key for key in first if first[key] != second[key]} == {"tools.embedding_sha256"}
    with pytest.raises(InputError, match=r"^tools.embedding=/nowhere: "):
        recorded(task, "tools.embedding=/nowhere")


def test_a_model_is_what_its_files_hold(tmp_path):
    first = model_digest(str(write_model(tmp_path / "a")))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b/.cache").mkdir()
    (tmp_path / "b/.cache/metadata").write_text("when it was fetched")
    os.utime(tmp_path / "b/config.json", (0, 0))
    assert model_digest(str(tmp_path / "b")) == first
    (tmp_path / "b/pooling").rename(tmp_path / "b/dense")
    assert model_digest(str(tmp_path / "b")) != first


def test_tools_that_cannot_be_read_are_told():
    with pytest.raises(InputError, match=r"^tools.path=/nowhere.jsonl: No such file"):
        recorded("procedural", "tools.path=/nowhere.jsonl")
