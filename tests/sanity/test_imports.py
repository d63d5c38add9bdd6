"""The import rules of docs/architecture.md, read from the syntax trees of every module."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("data_synth", "magic_megatron", "evaluation", "recipes")
MODULES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

ALLOWED = {
    "megatron": (
        "magic_megatron/models/",
        "magic_megatron/moe/router.py",
        "magic_megatron/data/",
        "magic_megatron/sft/",
        "magic_megatron/rl/engines/",
        "magic_megatron/platform/",
        "data_synth/writers/",
    ),
    "verl": ("magic_megatron/rl/", "magic_megatron/platform/"),
    "vllm": ("magic_megatron/rl/", "magic_megatron/platform/"),
    "ray": ("magic_megatron/rl/", "magic_megatron/platform/", "data_synth/engine"),
    "data_synth": ("data_synth/", "magic_megatron/rl/"),
    "evaluation": ("evaluation/", "magic_megatron/rl/"),
    "magic_megatron": ("magic_megatron/",),
    "magic_megatron.sft": ("magic_megatron/sft/",),
    "magic_megatron.rl": ("magic_megatron/rl/",),
}
TORCH_ONLY = [path for path in MODULES if str(path).endswith(("moe/balance.py", "rl/xxpo.py"))]


def imported_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and node.level == 0, f"{path}: relative imports hide what they cross"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_what_its_folder_may(module):
    for name in imported_names(ROOT / module):
        for package, folders in ALLOWED.items():
            if name == package or name.startswith(package + "."):
                assert str(module).startswith(folders), f"{module} imports {name}"


@pytest.mark.parametrize("module", TORCH_ONLY, ids=str)
def test_mathematics_imports_only_torch(module):
    roots = {name.split(".")[0] for name in imported_names(ROOT / module)}
    assert roots <= {"torch", "__future__", "typing", "collections", "dataclasses", "math"}
