"""``python -m evaluation benchmark=[a,b]``: several benchmarks, their variants, one summary."""

import json
import subprocess
import sys

import pytest
from chat_server import completion, serving

from evaluation import benchmarks, suite
from evaluation.packages import WorkerCrashedError
from evaluation.settings import EvalSettings
from evaluation.suite import Suite, take_suite
from recipes.command import InputError, compose, typed

SLOT = "Monday, 14:30 - 15:30"
CALENDAR = {"golden_plan": SLOT, "prompt_5shot": "When?"}
TRIP = {"cities": "Oslo**Riga", "durations": "2**3", "prompt_5shot": "Where?"}


@pytest.fixture
def data(tmp_path):
    """A folder with two of NaturalPlan's three official files."""
    folder = tmp_path / "natural_plan"
    folder.mkdir()
    for name, items in (
        ("calendar_scheduling", {"a": CALENDAR, "b": CALENDAR}),
        ("trip_planning", {"c": TRIP}),
    ):
        (folder / f"{name}.json").write_text(json.dumps(items))
    return folder


def evaluate(url, out, *overrides):
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "evaluation",
            f"endpoint.base_url={url}",
            "model=m",
            f"output_dir={out}",
            *overrides,
        ],
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_every_benchmark_in_every_variant_and_what_has_no_data_is_told_at_the_end(data, tmp_path):
    out = tmp_path / "out"
    prices = ("endpoint.price.prompt=1", "endpoint.price.completion=2.5")
    with serving(lambda prompt, attempt, handler: handler.reply(completion(SLOT))) as server:
        done = evaluate(
            server.url,
            out,
            *("benchmark=[natural_plan,worfbench]", f"suite.natural_plan.data={data}", "num_trials=2"),
            *prices,
        )
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert len(server.requests) == 6
        again = evaluate(
            server.url,
            out,
            *("benchmark=[natural_plan]", f"suite.natural_plan.data={data}", "num_trials=2"),
            *("suite.natural_plan.subtask=calendar", *prices),
        )
        assert again.returncode == 0, again.stderr
        assert len(server.requests) == 6, "what was done stays done"
    lines = [
        line for line in done.stderr.splitlines() if line.startswith(("natural_plan", "worfbench", "error"))
    ]
    assert "natural_plan/meeting: data=" in lines[0] and "worfbench: data=None" in lines[1]
    assert lines[2] == "error: 2 of 4 have no whole result; the reasons are above"
    assert "natural_plan calendar: accuracy 1.0000 over 4 samples" in done.stdout
    results = json.loads((out / "natural_plan/calendar/results.json").read_text())
    assert results["totals"]["cost_usd"] == pytest.approx(4 * (7 * 1 + 5 * 2.5) / 1e6)
    assert results["totals"]["roles"]["agent"]["num_requests"] == 4
    assert [(s["id"], s["trial"]) for s in results["per_sample"]] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    (line,) = json.loads((out / "summary.json").read_text())["benchmarks"]
    assert line == {
        "folder": "natural_plan/calendar",
        "benchmark": "natural_plan",
        "subtask": "calendar",
        "language": None,
        "num_samples": 4,
        "num_errors": 0,
        "metrics": {"accuracy": 1.0},
    }


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("benchmark=[natural_plan,lunch]",), "benchmark=lunch: no such benchmark; choose from"),
        (("benchmark=[]",), "benchmark=[]: none in it"),
        (
            ("benchmark=[natural_plan]", "suite.worfbench.mode=fixed"),
            "suite.worfbench.mode=fixed: no benchmark",
        ),
        (("benchmark=[natural_plan]", "suite.natural_plan.datum=x"), "datum=x: unknown key"),
        (("benchmark=[natural_plan]", "limit=0"), "limit=0"),
        (("benchmark=natural_plan", "suite.natural_plan.data=x"), "suite.natural_plan.data=x: unknown key"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(tmp_path, overrides, message):
    done = evaluate("http://127.0.0.1:9/v1", tmp_path / "out", *overrides)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_checkers_process_that_ends_ends_its_benchmark_alone(monkeypatch):
    def crash(settings):
        raise WorkerCrashedError("ended with status 9")

    monkeypatch.setattr(suite, "evaluate", crash)
    keys = [
        "endpoint.base_url=http://127.0.0.1:9/v1",
        "endpoint.model=m",
        "output_dir=out",
        "benchmark=bfcl_v3",
    ]
    line, problem = suite._run(typed(EvalSettings, compose("eval", keys)))
    assert line["error"] == problem == "ended with status 9"


def test_a_suites_words_are_taken_out_of_the_command_line():
    arguments = ["evaluation", "benchmark=[a, b]", "limit=3", "suite.a.data=x", "suite.b.options.n=[1,2]"]
    taken = take_suite(arguments)
    assert arguments == ["evaluation", "limit=3"]
    assert taken == Suite("[a, b]", ("a.data=x", "b.options.n=[1,2]"))
    one = ["evaluation", "benchmark=a", "suite.a.data=x"]
    assert take_suite(one) is None and len(one) == 3
    assert Suite("all", ()).names == benchmarks.names()
    with pytest.raises(InputError, match=r"suite\.natural_plan\.data: "):
        _ = Suite("[natural_plan]", ("natural_plan.data",)).names


@pytest.mark.parametrize("name", benchmarks.names())
def test_every_benchmark_has_a_recipe_for_both_commands(name):
    for recipe in ("eval", "score"):
        assert compose(recipe, [f"benchmark={name}"]).benchmark == name
