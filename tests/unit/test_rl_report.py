"""The page about runs of RL: groups of seeds, bands, Table 5's columns, and whatever metrics there are."""

import json
import math
import re

import numpy as np
import pytest
import rl_metrics
import yaml
from commands import must_run
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from magic_megatron.rl.report.__main__ import main
from magic_megatron.rl.report.page import _usual, evaluations, render, write_picture
from magic_megatron.rl.report.run_folder import RunFolder, RunGroup, group_runs, read_runs
from magic_megatron.rl.report.sections import sections
from magic_megatron.rl.report.statistics import best, converged, half_widths, interval, t_quantile
from recipes.command import InputError, compose

FIGURE = Figure()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of grpo and three of xxpo."""
    folder = tmp_path_factory.mktemp("runs")
    made = [rl_metrics.save(folder / f"grpo_{seed}", "grpo", seed, 1.0) for seed in (1, 2)]
    return made + [rl_metrics.save(folder / f"xxpo_{seed}", "xxpo", seed, 2.0) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    """Of all five, by the command itself."""
    output = tmp_path_factory.mktemp("page") / "report.html"
    listed = ",".join(map(str, runs))
    must_run(
        "magic_megatron.rl.report", f"runs=[{listed}]", f"output={output}", f"figure={output.parent}/a/b.png"
    )
    assert (output.parent / "a/b.png").read_bytes().startswith(b"\x89PNG")
    return output.read_text()


def group(*curves, label="any", key="reward"):
    """Seeds whose ``key`` has these values at steps 1, 2, …"""
    lines = [[{"step": step, key: value} for step, value in enumerate(values, 1)] for values in curves]
    runs = [RunFolder(None, f"run {n}", found, {}) for n, found in enumerate(lines)]
    return RunGroup(label, "#000000", runs)


def titles(page):
    return re.findall(r"<h[23]>(.*?)</h[23]>", page)


def rows(page):
    """Texts of the cells of all tables."""
    found = re.findall(r"<tr[^>]*>(.*?)</tr>", page, re.DOTALL)
    return [[re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?>(.*?)</td>", row)] for row in found]


def test_seeds_of_an_algorithm_are_one_line(page):
    assert "2 compared" in page and "2 seeds" in page and "3 seeds" in page
    reward = page[page.index("<h3>Reward</h3>") : page.index("<h3>Reward: alfworld</h3>")]
    assert {"#2f6fde", "#e07b39"} <= set(re.findall(r"stroke: (#\w+)", reward))
    assert set(re.findall(r"fill: (#\w+); fill-opacity: 0.14", reward)) == {"#2f6fde", "#e07b39"}
    for title in ("Reward by task: grpo", "Reward by task: xxpo", "Reward: scheduling", "Success: alfworld"):
        assert title in titles(page)
    for title in (
        "Entropy of thought",
        "Entropy of action",
        "MaxVio",
        "Greatest difference",
        "Clip fraction",
    ):
        assert title in titles(page)
    assert titles(page).count("alfworld_unseen") == 1 and "Time of a step by phase, seconds" in titles(page)
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', page)
    assert ["train.seed", "1", "2", "1", "2", "3"] in rows(page)


def test_the_table_has_best_and_converged(page, runs):
    (row,) = [row for row in rows(page) if row[:3] == ["scheduling, greedy", "grpo", "2"]]
    found = []
    for folder in runs[:2]:
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        found.append(
            [line["validation/scheduling/greedy"] for line in lines if "validation/scheduling/greedy" in line]
        )
    assert len(found[0]) == 7
    expected = []
    for summarise in (lambda v: v[0], max, lambda v: (v[-1] + v[-2]) / 2):
        values = [100 * summarise(seed) for seed in found]
        expected.append(f"{np.mean(values):.1f} ± {12.7062 * abs(values[0] - values[1]) / 2:.1f}")
    assert row[3:] == expected


def test_a_run_alone(runs):
    (run,) = read_runs([str(runs[3])])
    kept = ("reward", "parts/", "entropy_", "history_", "time/")
    lines = [{key: line[key] for key in line if key == "step" or key.startswith(kept)} for line in run.lines]
    (alone,) = group_runs([RunFolder(run.path, run.name, lines, run.recipe)], None)
    assert alone.label == "xxpo_2"
    text = render([alone])
    assert "seeds:" not in text and "±" not in text and "Side by side" not in text
    assert titles(text) == [
        *("Reward", "Reward by task", "Parts of the reward: scheduling"),
        *("Entropy", "Entropy of thought and action", "Time", "Time of a step by phase, seconds", "Recipe"),
    ]
    assert all(f">{name}<" in text for name in ("seesaw", "parts/scheduling", "segment_entropies", "time"))
    assert all(f">{phase}</text>" in text for phase in ("gen", "update actor", "testing"))


@pytest.mark.parametrize(
    ("recipes", "labels", "names"),
    [
        ([("grpo", 1, 1e-6), ("grpo", 2, 1e-6)], None, ["grpo: 0 1"]),
        ([("grpo", 1, 1e-6), ("xxpo", 1, 1e-6)], None, ["grpo: 0", "xxpo: 1"]),
        (
            [("grpo", 1, 1e-6), ("grpo", 1, 2e-6)],
            None,
            ["grpo, optim.lr=1e-06: 0", "grpo, optim.lr=2e-06: 1"],
        ),
        ([("grpo", 1, 1e-6), None, None], None, ["grpo: 0", "r1: 1", "r2: 2"]),
        ([("grpo", 1, 1e-6), ("xxpo", 1, 1e-6), None], ["a", "b", "a"], ["a: 0 2", "b: 1"]),
    ],
)
def test_groups(tmp_path, recipes, labels, names):
    paths = []
    for place, values in enumerate(recipes):
        folder = tmp_path / f"r{place}"
        folder.mkdir()
        (folder / "metrics.jsonl").write_text('{"step": 1, "reward": 1}\n')
        if values is not None:
            algorithm, seed, lr = values
            recipe = {
                "algorithm": {"name": algorithm},
                "optim": {"lr": lr},
                "seed": seed,
                "output_dir": str(folder),
            }
            (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        paths.append(str(folder))
    groups = group_runs(read_runs(paths), labels)
    assert [f"{g.label}: {' '.join(run.path.name[1:] for run in g.runs)}" for g in groups] == names


def test_a_band_is_of_the_mean_over_seeds():
    line = group([1.0, 2.0, 6.0], [3.0, 2.0, 0.0], [2.0, 2.0, 3.0]).line("reward", is_smoothed=False)
    assert line.steps.tolist() == [1, 2, 3] and line.mean.tolist() == [2, 2, 3]
    assert line.band == pytest.approx([4.3027 / math.sqrt(3), 0, 4.3027 * 3 / math.sqrt(3)], rel=1e-4)
    assert group([1.0, 2.0]).line("reward", is_smoothed=False).band is None


def test_a_shorter_seed_cuts_the_line_and_a_missing_one_is_left_out():
    line = group([1.0, 2.0, 3.0], [1.0, 4.0]).line("reward", is_smoothed=False)
    assert line.steps.tolist() == [1, 2] and line.mean.tolist() == [1, 3]
    both = group([1.0, 2.0], [None, None])
    assert both.line("reward", is_smoothed=False).mean.tolist() == [1, 2]
    assert both.over_seeds("reward", best).num == 1
    assert group([None]).line("reward", is_smoothed=False) is None


def test_values_between_logged_steps_are_interpolated():
    dense, sparse = group([0.0, 1.0, 2.0]).runs[0], group([5.0, None, 7.0]).runs[0]
    line = RunGroup("any", "#000000", [dense, sparse]).line("reward", is_smoothed=False)
    assert line.steps.tolist() == [1, 2, 3] and line.mean.tolist() == [2.5, 3.5, 4.5]


@pytest.mark.parametrize(
    ("num_seeds", "quantile"),
    [(2, 12.7062), (5, 2.7764), (31, 2.0423), (32, 2.0395), (61, 2.0003), (1001, 1.9623)],
)
def test_quantiles_of_t(num_seeds, quantile):
    assert t_quantile(num_seeds) == pytest.approx(quantile, abs=1e-4)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=8))
def test_an_interval_equals_what_one_writes_on_paper(values):
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    found = interval(values)
    assert found.mean == pytest.approx(mean, abs=1e-9)
    assert found.half_width == pytest.approx(
        t_quantile(len(values)) * deviation / math.sqrt(len(values)), abs=1e-6
    )
    assert half_widths(np.array([values])) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_best_and_converged(values):
    last = values[len(values) - math.ceil(len(values) / 5) :]
    assert best(np.array(values)) == max(values)
    assert converged(np.array(values)) == pytest.approx(sum(last) / len(last))
    assert converged(np.array(values)) <= best(np.array(values)) + 1e-12


def test_success_in_training_stands_in_for_missing_evaluations():
    (row,) = evaluations([group([0.2, 0.6, 0.4], key="success/alfworld")])
    assert (row.task, row.start, row.best, row.converged) == ("alfworld, in training", "–", "60.0", "40.0")


KEYS = st.sampled_from(
    [
        *("reward", "reward/a", "reward/a b/c", "parts/a/format", "success/a", "validation/a/greedy"),
        *(
            "validation/b/sampled",
            "entropy",
            "entropy_think",
            "history_act",
            "kl",
            "max_vio",
            "time/gen_s",
            "lr",
        ),
        *("advantage_std/a", "log_prob_difference_max", "grad_norm", "step_time_s", "strange", "<b>"),
    ]
)
VALUES = (
    st.none() | st.floats() | st.just("NaN") | st.booleans() | st.floats(0, 1e-300) | st.integers(-3, 10**20)
)


@settings(max_examples=20)
@given(
    st.lists(
        st.lists(st.dictionaries(KEYS, VALUES, max_size=6), min_size=1, max_size=4), min_size=1, max_size=3
    )
)
def test_whatever_was_logged_gives_plots(tmp_path_factory, metrics):
    paths = []
    for place, lines in enumerate(metrics):
        folder = tmp_path_factory.mktemp(f"run{place}_")
        text = "".join(json.dumps({"step": step, **line}) + "\n" for step, line in enumerate(lines))
        (folder / "metrics.jsonl").write_text(text)
        paths.append(str(folder))
    groups = group_runs(read_runs(paths), ["one"] * len(paths))
    panels = [panel for section in sections(groups) for panel in section.panels]
    assert len({panel.key for panel in panels}) == len(panels)
    for panel in panels:
        panel.draw(FIGURE.add_subplot())
        FIGURE.clear()
    evaluations(groups)


def test_lines_of_a_step_are_one_and_the_last_may_be_unfinished(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "reward": 1}\n{"step": 2, "reward": 5}\n{"step": 2, "reward": 2}\n'
        '{"step": 2, "validation/a/greedy": 0.5, "reward": null}\n{"step": 3, "rew'
    )
    (run,) = read_runs([str(tmp_path)])
    assert run.lines == [{"step": 1, "reward": 1}, {"step": 2, "reward": 2, "validation/a/greedy": 0.5}]


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_picture_has_the_panels_that_were_asked_for(runs, tmp_path, kind):
    groups, path = group_runs(read_runs([str(run) for run in runs[1:3]]), None), tmp_path / f"x.{kind}"
    write_picture(groups, ["kl", "lr", "seesaw/xxpo"], path)
    first = path.read_bytes()
    if kind == "svg":
        found = first.decode()
        assert "KL to the SFT policy</text>" in found and "Reward by task: xxpo</text>" in found
        assert "Reward by task: grpo" not in found
    write_picture(groups, ["lr", "seesaw/xxpo", "kl"], path)
    assert path.read_bytes() == first
    write_picture(groups, ["kl"], path)
    assert path.read_bytes() != first


def test_the_usual_picture(runs):
    groups = group_runs(read_runs([str(run) for run in runs]), None)
    keys = [panel.key for section in sections(groups) for panel in section.panels]
    usual = [
        panel.key for panel in _usual([panel for section in sections(groups) for panel in section.panels])
    ]
    assert usual == [
        "reward",
        *("validation/alfworld_unseen", "validation/scheduling"),
        *("segment_entropies/think", "segment_entropies/act"),
    ]
    assert set(usual) < set(keys)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["runs=nowhere"], "runs=nowhere: no step in nowhere/metrics.jsonl; give the output_dir of a run"),
        (["runs=[]"], "runs=[]: no run"),
        (["runs=[a,b]"], "output=null: 2 runs"),
        (["runs=[{0},{0}]", "output={out}/x.html"], "names a folder twice"),
        (["runs=[{0},{1}]", "labels=[a]", "output={out}/x.html"], "labels=[a]: 1 for 2 runs"),
        (["runs={0}", "output={out}"], "is a folder; give a file"),
        (["runs={0}", "figure={out}/x.jpg"], "no kind of picture; end it with .png, .svg, .pdf"),
        (["runs={0}", "panels=kl"], "give figure=FILE too"),
        (
            ["runs={0}", "figure={out}/x.png", "panels=[kl,klx]"],
            "panels=klx: no such plot of these runs; there are",
        ),
    ],
)
def test_the_report_refuses(runs, tmp_path, overrides, message):
    with pytest.raises(InputError) as refused:
        main(compose("rl_report", [text.format(*runs, out=tmp_path) for text in overrides]))
    assert message in str(refused.value)


def test_a_broken_line_is_told(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n[2]\n')
    with pytest.raises(InputError, match=r"metrics.jsonl line 2 is no JSON object with a step"):
        read_runs([str(tmp_path)])
