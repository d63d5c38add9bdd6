"""The report of suites: the paper's tables, marks, intervals, differences, and the browser against hostile text."""

import json
import os
import random
import re
from pathlib import Path

import pytest
import yaml
from evaluation_runs import HOSTILE, efficiency, judged, mean, save, suite, write

from evaluation.efficiency.plot import PANELS, draw
from evaluation.report.browser import BrowserLimits
from evaluation.report.figures import all_figures, breakdown, differences
from evaluation.report.page import compare_entrants, make_section, render
from evaluation.report.results_folder import read_entrants
from evaluation.report.run_folder import read_run
from evaluation.report.sources import GoldFiles
from evaluation.report.statistics import Resampling
from evaluation.report.tables import paper_tables, read_paper, time_table
from recipes.command import InputError

FEW = Resampling(num_resamples=300, seed=0)
LIMITS = BrowserLimits(max_samples=1000, max_characters=500)
NO_FILES = GoldFiles(None, None, None)
PAPER = Path(os.environ.get("MAGIC_SHARED", Path(__file__).parents[3] / "shared")) / "paper"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    first, second = suite(root / "first", "a", 0.4), suite(root / "second", "b", 0.7)
    efficiency(second / "efficiency", 1.0)
    return first, second


@pytest.fixture(scope="module")
def entrants(folders):
    return [entrant for folder in folders for entrant in read_entrants(folder)]


@pytest.fixture(scope="module")
def tables(entrants):
    return {table.number: table for table in paper_tables(entrants, FEW)}


def results(folder, *parts):
    return json.loads(folder.joinpath(*parts, "results.json").read_text())


def test_the_paper_s_values_are_the_paper_s():
    texts = sorted(PAPER.glob("*.txt"))
    if not texts:
        pytest.skip(f"the paper isn't in {PAPER}")
    lines = {
        re.sub(r"\([^)]*%\)", "", line) for line in texts[0].read_text().split("\n") if line.startswith("| ")
    }
    num_rows = 0
    for table in read_paper().values():
        for row in (row for section in table.get("sections", []) for row in section["rows"]):
            cells = [row["model"], *([row["method"].replace("XXPO", "PO")] if "method" in row else [])]
            cells += ["-" if value is None else f"{value:.1f}" for value in row["values"]]
            assert f"| {' | '.join(cells)} |" in lines
            num_rows += 1
        for row in table.get("levels", []):
            times = [f"{row[key]:.3f}" for key in ("ttft_s", "tpot_s", "latency_s")]
            assert f"| {' | '.join([row['model'], *times, str(row['concurrency'])])} |" in lines
            num_rows += 1
    assert num_rows == 3 * 14 + 19 + 8


def test_a_run_s_figures_stand_in_the_paper_s_columns(folders, tables):
    cells = [cell.figure.value for cell in tables[2].own[0].cells]
    first = folders[0]
    wanted = [results(first, "worfbench")["metrics"][name] for name in ("chain_f1", "graph_f1")]
    wanted += [
        results(first, "natural_plan", s)["metrics"]["accuracy"] for s in ("trip", "meeting", "calendar")
    ]
    wanted += [results(first, "tau2", s)["metrics"]["pass^1"] for s in ("retail", "airline")]
    wanted += [results(first, "bfcl_v3")["metrics"][name] for name in ("live", "non_live")]
    wanted += [results(first, "acebench", s)["metrics"]["overall"] for s in ("en", "zh")]
    assert cells == wanted
    groups = {g["group"]: g["step_accuracy"] for g in results(first, "magic_eval_plan")["groups"]}
    shown = [cell and cell.figure.value for cell in tables[3].own[0].cells]
    assert shown[::3] == [groups["general"], groups["dependency"], groups["condition"], None]
    assert [cell is None for cell in tables[5].own[0].cells] == [False, True, False, True]
    assert tables.keys() == {2, 3, 5}


