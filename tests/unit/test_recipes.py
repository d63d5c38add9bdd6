"""Recipes: every entry of every group composes, Table 8 is met to the digit, and no value changes unseen."""

import dataclasses
import difflib
import re
from pathlib import Path

import pytest
import yaml
from golden_recipes import FOLDER, RECIPES, REFRESH, composed, flat, golden

from magic_megatron.config.layout import check_model_fits, data_parallel_size
from magic_megatron.config.sft import SftConfig, check_batch, check_values
from magic_megatron.plan import PlanConfig
from recipes.command import compose, typed

ROOT = Path(__file__).parents[2]
NUM_GPUS = 32  # Table 8: 4 machines × 8 GPUs

# Table 8, supervised fine-tuning; the sizes of the layout are those of its "MoE Setting".
TABLE_8 = {
    "data.sequence_length": 20480 + 2048,
    "train.num_epochs": 1,
    "optim.weight_decay": 0.01,
    "optim.beta1": 0.9,
    "optim.beta2": 0.95,
    "platform.dtype": "bf16",
    "parallel.tp": 4,
    "parallel.pp": 2,
    "parallel.cp": 2,
    "parallel.ep": 4,
    "moe.aux_loss_coeff": 1e-4,
    "moe.z_loss_coeff": 5e-4,
    "train.micro_batch_size": 4,
    "optim.lr": 1e-5,
    "cluster.gpus_per_node": 8,
}

# The files that make up the paper's recipes, and what a line with a value has in them: its source, unless it refers to
# another value, is the user's to give, or is the entry's name.
PAPER_FILES = ["parallel/magicagent", "parallel/magicagent_dense", "moe/global_lbl", "optim/adamw_cosine"]
PAPER_FILES += ["data/packed", "platform/cuda"]
SOURCE = re.compile(r"#.*\b(Table 8|ours)\b|: (\?\?\?|\$\{[a-z_.]+\})|^name: ")


def groups_of(recipe: str) -> list[str]:
    """The groups that ``recipes/<recipe>.yaml`` has in its defaults."""
    defaults = yaml.safe_load((ROOT / f"recipes/{recipe}.yaml").read_text()).get("defaults", [])
    return [group for item in defaults if isinstance(item, dict) for group in item if "override" not in group]


COMMANDS = sorted({path.stem for path in (ROOT / "recipes").glob("*.yaml")} - {"base"})
ENTRIES = [
    (recipe, group, path.stem)
    for recipe in COMMANDS
    for group in groups_of(recipe)
    for path in sorted((ROOT / "recipes" / group).glob("*.yaml"))
]
# Groups that a task brings along: its name, the key that chooses an entry, and the group.
BROUGHT = [
    (task.stem, item_key.removeprefix("/"), item_key.removeprefix("/").split("@")[0])
    for task in sorted((ROOT / "recipes/task").glob("*.yaml"))
    for item in yaml.safe_load(task.read_text()).get("defaults", [])
    if isinstance(item, dict)
    for item_key in item
]


@pytest.mark.parametrize("recipe", COMMANDS)
def test_every_recipe_composes(recipe):
    assert compose(recipe, [])


@pytest.mark.parametrize(("recipe", "group", "entry"), ENTRIES)
def test_every_entry_of_every_group_composes(recipe, group, entry):
    override = f"{group}={entry}"
    if recipe == "sft":
        check_values(composed([override]))
    elif recipe == "plan":
        typed(PlanConfig, compose(recipe, [override]))
    else:
        assert compose(recipe, [override])


@pytest.mark.parametrize(("task", "key", "group"), BROUGHT)
def test_every_entry_that_a_task_brings_along_composes(task, key, group):
    for path in (ROOT / "recipes" / group).glob("*.yaml"):
        assert compose("synth", [f"task={task}", f"{key}={path.stem}"])


def test_no_group_is_left_out():
    folders = {path.parent.name for path in (ROOT / "recipes").glob("*/*.yaml")}
    assert folders == {group for _, group, _ in ENTRIES} | {group for _, _, group in BROUGHT}


@pytest.mark.parametrize("name", RECIPES)
def test_the_golden_copy_is_what_composes(name):
    path = FOLDER / f"{name}.yaml"
    checked_in = path.read_text() if path.exists() else ""
    diff = difflib.unified_diff(
        checked_in.splitlines(), golden(RECIPES[name]).splitlines(), f"tests/golden/{name}.yaml", "composed"
    )
    changes = "\n".join(diff)
    assert not changes, f"recipe {name} has changed; if that is meant: {REFRESH}\n{changes}"


def test_no_golden_copy_is_left_over():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == RECIPES.keys()


@pytest.mark.parametrize(
    ("name", "differences"),
    [("magicagent_30b_a3b", {}), ("magicagent_32b", {"parallel.ep": 1})],
)
def test_the_papers_recipes_have_the_values_of_table_8(name, differences):
    recipe = composed(RECIPES[name])
    leaves = dict(flat(dataclasses.asdict(recipe)))
    assert {key: leaves[key] for key in TABLE_8} == TABLE_8 | differences
    assert_fits(recipe, NUM_GPUS)
    dp = data_parallel_size(recipe.parallel, NUM_GPUS)
    gradient_accumulation_steps = recipe.train.global_batch_size // (recipe.train.micro_batch_size * dp)
    assert gradient_accumulation_steps == 1


@pytest.mark.parametrize("name", ["rehearsal_30b_a3b", "rehearsal_32b"])
def test_a_rehearsal_has_the_papers_layout_in_16_processes(name):
    twin, paper = composed(RECIPES[name]), composed(RECIPES[name.replace("rehearsal", "magicagent")])
    assert twin.parallel == paper.parallel
    assert (twin.moe, twin.optim) == (paper.moe, paper.optim)
    assert twin.model.is_moe == paper.model.is_moe
    assert_fits(twin, 16)


def assert_fits(recipe: SftConfig, num_processes: int) -> None:
    check_values(recipe)
    check_model_fits(recipe.parallel, recipe.model, recipe.data.sequence_length)
    check_batch(recipe.train, data_parallel_size(recipe.parallel, num_processes))


@pytest.mark.parametrize("name", PAPER_FILES)
def test_every_value_names_its_source(name):
    lines = (ROOT / f"recipes/{name}.yaml").read_text().splitlines()
    unnamed = [line for line in lines if not line.startswith("#") and not SOURCE.search(line)]
    assert not unnamed


def test_every_setting_of_training_names_its_source():
    text = (ROOT / "recipes/sft.yaml").read_text()
    section = re.search(r"^train:\n((?:  .*\n)+)", text, flags=re.MULTILINE)
    assert section is not None
    assert not [line for line in section.group(1).splitlines() if not SOURCE.search(line)]


def test_the_slurm_job_trains_the_papers_recipe():
    script = (ROOT / "launch/slurm/sft.sbatch").read_text()
    recipe = re.search(r'^recipe=\((.*) "\$@"\)', script, flags=re.MULTILINE)
    assert recipe is not None
    assert recipe.group(1).split() == RECIPES["magicagent_30b_a3b"]
    assert f"#SBATCH --nodes={NUM_GPUS // 8}\n#SBATCH --gpus-per-node=8\n" in script


@pytest.mark.parametrize(
    "path", sorted((ROOT / "recipes/ablation").glob("*.yaml")), ids=lambda path: path.stem
)
def test_an_ablation_is_five_lines_at_most(path):
    assert len(path.read_text().splitlines()) <= 5
