"""The page of rollouts: what is on it, what can't get onto it, and what a browser makes of it."""

import dataclasses
import json
import re
import shutil
import subprocess

import pytest
import rollout_rows
from commands import must_run, run_module
from hypothesis import given, settings
from hypothesis import strategies as st

from magic_megatron.rl.rollouts import RolloutWriter, read
from magic_megatron.rl.show.__main__ import main
from magic_megatron.rl.show.groups import collect, embedded
from magic_megatron.rl.show.page import write_page
from magic_megatron.rl.show.steps import parse_steps
from recipes.command import InputError, compose

NASTY = '</script><script>document.title = "broken in"</script><!-- <b id=bold>\u0000\u001b[31m\ud800 \u202e 好\u2028'
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    rollout_rows.save(folder, steps=(1, 2, 3))
    return folder


@pytest.fixture(scope="module")
def samples(run_folder):
    return list(read(run_folder))


def scripts(page):
    """The JSON of the page by id."""
    found = re.findall(r'<script type="application/json" id="(\w+)">(.*?)</script>', page, re.DOTALL)
    return {name: json.loads(text) for name, text in found}


def nasty(sample, **values):
    """A sample that says ``NASTY`` wherever a model can say something, one token of it huge."""
    num_tokens = len(sample.tokens)
    tokens = [NASTY, "x" * 100_000, *sample.tokens[2:num_tokens]]
    return dataclasses.replace(
        sample, response="".join(tokens), tokens=tokens, prompt=NASTY, reason=NASTY, group=NASTY, **values
    )


def test_every_token_is_on_the_page(run_folder, samples):
    must_run("magic_megatron.rl.show", f"rollouts={run_folder}")
    page = (run_folder / "rollouts.html").read_text()
    assert not re.findall(r'(?:src|href)="[^"]*"', page) and "url(" not in page
    found = scripts(page)
    index = found.pop("index")
    assert [entry["step"] for entry in index] == sorted(entry["step"] for entry in index)
    shown = {}
    for place, entry in enumerate(index):
        data = found[f"g{place}"]
        for number, turns in zip(entry["samples"], data["episodes"], strict=True):
            for turn in turns:
                key = entry["step"], entry["group"], number, turn["turn"]
                shown[key] = turn, data["prompts"][turn["p"]], entry
    assert len(shown) == len(samples)
    for sample in samples:
        turn, prompt, entry = shown[sample.step, sample.group, sample.sample, sample.turn]
        assert (turn["t"], prompt, entry["task"]) == (sample.tokens, sample.prompt, sample.task)
        assert turn["s"] == "".join(map(str, sample.segments))
        assert turn["h"] == [round(1000 * value) for value in sample.entropies]
        assert turn["reward"] == sample.reward and turn["parts"] == sample.parts and "r" not in turn


def test_an_episode_has_what_its_last_turn_earned(samples):
    shown = collect(samples, ["alfworld"], limit=10_000, seed=0)
    for group in shown.groups:
        entry = group.index()
        for place, number in enumerate(entry["samples"]):
            turns = [
                s for s in samples if (s.step, s.group, s.sample) == (entry["step"], entry["group"], number)
            ]
            last = max(turns, key=lambda sample: sample.turn)
            assert entry["rewards"][place] == last.reward and entry["won"][place] == last.won
            assert entry["turns"][place] == len(turns) > 1
            assert entry["tokens"][place] == sum(len(sample.tokens) for sample in turns)


@settings(max_examples=25)
@given(limit=st.integers(1, 200), seed=st.integers(0, 9), order=st.randoms(use_true_random=False))
def test_the_draw_keeps_groups_whole_and_ignores_the_order(samples, limit, seed, order):
    shuffled = list(samples)
    order.shuffle(shuffled)
    shown, again = collect(samples, None, limit, seed), collect(shuffled, None, limit, seed)
    assert [(g.step, g.task, g.name) for g in shown.groups] == [
        (g.step, g.task, g.name) for g in again.groups
    ]
    assert [group.json() for group in shown.groups if len(group.prompts) == 1] == [
        group.json() for group in again.groups if len(group.prompts) == 1
    ]
    assert shown.num_samples <= limit or len(shown.groups) == 1
    for group in shown.groups:
        whole = [s for s in samples if (s.step, s.task, s.group) == (group.step, group.task, group.name)]
        assert group.num_samples == len(whole)
    assert shown.num_read == len(samples) and shown.num_groups_read == 27


def test_a_limit_takes_as_many_groups_as_it_can(samples):
    few, many = (collect(samples, None, limit, 0) for limit in (20, 40))
    assert {id(group) for group in few.groups} and 0 < len(few.groups) < len(many.groups) < 27
    names = [{(g.step, g.task, g.name) for g in shown.groups} for shown in (few, many)]
    assert names[0] < names[1]


@given(st.recursive(st.text() | st.none() | st.integers(), lambda inner: st.lists(inner, max_size=4)))
def test_json_survives_and_cannot_end_its_element(value):
    text = embedded(value)
    assert json.loads(text) == value
    assert text.isascii() and not set("<>&") & set(text)


