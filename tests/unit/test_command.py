"""recipes.command: typed recipes, and bad input reported in one line with exit status 2."""

import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

import pytest
from omegaconf import OmegaConf

from recipes.command import InputError, compose, make_folder, typed


@dataclass(frozen=True)
class Part:
    lr: float


@dataclass(frozen=True)
class Whole:
    num_samples: int
    mode: Literal["a", "b"]
    limit: int | None
    part: Part


GOOD = {"num_samples": 3, "mode": "a", "limit": None, "part": {"lr": 0.1}}


def test_typed_builds_the_dataclass():
    assert typed(Whole, OmegaConf.create(GOOD)) == Whole(3, "a", None, Part(0.1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_samples": "three"}, "num_samples=three: "),
        ({"mode": "c"}, "mode=c: Input should be 'a' or 'b'"),
        ({"num_sample": 1}, "num_sample=1: unknown key; did you mean num_samples?"),
        ({"part": {"lr": 0.1, "ls": 2}}, "part.ls=2: unknown key; did you mean part.lr?"),
        ({"part": {}}, "part.lr: missing"),
        ({"part": None}, "part=None: must be a group"),
        ({"num_samples": "???"}, "num_samples: missing; give it as num_samples=VALUE"),
        ({"num_samples": "${nowhere}"}, "nowhere"),
        ({"num_samples": True}, "num_samples=true: "),
        ({"part": {"lr": float("nan")}}, "part.lr=nan: "),
        ({"part": {"lr": float("inf")}}, "part.lr=inf: "),
    ],
)
def test_typed_names_the_key_and_the_fix(change, message):
    with pytest.raises(InputError) as caught:
        typed(Whole, OmegaConf.create(GOOD | change))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.num_stpes=3", "train.num_stpes=3: unknown key; did you mean train.num_steps"),
        ("model=qwen9", "no such choice; choose one of "),
        ("optim=null", "optim=null: a group can't be empty"),
    ],
)
def test_compose_explains_what_hydra_refuses(override, message):
    with pytest.raises(InputError) as caught:
        compose("sft", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def sft(*arguments):
    command = [sys.executable, "-m", "magic_megatron.sft", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_command_ends_with_2_and_one_line_on_bad_input():
    done = sft("optim.lrr=1")
    assert done.returncode == 2
    assert done.stderr.strip() == "error: optim.lrr=1: unknown key; did you mean optim.lr or optim.min_lr?"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("nonsense", "error: nonsense: not an override; write it as key=value"),
        ("~optim", "error: ~optim: a key can't be deleted"),
        ("output_dir=a(1)", "error: output_dir=a(1): ( ) [ ] { } , = : have a meaning of their own"),
        ("output_dir=a,b", "error: output_dir=a,b: several values; write a list as output_dir=[…], a "),
        ("parallel.tp=2", "error: data.path: missing; give it as data.path=VALUE"),
    ],
)
def test_what_hydra_or_the_types_refuse_is_one_line_too(override, message):
    done = sft(override)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as caught:
        make_folder("output_dir", tmp_path / "file")
    assert str(caught.value).startswith(f"output_dir={tmp_path / 'file'}: File exists; choose another folder")


@pytest.mark.parametrize("flags", [["--help"], ["--cfg", "job"]])
def test_a_command_shows_its_recipe(flags):
    done = sft(*flags)
    assert done.returncode == 0, done.stderr
    assert "global_batch_size: 8" in done.stdout
