"""``recipes/moe`` and what MoeConfig refuses."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from magic_megatron.config.moe import MoeConfig
from magic_megatron.moe.load_balancing import LOAD_BALANCING
from recipes.command import InputError, typed

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
        ("load_balancing", "globl", "'global' or 'none'"),
        ("statistics", "last", "'previous_step'"),
    ],
)
def test_a_bad_value_is_refused_with_its_fix(key, value, fix):
    with pytest.raises(InputError, match=key) as refusal:
        read(**{key: value})
    assert fix in str(refusal.value)
