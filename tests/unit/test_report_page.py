"""The report of rows: its numbers against plain loops, its page against hostile text."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from export_rows import dialogue_row, export, scheduling_row, write_rows
from hypothesis import given
from hypothesis import strategies as st

from data_synth.card import rows_card
from data_synth.report import write_summary
from data_synth.report.histogram import MOST_BINS, EvenSample, Histogram
from data_synth.report.page import MOST_ROWS, merged

HOSTILE = '</script><script>alert("1")</script><!-- <img src=x onerror=alert(2)> & \u2028'


@given(st.lists(st.integers(0, 10**6), min_size=1), st.randoms())
def test_a_histogram_counts_what_a_loop_counts_in_any_order(values, chance):
    histogram, shuffled = Histogram(), Histogram()
    for value in values:
        histogram.add(value)
    for value in chance.sample(values, len(values)):
        shuffled.add(value)
    assert histogram == shuffled
    assert histogram.bins == Counter(value // histogram.width for value in values)
    assert max(histogram.bins) - min(histogram.bins) < MOST_BINS
    assert (histogram.low, histogram.high, histogram.total) == (min(values), max(values), sum(values))


@given(st.lists(st.integers(0, 10**5)), st.lists(st.integers(0, 300), min_size=1))
def test_merged_histograms_hold_all_values(first, second):
    parts = [Histogram(), Histogram()]
    for part, values in zip(parts, (first, second), strict=True):
        for value in values:
            part.add(value)
    whole = merged(parts)
    assert whole.bins == Counter(value // whole.width for value in first + second)
    assert whole.mean == pytest.approx(sum(first + second) / len(first + second))


@given(st.integers(1, 300), st.integers(1, 20), st.integers(1, 25))
def test_a_sample_is_even_and_bounded(length, size, most):
    sample = EvenSample[int](size)
    for item in range(length):
        sample.add(item)
    kept = sample.take(size)
    assert kept[0] == 0
    assert len({b - a for a, b in pairwise(kept)}) <= 1
    assert min(length, size) / 2 <= len(kept) <= size
    taken = sample.take(most)
    assert taken == sorted(set(taken))
    assert set(taken) <= set(kept)


def rows_of_all_kinds() -> list[dict]:
    rows = [dialogue_row(i) for i in range(90)]
    for i in range(60):
        row = scheduling_row(i)
        certificate = {"cp_sat_confirmed": i % 3 == 0, "nodes": i * 7}
        meta = {"split": "train", "generator": "scheduling 1", "instance": f"{i // 2:064x}", "size": i % 5}
        rows.append(row | {"meta": row["meta"] | meta | {"certificate": certificate}})
    rows[0]["messages"][1]["content"] = rows[1]["id"] = HOSTILE
    rows[2]["gold"]["plan"]["steps"][0]["tool"] = rows[3]["gold"]["turns"][0]["calls"] = HOSTILE
    rows[3]["gold"]["turns"][0] = {"calls": [{"name": HOSTILE, "arguments": {}}]}
    return rows


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, dict, list[dict]]:
    folder = tmp_path_factory.mktemp("report")
    rows = rows_of_all_kinds()
    data = write_rows(folder / "data.jsonl", rows)
    lines = [{"domain": "scheduling/trip", "reason": "ambiguous"}] * 3 + [
        {"domain": "tool_augmented/other", "reason": HOSTILE}
    ]
    rejected = write_rows(folder / "rejected.jsonl", lines)
    return folder, write_summary(data, rejected, folder / "report.html"), rows


def test_the_counts_are_those_of_a_loop(written):
    _, said, rows = written
    names = Counter(f"{row['task']}/{row['subtask']}" for row in rows)
    assert {
        name: domain["num_rows"] for name, domain in said["domains"].items() if domain["num_rows"]
    } == names
    assert (said["num_rows"], said["num_rejected"]) == (len(rows), 4)
    trip = said["domains"]["scheduling/trip"]
    assert trip["rejected"] == {"ambiguous": 3}
    assert trip["num_confirmed_by_cp_sat"] == sum(
        row["subtask"] == "trip" and row["meta"]["certificate"]["cp_sat_confirmed"] for row in rows
    )
    assert sum(domain["num_repeated"] for domain in said["domains"].values()) == 60
    assert said["domains"]["tool_augmented/other"]["num_rows"] == 0
    assert "num_confirmed_by_cp_sat" not in said["domains"]["long_horizon/general"]
    operators = Counter(name for row in rows[:90] for name in row["meta"]["operators"])
    found = Counter[str]()
    for domain in said["domains"].values():
        found.update(domain.get("operators", {}))
    assert found == operators
    assert said["generators"] == Counter(row["meta"]["generator"] for row in rows)
    assert said["tools"]["num_offered"] == 1


def test_no_text_of_a_row_is_markup(written):
    folder, _, rows = written
    page = (folder / "report.html").read_text("utf-8")
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert not re.search(r"""(src|href)=["']?(https?:|//)|url\(|@import""", page), "assets from outside"
    shown = json.loads(re.search(r'<script type="application/json" id="rows">(.*)</script>', page)[1])
    assert HOSTILE in [row["id"] for row in shown]
    assert len(shown) <= MOST_ROWS
    by_id = {row["id"]: row for row in rows}
    for row in shown:
        for key in ("task", "subtask", "messages", "gold", "meta"):
            assert row[key] == by_id[row["id"]][key]
    shares = Counter(row["task"] for row in shown)
    assert set(shares) == {"scheduling", "decomposition", "tool_augmented", "long_horizon"}


