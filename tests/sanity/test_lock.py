"""The environment under test is the lock's, package by package."""

import importlib.metadata
import re
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]


def locked(name: str) -> dict[str, str]:
    text = (ROOT / "docker" / name).read_text()
    return dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)", text, flags=re.MULTILINE))


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_versions() -> dict[str, str]:
    """Of site-packages alone: setuptools puts copies that it ships with on ``sys.path`` when it is imported."""
    found = importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
    return {canonical(distribution.metadata["Name"]): distribution.version for distribution in found}


def test_installed_versions_are_the_locks():
    installed = installed_versions()
    expected = {canonical(name): version for name, version in locked("constraints-rehearsal.txt").items()}
    assert {name: installed.get(name) for name in expected} == expected


def test_nothing_else_is_installed():
    extra = installed_versions().keys() - {canonical(name) for name in locked("constraints-rehearsal.txt")}
    assert extra <= {"magic-megatron", "pip"}


def test_locks_carry_hashes_and_no_addresses():
    for name in ("constraints-rehearsal.txt", "constraints-gpu.txt"):
        text = (ROOT / "docker" / name).read_text()
        assert "://" not in text
        assert text.count("--hash=sha256:") >= len(locked(name)) > 100


def test_apex_of_the_package_index_is_never_asked_for():
    for name in ("constraints-rehearsal.txt", "constraints-gpu.txt"):
        assert "apex" not in locked(name)