def test_what_isn_t_comparable_is_marked_with_its_reason(folders, tables, tmp_path):
    for number, reason in (
        (2, "WorfBench: nodes compared by another embedding model"),
        (2, "NaturalPlan: 60 of the official 1,600 samples"),
        (2, "BFCL-v3: samples without an answer are left out: 1"),
        (3, "our own public counterpart of the paper's in-house set"),
        (5, "games that were built, not the official ones"),
        (5, "OOD: 30 of the official 134 samples"),
        (2, "BFCL-v3: 49 of the official 2,251 samples"),
        (2, "BFCL-v3: 84 of the official 1,390 samples"),
        (2, "ACEBench: 50 of the official 1,023 samples"),
        (2, "ACEBench: 50 of the official 1,017 samples"),
    ):
        assert reason in tables[number].notes
        assert all(row.is_marked for row in tables[number].own)
    samples = judged(random.Random(0), 0.5, [f"trip_planning_example_{i}" for i in range(1600)])
    metrics = {"accuracy": mean(sample["score"] for sample in samples)}
    save(tmp_path / "whole", "natural_plan", samples, metrics, subtask="trip")
    [table] = paper_tables(read_entrants(tmp_path / "whole"), FEW)
    assert not table.own[0].is_marked
    samples[0]["id"] = "trip-0"
    save(tmp_path / "made", "natural_plan", samples, metrics, subtask="trip")
    [table] = paper_tables(read_entrants(tmp_path / "made"), FEW)
    assert table.notes == ["NaturalPlan: generated puzzles, not the official ones"]


@pytest.mark.parametrize(
    ("told", "settings", "reason"),
    [
        (
            {"mode": "fixed", "embedding": "all-mpnet-base-v2"},
            {},
            "without the official evaluator's mistakes",
        ),
        (
            {"mode": "official", "embedding": "minilm"},
            {"embedding": "all-mpnet-base-v2"},
            "another embedding",
        ),
        ({}, {}, "nothing tells by which mode and embedding"),
    ],
)
def test_scored_predictions_tell_by_which_rules(tmp_path, told, settings, reason):
    samples = [{"id": "os/0", "score": {"chain_f1": 1, "graph_f1": 1}, "reason": ""}]
    metrics = {"chain_f1": 1.0, "graph_f1": 1.0}
    save(tmp_path, "worfbench", samples, metrics, settings=settings, **told)
    [table] = paper_tables(read_entrants(tmp_path), FEW)
    assert [reason in note for note in table.notes] == [True, False]
    save(tmp_path, "worfbench", samples, metrics, mode="official", embedding="all-mpnet-base-v2")
    [table] = paper_tables(read_entrants(tmp_path), FEW)
    assert table.notes == ["WorfBench: 1 of the official 2,146 samples"]


def test_verdicts_that_need_a_judge_are_marked(tmp_path):
    samples = judged(random.Random(0), 0.5, [str(number) for number in range(114)])
    metrics = {"pass^1": mean(sample["score"] for sample in samples), "num_needing_judge": 3}
    save(tmp_path, "tau2", samples, metrics, subtask="retail")
    [table] = paper_tables(read_entrants(tmp_path), FEW)
    assert table.notes == ["τ²-Bench: verdicts that leave out what a judge must tell: 3"]


def test_groups_of_bfcl_are_told_by_ids_whatever_these_end_in(tmp_path):
    samples = judged(random.Random(0), 0.5, ["live_relevance_3-3-0", "live_relevance_3-3-0#2", "java_0"])
    groups = [{"group": "live_relevance", "num_samples": 2}, {"group": "java", "num_samples": 1}]
    save(tmp_path, "bfcl_v3", samples, {"accuracy": 0.5}, groups)
    [entrant] = read_entrants(tmp_path)
    assert set(entrant.results[0].group_of.values()) == {"live_relevance", "java"}


def test_a_run_of_rl_has_its_best_and_converged_success_in_table_5(tmp_path):
    rates = {"alfworld/valid_seen": [0.1, 0.9, 0.2, 0.4, 0.6, 0.8], "alfworld_built/valid_unseen": [0.5]}
    lines = [{"step": step, "reward": 0.0} for step in range(1, 7)]
    for key, values in rates.items():
        for line, value in zip(lines, values, strict=False):
            line |= {f"validation/{key}/greedy": value, f"validation/{key}/sampled": 0.0}
    write(tmp_path / "rl" / "metrics.jsonl", *lines)
    run = read_run(str(tmp_path / "rl"))
    [table] = paper_tables(run.entrants, FEW)
    [row] = table.own
    assert (table.number, row.name) == (5, "rl in training")
    assert [cell.figure.value for cell in row.cells] == pytest.approx([0.9, 0.7, 0.5, 0.5])
    assert [cell.notes for cell in row.cells] == [[1], [1], [1, 2], [1, 2]]
    assert "one training run" in table.notes[0] and "built" in table.notes[1]
    page = render([make_section(run, 4)], compare_entrants([run], NO_FILES, FEW, LIMITS))
    assert "rl in training" in page and "Table 5. " in page


