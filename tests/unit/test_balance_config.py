"""``recipes/moe`` and what MoeConfig refuses."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from magic_megatron.config.moe import MoeConfig
from magic_megatron.moe.load_balancing import LOAD_BALANCING
from recipes.command import InputError, compose, typed

RECIPES = Path(__file__).parents[2] / "recipes" / "moe"


def read(name="global_lbl", **changes):
    return typed(MoeConfig, OmegaConf.merge(OmegaConf.load(RECIPES / f"{name}.yaml"), changes))


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_complete_and_names_a_known_loss(path):
    assert read(path.stem).load_balancing in LOAD_BALANCING


def test_the_default_has_the_coefficients_of_table_8():
    moe = read()
    assert (moe.load_balancing, moe.aux_loss_coeff, moe.z_loss_coeff) == ("global", 1e-4, 5e-4)


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("aux_loss_coeff", -1e-4, "moe.aux_loss_coeff=0"),
        ("z_loss_coeff", float("nan"), "a finite number"),
        ("capacity_factor", 0.0, "moe.capacity_factor=1.25"),
        ("load_balancing", "globl", "'global', 'micro_batch', 'sequence', 'variance' or 'none'"),
        ("statistics", "last", "'previous_step'"),
    ],
)
def test_a_bad_value_is_refused_with_its_fix(key, value, fix):
    with pytest.raises(InputError, match=key) as refusal:
        read(**{key: value})
    assert fix in str(refusal.value)


# load_balancing, has the z-loss, capacity_factor
TABLE_6 = {
    "baseline": ("none", False, None),
    "micro_batch_lbl": ("micro_batch", False, None),
    "sequence_lbl": ("sequence", False, None),
    "global_lbl": ("global", False, None),
    "variance_loss": ("variance", False, None),
    "z_loss": ("none", True, None),
    "expert_capacity": ("none", False, 1.25),
    "global_lbl_z_loss": ("global", True, None),
}


def ablation(name):
    return typed(MoeConfig, compose("sft", [f"ablation={name}"] if name else []).moe)


def test_table_6_has_a_recipe_for_each_row_of_at_most_five_lines():
    files = {path.stem: path for path in (RECIPES.parent / "ablation").glob("*.yaml")}
    assert files.keys() == TABLE_6.keys()
    assert all(len(path.read_text().splitlines()) <= 5 for path in files.values())


@pytest.mark.parametrize("name", TABLE_6)
def test_a_row_of_table_6_has_its_losses_and_table_8s_coefficients(name):
    moe, (loss, has_z, capacity) = ablation(name), TABLE_6[name]
    assert (moe.load_balancing, moe.capacity_factor) == (loss, capacity)
    assert moe.aux_loss_coeff == 1e-4
    assert moe.z_loss_coeff == (5e-4 if has_z else 0.0)


def test_the_default_is_the_last_row():
    assert ablation("global_lbl_z_loss") == ablation(None)