def test_the_same_rows_give_the_same_bytes(written, tmp_path):
    folder, said, _ = written
    again = write_summary(folder / "data.jsonl", folder / "rejected.jsonl", tmp_path / "report.html")
    assert again == said
    assert (tmp_path / "report.html").read_bytes() == (folder / "report.html").read_bytes()


def test_the_card_says_what_the_manifest_says(written):
    _, said, rows = written
    settings = {"seed": 7, "language": "en", "split": "train", "llm.name": "openai", "generator": "x 1"}
    manifest = {**said, "settings": settings, "llm": {"num_requests": 12345, "cost": 0.25}}
    card = rows_card(manifest)
    assert card == rows_card(json.loads(json.dumps(manifest)))
    _, head, body = card.split("---\n", 2)
    front = yaml.safe_load(head)
    assert front["language"] == ["en"]
    assert front["size_categories"] == ["n<1K"]
    for name, domain in said["domains"].items():
        row = f"| {name} | {domain['num_rows']} |"
        assert sum(line.startswith(row) for line in body.splitlines()) == 1
    for text in (
        "| seed | 7 |",
        "12345",
        "0.25",
        "openai, scripted (90 rows)",
        "scheduling 1",
        "ambiguous 3",
    ):
        assert text in body
    assert f"{len(rows)} rows" in body


def test_an_export_has_a_card_but_leaves_that_of_rows_alone(tmp_path):
    rows = [dialogue_row(i) for i in range(9)]
    folder = export(tmp_path, rows, "format=[indexed,messages]")
    card = (folder / "README.md").read_text("utf-8")
    manifest = json.loads((folder / "train_manifest.json").read_text("utf-8"))
    assert f"{manifest['num_documents']} documents" in card
    assert yaml.safe_load(card.split("---\n")[1])["configs"] == [
        {"config_name": "messages", "data_files": "train_messages.jsonl"}
    ]
    assert "README.md" in manifest["files"]
    export(tmp_path, rows, "format=parquet")
    assert "verl" in (folder / "README.md").read_text("utf-8")
    own = tmp_path / "own"
    own.mkdir()
    (own / "README.md").write_text("mine")
    export(tmp_path, rows, f"output_dir={own}")
    assert (own / "README.md").read_text() == "mine"
    assert "README.md" not in json.loads((own / "train_manifest.json").read_text())["files"]