def test_torn_last_lines_are_left_out(tmp_path):
    samples = [{"id": name, "score": 1, "reason": ""} for name in "ab"]
    save(tmp_path / "eval_after" / "trip", "natural_plan", samples, {"accuracy": 1.0}, subtask="trip")
    folder = tmp_path / "eval_after" / "trip"
    asked = {"kept": 0, "messages": [{"role": "user", "content": "é"}]}
    write(folder / "requests.jsonl", {"id": "a", "trial": 0, "role": "agent", "index": 0, "asked": asked})
    for name in ("requests.jsonl", "predictions.jsonl"):
        with (folder / name).open("ab") as file:
            file.write('{"id": "b", "é'.encode()[:-1])
    run = read_run(str(tmp_path))
    [result] = run.entrants[0].results
    assert result.dialogues.keys() == {("a", 0)} and len(result.predictions) == 2
    assert run.after["trip"].predictions.keys() == {"a", "b"}


def test_table_7_has_the_paper_s_rows_and_ours_by_concurrency(entrants):
    table = time_table(entrants)
    assert [row.concurrency for row in table.rows] == [1] * 3 + [10] * 3 + [50] * 3 + [100] * 3
    assert [row.is_paper for row in table.rows] == [True, True, False] * 4
    assert [row.num_errors for row in table.rows if not row.is_paper] == [0, 0, 1, 2]
    assert table.notes == ["measured on the hardware of the endpoint, not on the paper's"]
    assert time_table(entrants[:1]) is None


def test_every_figure_made_of_scores_has_an_interval(entrants):
    without = {
        (result.benchmark, figure.name)
        for entrant in entrants
        for result in entrant.results
        for figure in all_figures(result, FEW)
        if figure.interval is None
    }
    assert without == {
        ("alfworld", "mean_steps"),
        ("alfworld", "share_built"),
        ("tau2", "num_needing_judge"),
        ("efficiency", "ttft_s@1"),
    }
    for entrant in entrants:
        for result in entrant.results:
            for figure in all_figures(result, FEW):
                if figure.interval:
                    assert figure.interval.low <= figure.value <= figure.interval.high
                    assert figure.interval.value == pytest.approx(figure.value, abs=2e-3)


def test_a_breakdown_has_intervals_where_the_samples_groups_are_known(entrants):
    parts = {result.title: result for result in entrants[0].results}
    rows = breakdown(parts["bfcl_v3"], FEW)
    assert len(rows) == 17
    assert all(figure.interval for row in rows for figure in row.figures)
    assert [row.group for row in breakdown(parts["worfbench"], FEW)] == ["os", "webshop"]
    # "3 people" can't be told from an id
    assert not any(f.interval for row in breakdown(parts["natural_plan trip"], FEW) for f in row.figures)
    assert parts["natural_plan trip"].group_of == {}


def test_dialogues_of_acebench_count_as_one(tmp_path):
    groups = {"normal_multi_turn_user_adjust": [[1, 1], [1, 0], [1, 1, 1]], "special_incomplete": [[1], [0]]}
    samples = [
        {"id": f"{name}_{i}_{turn}" if len(turns) > 1 else f"{name}_{i}", "score": score, "reason": ""}
        for name, dialogues in groups.items()
        for i, turns in enumerate(dialogues)
        for turn, score in enumerate(turns)
    ]
    shares = {name: mean(min(turns) for turns in dialogues) for name, dialogues in groups.items()}
    listed = [
        {"group": name, "num_samples": sum(map(len, groups[name])), "accuracy": round(share, 3)}
        for name, share in shares.items()
    ]
    save(tmp_path, "acebench", samples, {"normal": 0.667, "special": 0.5}, listed, language="en")
    [entrant] = read_entrants(tmp_path)
    assert [figure.interval is not None for figure in all_figures(entrant.results[0], FEW)] == [True, True]


def test_every_two_runs_are_compared_on_the_ids_they_share(folders, entrants):
    found = {(item.title, item.figure): item for item in differences(entrants, FEW)}
    trip = found["natural_plan trip", "score"].test
    ours = [{s["id"]: s["score"] for s in results(f, "natural_plan", "trip")["per_sample"]} for f in folders]
    gained = sum(ours[1][name] > ours[0][name] for name in ours[0])
    assert (trip.num_ids, trip.num_gained, trip.name) == (60, gained, "exact McNemar")
    assert found["tau2 retail", "score"].test.name == "paired permutation"
    assert found["tau2 retail", "score"].test.num_ids == 20
    assert {figure for title, figure in found if title == "worfbench"} == {"chain_f1", "graph_f1"}
    assert all(item.test.difference.value > 0 for item in found.values() if item.title.startswith("bfcl"))


