"""``python -m evaluation.report``: the page, ``summary.json``, and the check for shared instances."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from evaluation.report.browser import BrowserLimits
from evaluation.report.page import compare_entrants, make_section, render
from evaluation.report.run_folder import read_run
from evaluation.report.sources import GoldFiles
from evaluation.report.statistics import Resampling
from evaluation.report.summary import summarise
from recipes.command import InputError

GOLD = "Here is the proposed time: Monday, 14:30 - 15:30"


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def row(sample_id, subtask, instance):
    return {
        "id": sample_id,
        "subtask": subtask,
        "messages": [{"role": "user", "content": f"<b>When?</b> {sample_id}"}],
        "gold": {"natural_plan": {"golden_plan": [GOLD, "and again"] if subtask == "meeting" else GOLD}},
        "meta": {"instance": instance, "difficulty": "mini", "language": "en"},
    }


def evaluated(folder, scores, errors=()):
    subtask = folder.name
    ids = [f"{subtask}-{i}" for i in range(len(scores))]
    samples = [{"id": i, "score": s, "reason": f"why {i}"} for i, s in zip(ids, scores, strict=True)]
    metrics = {"accuracy": sum(scores) / len(scores)} if scores else {}
    results = {"metrics": metrics, "num_samples": len(scores), "per_sample": samples, "errors": list(errors)}
    write(folder / "results.json", {"benchmark": "natural_plan", "subtask": subtask, **results})
    write(folder / "predictions.jsonl", *({"id": i, "prediction": f"<script>{i}</script>"} for i in ids))


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "quickstart"
    for subtask, rejected in (
        ("calendar", {"ambiguous": 4, "other_split": 1}),
        ("meeting", {"ambiguous": 3}),
    ):
        domains = {f"scheduling/{subtask}": {"rejected": rejected}}
        write(path / "synth" / subtask / "manifest.json", {"num_rows": 3, "domains": domains})
        training = [row(f"{subtask}-t{i}", subtask, f"train-{subtask}{i}") for i in range(3)]
        write(path / "synth" / subtask / "data.jsonl", *training)
    heldout = [row(f"{s}-{i}", s, f"test-{s}{i}") for s in ("calendar", "meeting") for i in range(4)]
    write(path / "heldout" / "data.jsonl", *heldout)
    steps = [
        {
            "step": step,
            "loss": 4 / step,
            "lr": 1e-3,
            "num_tokens": 100,
            "load_balancing_loss": 1.2,
            "z_loss": 0.5,
            "max_vio": 0.25,
            "max_vio_per_layer": [0.2, 0.3],
            "tokens_per_s": 50.0,
            "domain_divergence": float("nan"),
        }
        for step in range(1, 41)
    ]
    write(path / "sft" / "metrics.jsonl", *steps)
    counts = [[[30, 10], [0, 0]], [[5, 5], [1, 3]]]
    routing = {"domains": ["scheduling/calendar", "scheduling/meeting"], "layers": [1, 2], "counts": counts}
    write(path / "sft" / "routing.jsonl", {"step": 20, **routing}, {"step": 40, **routing})
    evaluated(path / "eval_before" / "calendar", [0, 0, 0, 0])
    evaluated(path / "eval_after" / "calendar", [1, 0, 1, 1])
    evaluated(path / "eval_after" / "meeting", [0, 1])
    walls = {"synth": 3.5, "sft": 60.25, "eval_before": 5.0, "eval_after": 6.0}
    write(path / "stages.jsonl", *({"stage": stage, "wall_s": wall} for stage, wall in walls.items()))
    return path


def report(*overrides):
    command = [sys.executable, "-m", "evaluation.report", *overrides]
    return subprocess.run(command, capture_output=True, text=True)


def rendered(run, num_examples=4):
    """The page of one run."""
    limits = BrowserLimits(max_samples=100, max_characters=1000)
    compared = compare_entrants([run], GoldFiles(None, None, None), Resampling(100, 0), limits)
    return render([make_section(run, num_examples)], compared)


class Page(HTMLParser):
    """Open and close tags must match; what the page would load is collected."""

    VOID = frozenset({"meta", "br", "img", "link", "input"})

    def __init__(self, text):
        super().__init__()
        self.stack, self.loads, self.tags, self.text = [], [], [], []
        self.feed(text)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [
            value
            for key, value in attrs
            if key.split(":")[-1] in ("src", "href") and not value.startswith("#")
        ]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_command_writes_page_and_summary(run, tmp_path):
    done = report(f"runs={run}", f"output={tmp_path / 'out' / 'report.html'}")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == {
        "synth": {"num_rows": 6, "wall_s": 3.5},
        "sft": {
            "loss_first": 4.0,
            "loss_last": pytest.approx(0.10128, abs=1e-5),
            "num_tokens": 4000,
            "max_vio_last": 0.25,
            "wall_s": 60.25,
        },
        "eval": {
            "accuracy_before": 0.0,
            "accuracy_after": 0.75,
            "num_samples": 4,
            "meeting_accuracy_after": 0.5,
            "meeting_num_samples": 2,
            "wall_s": 11.0,
        },
    }
    text = (tmp_path / "out" / "report.html").read_text()
    page = Page(text)
    words = " ".join(" ".join(page.text).split())
    assert page.loads == [] and not {"link", "img"} & set(page.tags)
    assert "url(http" not in text and "@import" not in text
    assert page.tags.count("svg") == 1 + 6 + 2
    assert page.tags.count("script") == text.count("<script") == text.count("</script>") == 2
    for shown in (
        "num_shared_instances = 0.",
        "0.0 % → 75.0 %",
        "50.0 % of 2",
        "not measured",
        "MaxVio by layer",
        "attempts rejected: ambiguous 7",
        "1 min 00 s",
        "<b>When?</b> calendar-0",
        "<script>calendar-0</script>",
        "why calendar-1",
        GOLD,
    ):
        assert shown in words, shown


def test_expert_selection_is_normalised_per_domain(run):
    layers = make_section(read_run(str(run)), 1).routing
    shares = [re.findall(r">\s*(\d+)\s*</text>", plot.svg)[-4:] for plot in layers]
    assert shares == [["75", "25", "0", "0"], ["50", "50", "25", "75"]]


def test_expert_selection_names_subtasks_apart_and_leaves_out_those_without_tokens(run):
    domains = ["decomposition/general", "scheduling/trip", "tool_augmented/general"]
    counts = [[[30, 10], [1, 3], [0, 0]]]
    write(run / "sft" / "routing.jsonl", {"step": 20, "domains": domains, "layers": [1], "counts": counts})
    (layer,) = make_section(read_run(str(run)), 1).routing
    assert re.findall(r">\s*([a-z_]+(?:/[a-z]+)?)\s*</text>", layer.svg) == [
        "expert",
        "decomposition/general",
        "trip",
    ]


def test_examples_are_solved_and_unsolved_ones(run):
    examples = make_section(read_run(str(run)), 3).examples
    assert [e.sample_id for e in examples["calendar"]] == ["calendar-0", "calendar-2", "calendar-1"]
    assert [e.sample_id for e in examples["meeting"]] == ["meeting-1", "meeting-0"]
    assert examples["meeting"][0].before is None
    assert examples["meeting"][0].solution == f"{GOLD}\nand again"
    assert make_section(read_run(str(run)), 0).examples == {"calendar": [], "meeting": []}


def test_same_files_same_page(run):
    assert rendered(read_run(str(run))) == rendered(read_run(str(run)))


def test_shared_instances_fail_after_the_page_is_written(run, tmp_path):
    write(run / "heldout" / "data.jsonl", row("calendar-0", "calendar", "train-meeting2"))
    done = report(f"runs={run}", f"output={tmp_path / 'report.html'}", f"summary={tmp_path / 's.json'}")
    assert done.returncode == 1
    assert "1 held-out instances are in the training data too" in done.stderr
    assert "Traceback" not in done.stderr
    assert "num_shared_instances = 1." in (tmp_path / "report.html").read_text()
    assert "eval" in json.loads((tmp_path / "s.json").read_text())


def test_stages_not_run_are_absent(run, tmp_path):
    alone = read_run(str(run / "sft"))
    assert summarise(alone) == {
        "sft": {
            "loss_first": 4.0,
            "loss_last": pytest.approx(0.10128, abs=1e-5),
            "num_tokens": 4000,
            "max_vio_last": 0.25,
        }
    }
    assert alone.num_shared_instances is None
    words = " ".join(Page(rendered(alone)).text)
    assert "Training" in words
    absences = ("num_shared_instances", "Calendar puzzles solved", "Time and data", "beside their")
    for absent in (*absences, "Reinforcement learning", "The paper's tables", "Differences"):
        assert absent not in words
    evaluated(tmp_path / "failed" / "eval_after" / "calendar", [], [{"id": "calendar-0", "error": "down"}])
    failed = read_run(str(tmp_path / "failed"))
    assert summarise(failed) == {}
    assert "1 requests got no answer" in " ".join(Page(rendered(failed)).text)


def test_reinforcement_learning(run, tmp_path):
    def line(step):
        return {"step": step, "reward": step / 10, "reward/trip": 0.5, "reward/errand": step / 5}

    validation = {"step": 10, "validation/trip/greedy": 0.4}
    write(run / "rl" / "metrics.jsonl", *map(line, range(1, 13)), validation)
    whole = read_run(str(run))
    assert summarise(whole)["rl"] == {
        "reward_first": pytest.approx((0.1 + 0.2 + 0.3) / 3),
        "reward_last": pytest.approx((1.0 + 1.1 + 1.2) / 3),
        "num_steps": 12,
    }
    with (run / "stages.jsonl").open("a") as stages:
        stages.write('{"stage": "rl", "wall_s": 7.5}\n')
    assert summarise(read_run(str(run)))["rl"]["wall_s"] == 7.5
    words = " ".join(" ".join(Page(rendered(whole)).text).split())
    for shown in (
        "Reinforcement learning",
        "12 steps; reward 0.200",
        "Reward by task",
        "errand",
        "all tasks",
    ):
        assert shown in words
    alone = read_run(str(run / "rl"))
    assert summarise(alone).keys() == {"rl"}
    write(
        tmp_path / "short" / "rl" / "metrics.jsonl", {"step": 1, "reward": 0.25}, {"step": 2, "reward": 0.5}
    )
    few = summarise(read_run(str(tmp_path / "short")))["rl"]
    assert (few["reward_first"], few["reward_last"]) == (0.25, 0.5)
    write(tmp_path / "only" / "rl" / "metrics.jsonl", validation)
    with pytest.raises(InputError, match="nothing of a run in it"):
        read_run(str(tmp_path / "only"))


def test_several_runs_on_one_page(run, tmp_path):
    done = report(f"runs=[{run},{run / 'sft'}]", f"output={tmp_path / 'report.html'}")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert list(summary) == [str(run), str(run / "sft")]
    assert list(summary[str(run / "sft")]) == ["sft"]
    assert Page((tmp_path / "report.html").read_text()).tags.count("section") == 2 + 4


def test_what_it_refuses(run, tmp_path):
    done = report("runs=/nowhere", f"output={tmp_path / 'report.html'}")
    assert (done.returncode, done.stderr) == (
        2,
        "error: runs=/nowhere: no such folder; give the output_dir of a run\n",
    )
    for output, reason in (
        (run / "stages.jsonl" / "page.html", "choose another folder"),
        (run, "is a folder"),
    ):
        done = report(f"runs={run}", f"output={output}")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith("error: output=") and reason in done.stderr
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nothing of a run in it"):
        read_run(str(tmp_path / "empty"))
    nameless = row("t", "calendar", "x")
    del nameless["meta"]["instance"]
    write(run / "synth" / "calendar" / "data.jsonl", nameless)
    with pytest.raises(InputError, match=r"row t in synth/ has no meta\.instance"):
        read_run(str(run))
    (run / "synth" / "calendar" / "data.jsonl").write_text("{")
    with pytest.raises(InputError, match="line 1 is no JSON"):
        read_run(str(run))
