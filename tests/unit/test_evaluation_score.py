"""``python -m evaluation.score`` on files, and what it refuses."""

import asyncio
import json
import subprocess
import sys

import pytest

from evaluation import benchmarks
from evaluation.results import Prediction, judge
from recipes.command import InputError, hold_folder

CALENDAR = {"golden_plan": "Monday, 14:30 - 15:30", "num_people": "2", "num_days": "1"}
TRIP = {"cities": "Oslo**Riga", "durations": "2**3"}
GOOD, BAD = CALENDAR["golden_plan"], "never"


def write(path, content):
    lines = content if isinstance(content, list) else [content]
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


@pytest.fixture
def files(tmp_path):
    ids = ("calendar_2", "calendar_10", "calendar_1")
    data = {name: {**CALENDAR, "num_people": 2 + 8 * (name == "calendar_10")} for name in ids}
    gold = write(tmp_path / "gold.json", data)
    answers = [("calendar_10", GOOD), ("calendar_2", BAD), ("calendar_10", BAD), ("calendar_2", GOOD)]
    predictions = [{"id": name, "prediction": text, "tokens": 3} for name, text in answers]
    return gold, write(tmp_path / "predictions.jsonl", [*predictions, ""]), tmp_path / "out"


def score(predictions, gold, out, *overrides):
    return subprocess.run(
        [
            *(sys.executable, "-m", "evaluation.score", "benchmark=natural_plan", "subtask=calendar"),
            *(f"predictions={predictions}", f"data={gold}", f"output_dir={out}", *overrides),
        ],
        capture_output=True,
        text=True,
    )


def test_every_line_is_scored_in_its_order(files):
    gold, predictions, out = files
    done = score(predictions, gold, out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "natural_plan calendar: accuracy 0.5000 over 4 samples; 1 samples of the data have no prediction\n"
    )
    results = json.loads((out / "results.json").read_text())
    assert (results["benchmark"], results["subtask"]) == ("natural_plan", "calendar")
    assert (results["metrics"], results["num_samples"]) == ({"accuracy": 0.5}, 4)
    assert [(s["id"], s["score"]) for s in results["per_sample"]] == [
        ("calendar_10", 1),
        ("calendar_2", 0),
        ("calendar_10", 0),
        ("calendar_2", 1),
    ]
    assert all(sample["reason"] for sample in results["per_sample"])
    assert [group["group"] for group in results["groups"]] == ["2 people, 1 days", "10 people, 1 days"]


def test_results_tell_what_else_decided_the_verdicts(files):
    gold, predictions, out = files
    assert score(predictions, gold, out, "mode=fixed", "+options.strict=true").returncode == 0
    results = json.loads((out / "results.json").read_text())
    told = {key: results[key] for key in ("subtask", "language", "mode", "embedding", "options")}
    assert told == {
        **{"subtask": "calendar", "language": None, "mode": "fixed", "embedding": None},
        "options": {"strict": True},
    }


def test_trials_are_those_of_the_lines_or_else_by_their_order():
    class Listing:
        def score(self, sample_id, prediction):
            return benchmarks.Verdict(1.0, "")

        def group(self, sample_id):
            return "all"

        def metrics(self, judged):
            self.seen = [(one.id, one.trial) for one in judged]
            return {}

    benchmark = Listing()
    judge(benchmark, [Prediction("a", "x"), Prediction("b", "x"), Prediction("a", "x")])
    assert benchmark.seen == [("a", 0), ("b", 0), ("a", 1)]
    judge(benchmark, [Prediction("a", "x", 2), Prediction("b", "x", 1), Prediction("b", "x", 0)])
    assert benchmark.seen == [("a", 2), ("b", 1), ("b", 0)]


def test_half_a_surrogate_pair_is_scored_and_written(files, tmp_path):
    gold, _, out = files
    line = '{"id": "calendar_1", "prediction": "Mon\\ud800day, 14:30 - 15:30"}'
    assert score(write(tmp_path / "odd.jsonl", line), gold, out).returncode == 0
    assert json.loads((out / "results.json").read_text())["metrics"] == {"accuracy": 0.0}


def test_a_prediction_that_is_no_text_scores_nothing(files, tmp_path):
    gold, _, out = files
    answers = [None, 14.5, {"day": "Monday"}, GOOD]
    lines = [{"id": "calendar_1", "prediction": answer} for answer in answers]
    done = score(write(tmp_path / "odd.jsonl", lines), gold, out)
    assert done.returncode == 0, done.stderr
    results = json.loads((out / "results.json").read_text())
    assert [sample["score"] for sample in results["per_sample"]] == [0, 0, 0, 1]
    assert [sample["reason"] for sample in results["per_sample"]][:3] == ["no text"] * 3
    assert results["metrics"] == {"accuracy": 0.25}


def test_an_output_that_can_be_no_folder_is_refused(files):
    gold, predictions, _ = files
    done = score(predictions, gold, gold)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"error: output_dir={gold}: ") and "choose another folder" in done.stderr