@pytest.fixture(scope="module")
def page(folders):
    runs = [read_run(str(folder)) for folder in folders]
    return render([make_section(run, 4) for run in runs], compare_entrants(runs, NO_FILES, FEW, LIMITS))


def embedded(page):
    return json.loads(re.search(r'<script type="application/json" id="samples">(.*)</script>', page)[1])


def test_no_text_of_a_sample_is_markup(page, folders):
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img" not in page and "<b>normal" not in page
    assert not re.search(r"""(src|href)=["']?(https?:|//)|url\((?!#)|@import""", page), "assets from outside"
    held = embedded(page)
    said = [held["texts"][row[7]] for row in held["samples"] if row[7] >= 0]
    assert sum(HOSTILE in text for text in said) > 500
    assert {row[4] for row in held["samples"]} == {0, 1, 2, 3}
    assert held["entrants"] == ["first", "second"]
    num_samples = sum(
        len(json.loads(f.read_text())["per_sample"]) for d in folders for f in d.rglob("results.json")
    )
    assert len(held["samples"]) == num_samples + 2, "each run has a sample without an answer"


def test_the_same_files_give_the_same_page(page, folders):
    runs = [read_run(str(folder)) for folder in folders]
    again = render([make_section(run, 4) for run in runs], compare_entrants(runs, NO_FILES, FEW, LIMITS))
    assert again == page


def test_the_page_says_what_is_the_paper_s(page):
    text = re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)
    for number in (2, 3, 5, 7):
        assert f"Table {number}. " in text
    assert "Table 4. " not in text
    assert text.count('<span class="tag">paper</span>') == 3 + 3 + 4 + 8
    assert text.count("not comparable</span>") == 2 * 3 + 4
    assert "McNemar" in text


def test_long_texts_and_many_samples_are_cut(folders):
    runs = [read_run(str(folders[0]))]
    found = compare_entrants(runs, NO_FILES, FEW, BrowserLimits(max_samples=5, max_characters=40)).browser
    parts = [row[1] for row in found["samples"]]
    assert max(parts.count(part) for part in parts) == 5
    assert found["left_out"] > 300
    for text in found["texts"]:
        assert len(text) <= 40 or re.search(r"\n\[… [\d,]+ characters …\]\n", text)


def test_prompts_and_solutions_come_from_the_benchmark_s_files(tmp_path):
    puzzle = {
        "prompt_0shot": "short",
        "prompt_5shot": "examples, then the question",
        "golden_plan": ["a", "b"],
    }
    write(tmp_path / "trip.json", {"trip_planning_example_0": puzzle})
    row = {"conversations": [{"role": "user", "content": "ask"}, {"role": "assistant", "content": "gold"}]}
    write(tmp_path / "worf" / "os" / "graph_eval.json", [row])
    question = {"id": "special_incomplete_0", "question": "user: hm", "function": [{"name": "f"}]}
    write(tmp_path / "ace" / "data_zh" / "data_special_incomplete.json", question)
    answer = {"id": "special_incomplete_0", "ground_truth": {"f": {}}}
    write(tmp_path / "ace" / "data_zh" / "possible_answer" / "data_special_incomplete.json", answer)
    (tmp_path / "ace" / "data_en").mkdir()
    write(tmp_path / "ace" / "data_en" / "data_special_incomplete.json", question | {"question": "English"})
    run = tmp_path / "run"
    for folder, name, sample_id, more in (
        ("a", "natural_plan", "trip_planning_example_0", {"subtask": "trip"}),
        ("b", "worfbench", "os/0", {}),
        ("c", "acebench", "special_incomplete_0", {"language": "zh"}),
        ("d", "tau2", "0", {}),
    ):
        save(run / folder, name, [{"id": sample_id, "score": 1, "reason": ""}], {"accuracy": 1.0}, **more)
    files = GoldFiles(str(tmp_path / "trip.json"), str(tmp_path / "worf"), str(tmp_path / "ace"))
    found = compare_entrants([read_run(str(run))], files, FEW, LIMITS).browser
    texts = [*found["texts"], None]
    shown = {row[2]: (texts[row[8]], texts[row[9]]) for row in found["samples"]}
    assert shown == {
        "trip_planning_example_0": ("examples, then the question", "a\nb"),
        "os/0": ("ask", "gold"),
        "special_incomplete_0": ('user: hm\n{"name": "f"}', '{\n "ground_truth": {\n  "f": {}\n }\n}'),
        "0": (None, None),
    }
    with pytest.raises(InputError, match=r"gold\.worfbench=.*: no \*/graph_eval\.json there"):
        compare_entrants([read_run(str(run))], GoldFiles(None, str(run), None), FEW, LIMITS)


