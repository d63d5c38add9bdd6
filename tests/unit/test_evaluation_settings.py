"""What decides a run's answers, and with it whether a folder's run goes on."""

import pytest

from evaluation import benchmarks
from evaluation.settings import EvalSettings
from recipes.command import compose, typed

BESIDE = {
    "worfbench": ("mode", "embedding", "options.device", "options.batch_size", "options.cache"),
    "magic_eval_plan": ("embedding", "options.device", "options.batch_size", "options.cache"),
    "alfworld": ("options.num_processes", "options.load_timeout_s", "options.step_timeout_s"),
    "bfcl_v3": ("options.timeout_s",),
    "tau2": ("options.timeout_s",),
}


@pytest.mark.parametrize("name", benchmarks.names())
def test_keys_that_only_scoring_needs_are_no_part_of_a_run_s_identity(name):
    keys = ["endpoint.base_url=http://127.0.0.1:9/v1", "endpoint.model=m", "output_dir=out"]
    settings = typed(EvalSettings, compose("eval", [f"benchmark={name}", *keys]))
    identity = settings.identity()
    options = {f"options.{key}" for key in settings.options}
    kept = {*identity, *(f"options.{key}" for key in identity["options"])}
    assert ({"mode", "embedding"} | options) - kept == set(BESIDE.get(name, ()))