def test_nothing_a_model_says_becomes_markup(tmp_path, samples):
    page = tmp_path / "page.html"
    write_page(collect([nasty(samples[0])], None, 10, 0), "<i>run</i>", page)
    text = page.read_text("utf-8")
    assert "document.title" in text and "<i>run" not in text and "<b id=bold>" not in text
    assert text.count("</script>") == text.count("<script") == 3
    assert scripts(text)["g0"]["episodes"][0][0]["t"][0] == NASTY


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look at the page with")
def test_a_browser_shows_an_episode(tmp_path, samples):
    page = tmp_path / "page.html"
    game = [sample for sample in samples if sample.task == "alfworld" and sample.sample == 2]
    write_page(collect([nasty(samples[0]), *game], None, 1000, 0), "a run", page)
    dom = rendered(page, tmp_path)
    assert "<title>Rollouts: a run</title>" in dom and 'id="bold"' not in dom
    assert "98000 more characters" in dom and "␀␛[31m" in dom and "‹U+202E›" in dom and "‹U+D800›" in dom
    dom = rendered(page, tmp_path, f"#1-{game[0].sample}")
    assert dom.count('class="card turn"') == sum(
        sample.group == game[0].group for sample in game if sample.step == 1
    )
    for name in ("t s0", "t s1", "t s2", "invalid action", "entropy, think", "10 of 10 episodes"):
        assert name in dom
    shown = re.findall(r'<span class="t s[012]"[^>]* data-place="\d+"[^>]*>(.*?)</span>', dom)
    assert 'style="background: hsl' in dom or 'style="background: rgb' in dom
    assert "".join(shown).replace("&lt;", "<").replace("&gt;", ">").startswith("".join(game[0].tokens[:40]))


def rendered(page, tmp_path, fragment=""):
    """The document after its scripts ran."""
    flags = (
        "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
        " --disable-component-update --window-size=1400,3000 --virtual-time-budget=4000 --dump-dom"
    )
    command = [
        CHROMIUM,
        *flags.split(),
        f"--user-data-dir={tmp_path / 'profile'}",
        f"file://{page}{fragment}",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize(
    ("given", "inside", "outside"),
    [
        (12, [12], [11, 13]),
        ("10-12", [10, 11, 12], [9, 13]),
        ("10-", [10, 10**9], [9]),
        ([1, "3-4"], [1, 3, 4], [2, 5]),
        ("1,3-4", [1, 3, 4], [2, 5]),
    ],
)
def test_steps(given, inside, outside):
    steps = parse_steps(given)
    assert all(step in steps for step in inside) and not any(step in steps for step in outside)


@pytest.mark.parametrize("given", ["", "last", "-3", "4-2", [1, "x"], "1-2-3"])
def test_no_steps(given):
    with pytest.raises(InputError, match=r"^steps="):
        parse_steps(given)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["rollouts=nowhere"], "rollouts=nowhere: not there"),
        (["rollouts=[]"], "rollouts=[]: no run"),
        (["rollouts={run}", "limit=0"], "limit=0: shows nothing"),
        (
            ["rollouts={run}", "tasks=chess"],
            "tasks=chess: no such samples here; there are alfworld, decomposition",
        ),
        (["rollouts={run}", "steps=7"], "none of the wanted steps; it has 3 from 1 to 3"),
        (["rollouts={run}/rollouts/000001.jsonl"], "output=null: no folder of one run"),
        (["rollouts={run}/rollouts/000001.jsonl", "steps=2", "output={run}/x.html"], "no samples of steps=2"),
        (["rollouts={run}", "output={run}"], "is a folder; give a file"),
    ],
)
def test_the_page_refuses(run_folder, overrides, message):
    with pytest.raises(InputError) as refused:
        main(compose("rl_show", [text.format(run=run_folder) for text in overrides]))
    assert message in str(refused.value)


def test_bad_input_is_one_line(run_folder):
    done = run_module("magic_megatron.rl.show", f"rollouts={run_folder}", "limit=-1")
    assert done.returncode == 2 and done.stderr == "error: limit=-1: shows nothing; give 1 or more\n"


def test_steps_and_tasks_choose(run_folder, tmp_path):
    output = tmp_path / "pages" / "some.html"
    overrides = [f"rollouts=[{run_folder}]", f"output={output}", "steps=2-3", "tasks=[alfworld,scheduling]"]
    done = must_run("magic_megatron.rl.show", *overrides, "limit=30")
    index = scripts(output.read_text())["index"]
    assert {entry["step"] for entry in index} <= {2, 3}
    assert {entry["task"] for entry in index} <= {"alfworld", "scheduling"}
    assert re.search(
        r"wrote \S+some.html: \d+ samples of \d+ groups, [\d.]+ MB; \d+ more are beyond limit", done.stdout
    )
    assert "drawn at random from" in output.read_text()


def test_samples_without_entropies_are_shown_too(tmp_path, samples):
    bare = [dataclasses.replace(sample, entropies=None, log_probs=None, advantage=None) for sample in samples]
    path = RolloutWriter(tmp_path / "rollouts").write(1, [sample for sample in bare if sample.step == 1])
    page = tmp_path / "page.html"
    write_page(collect(read(path), None, 1000, 0), "a run", page)
    assert all(turn["h"] is None for turns in scripts(page.read_text())["g0"]["episodes"] for turn in turns)