def test_what_a_run_asked_and_its_gold_come_before_the_benchmark_s_files(tmp_path):
    write(tmp_path / "trip.json", {"t0": {"prompt_0shot": "the file's", "golden_plan": "the file's"}})
    run = tmp_path / "run"
    samples = [{"id": "t0", "trial": trial, "score": 1, "reason": ""} for trial in (0, 1)]
    save(run / "a", "natural_plan", samples, {"accuracy": 1.0}, subtask="trip")
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    tool = {"type": "function", "function": {"name": "f"}}
    first = {"kept": 0, "messages": [{"role": "user", "content": "ask"}], "tools": [tool]}
    answers = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "7"},
    ]
    lines = [
        {"id": "t0", "trial": 0, "role": "agent", "index": 2, "asked": {"kept": 1, "messages": answers}},
        {"id": "t0", "trial": 0, "role": "user", "index": 1, "asked": {"kept": 0, "messages": []}},
        {"id": "t0", "trial": 0, "role": "agent", "index": 0, "asked": first},
    ]
    write(run / "a" / "requests.jsonl", *lines)
    write(run / "a" / "gold.jsonl", {"id": "t0", "gold": ["x"]})
    files = GoldFiles(str(tmp_path / "trip.json"), None, None)
    found = compare_entrants([read_run(str(run))], files, FEW, LIMITS).browser
    shown = {row[3]: (found["texts"][row[8]], found["texts"][row[9]]) for row in found["samples"]}
    said = f"[tools]\n{json.dumps(tool)}\n\n[user]\nask\n\n[assistant]\n{json.dumps([call])}\n\n[tool]\n7"
    assert shown == {0: (said, '[\n "x"\n]'), 1: ("the file's", '[\n "x"\n]')}


def test_runs_of_the_same_name_are_told_apart(tmp_path):
    places = ("x/a", "y/a", "y/b")
    for place in places:
        samples = [{"id": "0", "score": 1, "reason": ""}]
        save(tmp_path / place / "run", "tau2", samples, {"pass^1": 1.0}, subtask="retail")
    runs = [read_run(str(tmp_path / place / "run")) for place in places]
    found = compare_entrants(runs, NO_FILES, FEW, LIMITS).browser["entrants"]
    assert found == ["x/a/run", "y/a/run", "b/run"]


def test_the_papers_concurrencies_are_named_where_its_lines_are():
    mine = [{"concurrency": c, **dict.fromkeys(dict(PANELS), 1.0)} for c in (1, 4)]
    paper = [{"concurrency": c, "ttft_s": 1.0} for c in (10, 100)]
    words = re.findall(r">\s*([^<>]+?)\s*</text>", draw({"mine": mine}, {"theirs": paper}))
    named = [word for word in words if word in ("1", "4", "10", "100")]
    assert named == ["1", "4", "10", "100", *["1", "4"] * (len(PANELS) - 1)]


def test_what_isn_t_a_result_is_refused(tmp_path):
    for content, match in (
        ("{", "no JSON"),
        ('{"benchmark": "tau2"}', "metrics: Field required"),
        ('{"benchmark": "tau2", "metrics": {"a": "x"}, "num_samples": 1}', r"metrics\.a: "),
        ("[" * 100_000, "no JSON"),
    ):
        (tmp_path / "results.json").write_text(content)
        with pytest.raises(InputError, match=match):
            read_entrants(tmp_path)


def test_the_recipe_of_columns_names_what_benchmarks_give():
    path = Path(__file__).parents[2] / "evaluation/report/paper.yaml"
    for table in yaml.safe_load(path.read_text("utf-8"))["tables"]:
        for column in table.get("columns", []):
            if "find" in column:
                source = path.parents[1] / "benchmarks" / f"{column['find']['benchmark']}.py"
                assert source.exists(), column
