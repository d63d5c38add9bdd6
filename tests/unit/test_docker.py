"""What the images are built from is pinned, and the locks agree with each other."""

import re
from pathlib import Path

DOCKER = Path(__file__).parents[2] / "docker"


def locked(name: str) -> dict[str, str]:
    text = (DOCKER / name).read_text()
    return dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)", text, flags=re.MULTILINE))


def test_source_builds_are_pinned_to_commits():
    dockerfile = (DOCKER / "Dockerfile").read_text()
    commits = dict(re.findall(r"^ARG (\w+_COMMIT)=([0-9a-f]{40})$", dockerfile, flags=re.MULTILINE))
    built = re.findall(r"git\+https://\S+@\$(\w+)", dockerfile)
    assert sorted(built) == sorted(commits)
    assert len(built) == 3


def test_images_start_from_a_digest_that_the_builder_gives():
    for name in ("Dockerfile", "Dockerfile.rehearsal"):
        text = (DOCKER / name).read_text()
        assert "\nARG BASE_DIGEST\nFROM ${BASE_IMAGE}@${BASE_DIGEST} AS base\n" in text
        assert re.search(r"^USER \d+$", text, flags=re.MULTILINE)


def test_the_base_has_the_cuda_of_torch():
    base = re.search(
        r"^ARG BASE_IMAGE=nvidia/cuda:([0-9.]+)-", (DOCKER / "Dockerfile").read_text(), re.MULTILINE
    )
    assert base is not None
    assert base.group(1) == locked("constraints-gpu.txt")["cuda-toolkit"]


def test_the_lock_of_the_source_builds_adds_to_the_gpus_and_contradicts_nothing():
    gpu, builds = locked("constraints-gpu.txt"), locked("constraints-source-builds.txt")
    assert {name: gpu[name] for name in builds.keys() & gpu.keys()} == {
        name: builds[name] for name in builds.keys() & gpu.keys()
    }
    added = builds.keys() - gpu.keys()
    assert {"onnxscript", "nvdlfw-inspect", "wheel"} <= added
    assert "apex" not in added
    assert "://" not in (DOCKER / "constraints-source-builds.txt").read_text()