def test_a_run_holds_no_file(files):
    gold, _, _ = files
    with (
        pytest.raises(InputError, match=f"^output_dir={gold}: .*; choose another folder"),
        hold_folder("output_dir", gold),
    ):
        pass


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"id": "calendar_3", "prediction": GOOD}], "line 1: id calendar_3 isn't in the data"),
        ([{"id": "calendar_1", "prediction": GOOD}, "{"], "line 2 is no JSON"),
        (["[1]"], "line 1 is no JSON object"),
        (["[" * 100_000], "line 1 is no JSON"),
        ([{"id": "calendar_1"}], "line 1 must be"),
        ([{"id": 1, "prediction": GOOD}], "line 1 must be"),
        ([""], "no prediction in it"),
    ],
)
def test_malformed_predictions_are_refused(files, tmp_path, lines, message):
    gold, _, out = files
    done = score(write(tmp_path / "bad.jsonl", lines), gold, out)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"error: predictions={tmp_path / 'bad.jsonl'}: ")
    assert message in done.stderr
    assert not out.exists()


def load(path, subtask="calendar", **other):
    return benchmarks.load("natural_plan", benchmarks.Source(subtask=subtask, data=str(path), **other))


@pytest.mark.parametrize(
    ("subtask", "content", "message"),
    [
        ("calendar", {"a": {}}, "golden_plan: Field required"),
        ("calendar", {"a": None}, "is it calendar data"),
        ("calendar", {}, "no calendar puzzle"),
        ("calendar", "[]", "no JSON object"),
        ("calendar", [{"id": "a", "x": 1}, {"id": "b"}], "line 1 has no id or subtask"),
        (
            "trip",
            [{"id": "a", "subtask": "trip", "messages": "Go.", "gold": {}}],
            "line 1: messages is no list",
        ),
        (
            "trip",
            [{"id": "a", "subtask": "trip", "messages": ["Go."], "gold": {}}],
            "line 1: messages is no list",
        ),
        ("trip", [{"id": "a", "subtask": "trip", "messages": [], "gold": "x"}], "line 1: gold is no object"),
        ("trip", {"a": {**TRIP, "durations": "2"}}, "is it trip data"),
        ("trip", {"a": {**TRIP, "durations": "2**x"}}, "is it trip data"),
        ("trip", {"a": {"cities": "", "durations": ""}}, "no city in it"),
        ("meeting", {"a": {"golden_plan": [], "constraints": [], "dist_matrix": {}}}, "constraints must be"),
        (
            "meeting",
            {
                "a": {
                    "golden_plan": [],
                    "constraints": [["A", "9:00AM"], ["B", "C", "noon", 5]],
                    "dist_matrix": {},
                }
            },
            "H:MMAM to H:MMPM",
        ),
    ],
)
def test_data_that_cannot_be_judged_by_is_refused(tmp_path, subtask, content, message):
    with pytest.raises(InputError, match=message) as caught:
        load(write(tmp_path / "data", content), subtask)
    assert str(caught.value).startswith(f"data={tmp_path / 'data'}: ")


def test_missing_choices_are_named(tmp_path):
    gold = write(tmp_path / "gold.json", {"a": CALENDAR})
    with pytest.raises(InputError, match=r"subtask=None: .* choose calendar, meeting, trip"):
        load(gold, None)
    with pytest.raises(InputError, match=r"data=null"):
        benchmarks.load("natural_plan", benchmarks.Source(subtask="trip", data=None))
    with pytest.raises(InputError, match=r"benchmark=_meeting_walk: .* choose one of .*natural_plan"):
        benchmarks.load("_meeting_walk", benchmarks.Source(subtask=None, data=None))
    (tmp_path / "latin").write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(InputError, match="not UTF-8"):
        load(tmp_path / "latin")


class Listening:
    """A chat that keeps what it is asked."""

    seed = 0

    async def ask(self, messages, **_):
        self.messages = messages
        return benchmarks.Reply("so be it")


def asked_by(benchmark, sample_id):
    chat = Listening()
    assert asyncio.run(benchmark.play(sample_id, chat)) == "so be it"
    return chat.messages


def test_rows_and_official_json_are_told_apart(tmp_path):
    row = {
        "id": "r",
        "subtask": "trip",
        "messages": [{"role": "user", "content": "Go."}, {"role": "assistant", "content": "…"}],
        "gold": {"natural_plan": TRIP},
    }
    one = load(write(tmp_path / "one.jsonl", row), "trip")
    assert (list(one.ids), asked_by(one, "r")) == (["r"], [{"role": "user", "content": "Go."}])
    two = load(write(tmp_path / "two.jsonl", [row, {**row, "id": "s"}]), "trip")
    assert list(two.ids) == ["r", "s"]
    with pytest.raises(InputError, match="id r occurs twice"):
        load(write(tmp_path / "twice.jsonl", [row, row]), "trip")
    official = load(write(tmp_path / "o.json", {"t": {**TRIP, "prompt_0shot": "Zero."}}), "trip", num_shots=0)
    assert asked_by(official, "t") == [{"role": "user", "content": "Zero."}]
    with pytest.raises(InputError, match="t has no prompt"):
        asked_by(load(tmp_path / "o.json", "trip", num_shots=5), "t")
    assert judge(official, [Prediction("t", "")])["groups"][0]["group"] == "2 cities"
