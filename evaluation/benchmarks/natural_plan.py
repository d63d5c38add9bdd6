"""NaturalPlan (Zheng et al. 2024, arXiv 2406.04520): trips, meetings and calendars, judged as officially.

The verdict on every sample is that of the official scripts (google-deepmind/natural-plan ca76db3), their
oddities included: of a calendar answer the first time counts, and minutes other than 30 count as :00; a trip
may go on after the gold's last city; a walk is judged up to its first invalid step. Where a script would
raise, the score is 0. Answers are only parsed, in linear time: where the official patterns backtrack without
bound, ours find the same match.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError, model_validator

from evaluation.benchmarks import Chat, Judged, Message, Source, Verdict
from evaluation.benchmarks._meeting_walk import MeetingGold, score_meeting
from evaluation.jsonl import quote, read_lines, read_text
from recipes.command import InputError

# Possessive runs behind a look-behind match what `[A-Za-z]+, …` and `\d+-\d+` match first, without rescans.
_TIME = re.compile(r"(?<![A-Za-z])([A-Za-z]++), ([0-9]++):([0-9]++) - ([0-9]++):([0-9]++)")
_STAY = re.compile(r"(?<!\d)\d++-(\d++)")
_TOTAL = re.compile(r"European cities for (\d++) days")
_LEG = re.compile(r"from (\w++) to (\w++)")
_DAY = re.compile(r"Day (\d++)")


class CalendarGold(BaseModel):
    """A calendar's fields in the official JSON, as far as they are judged by."""

    golden_plan: str
    num_people: int | None = None
    num_days: int | None = None

    @property
    def size(self) -> str:
        """People and days, by which the official script breaks its figure down."""
        if self.num_people is None or self.num_days is None:
            return "size not given"
        return f"{self.num_people} people, {self.num_days} days"


class TripGold(BaseModel):
    """A trip's fields: cities ``A**B**C`` with the days of each stay ``3**4**2``."""

    cities: str
    durations: str

    @property
    def stays(self) -> list[tuple[str, int]]:
        """(city, days) in the order of the trip."""
        cities = [city for city in self.cities.split("**") if city]
        days = [int(stay) for stay in self.durations.split("**") if stay]
        return list(zip(cities, days, strict=True))

    @model_validator(mode="after")
    def _has_stays(self) -> TripGold:
        if not self.stays:
            raise ValueError("no city in it")
        return self


def score_calendar(gold: CalendarGold, answer: str) -> Verdict:
    """1 iff the first time in the answer is the gold's."""
    found, wanted = _TIME.search(answer), _TIME.search(gold.golden_plan)
    if _slot(found) == _slot(wanted):
        return Verdict(1, f"{quote(wanted[0])} as in the gold" if wanted else "neither has a time")
    gold_text = quote(wanted[0]) if wanted else "no time"
    if not found:
        return Verdict(0, f"no 'Day, H:MM - H:MM' in the answer; the gold has {gold_text}")
    return Verdict(0, f"proposed {quote(found[0])}; the gold has {gold_text}")


def _slot(match: re.Match[str] | None) -> tuple[str, float, float]:
    if match is None:
        return "", -1, -1
    day, start, start_minute, end, end_minute = match.groups()
    return day, float(start) + 0.5 * (start_minute == "30"), float(end) + 0.5 * (end_minute == "30")


def score_trip(gold: TripGold, answer: str) -> Verdict:
    """1 iff the gold's (city, days) list is a prefix of the answer's."""
    wanted = gold.stays
    try:
        plan = _parse_trip(answer)
    except ValueError:  # Python reads no integer of more than 4,300 digits
        return Verdict(0, "a number in the answer has too many digits")
    if not plan:
        return Verdict(0, "no visit 'Day N-M' or no flight 'Day N … from X to Y' in the answer")
    for position, stay in enumerate(wanted):
        if position == len(plan):
            return Verdict(0, f"the trip ends after {position} of {len(wanted)} cities")
        if plan[position] != stay:
            told, meant = (f"{quote(city)} for {days} days" for city, days in (plan[position], stay))
            return Verdict(0, f"stay {position + 1}: {told}; the gold has {meant}")
    return Verdict(1, f"all {len(wanted)} stays as in the gold")


def _parse_trip(answer: str) -> list[tuple[str, int]]:
    """The answer's (city, days) list, read line by line until the trip's last day."""
    total_days = last_day = None
    flights: list[tuple[int, str, str]] = []
    for line in answer.split("\n"):
        if total := _TOTAL.search(line):
            total_days = int(total[1])
        if visit := _STAY.search(line):
            last_day = int(visit[1])
            if last_day == total_days:
                break
        if flight := _last_flight(line):
            flights.append(flight)
    if last_day is None or not flights:
        return []
    cities = [flights[0][1], *(arrival for _, _, arrival in flights)]
    days = [1, *(day for day, _, _ in flights), last_day]
    return [(city, days[i + 1] - days[i] + 1) for i, city in enumerate(cities)]


def _last_flight(line: str) -> tuple[int, str, str] | None:
    """What ``.*Day (\\d+).*from (\\w+) to (\\w+)`` captures: the last leg and the last day before it."""
    leg = _match_last(_LEG, "from ", line, len(line))
    day = leg and _match_last(_DAY, "Day ", line, leg.start())
    return (int(day[1]), leg[1], leg[2]) if leg and day else None


def _match_last(pattern: re.Pattern[str], opening: str, line: str, end: int) -> re.Match[str] | None:
    """The match of ``pattern``, which begins with ``opening``, that starts last in ``line[:end]``."""
    start = end
    while (start := line.rfind(opening, 0, start)) >= 0:
        if match := pattern.match(line, start, end):
            return match
    return None


@dataclass(frozen=True)
class _Sample:
    """A puzzle's fields as judged, its prompts, and the row of the breakdown it counts in."""

    gold: Any
    solution: list[str] | str | None
    messages: list[Message]
    group: str


@dataclass(frozen=True)
class _Subtask:
    """How one of the three is read, judged and broken down."""

    schema: type[BaseModel]
    judge: Callable[[Any, str], Verdict]
    group: Callable[[Any], str]


SUBTASKS = {
    "calendar": _Subtask(CalendarGold, score_calendar, lambda gold: gold.size),
    "meeting": _Subtask(MeetingGold, score_meeting, lambda gold: f"{len(gold.people)} people"),
    "trip": _Subtask(TripGold, score_trip, lambda gold: f"{len(gold.stays)} cities"),
}


OFFICIAL_FILES = {
    "calendar": "calendar_scheduling.json",
    "meeting": "meeting_planning.json",
    "trip": "trip_planning.json",
}


class NaturalPlan:
    """One subtask over one data file."""

    def __init__(self, subtask: str, data: str, samples: dict[str, _Sample]) -> None:
        self._judge = SUBTASKS[subtask].judge
        self._data = data
        self._samples = samples
        self.ids = tuple(samples)

    async def play(self, sample_id: str, chat: Chat) -> str:
        """The answer to the puzzle's chat.

        Raises:
            InputError: the data has none.
        """
        messages = self._samples[sample_id].messages
        if not messages:
            raise InputError(
                f"data={self._data}: {sample_id} has no prompt; "
                "the file must hold prompt_5shot and prompt_0shot, or messages"
            )
        return (await chat.ask(messages)).text

    def score(self, sample_id: str, prediction: Any) -> Verdict:
        """The official script's verdict, and why."""
        if not isinstance(prediction, str):
            return Verdict(0, "no text")
        return self._judge(self._samples[sample_id].gold, prediction)

    def gold(self, sample_id: str) -> str | None:
        """The plan that comes with the puzzle."""
        plan = self._samples[sample_id].solution
        return "\n".join(plan) if isinstance(plan, list) else plan

    def group(self, sample_id: str) -> str:
        """The puzzle's size, by which the official scripts break their figures down."""
        return self._samples[sample_id].group

    def metrics(self, judged: Sequence[Judged]) -> dict[str, float]:
        """The share of solved puzzles."""
        return {"accuracy": sum(one.verdict.score == 1 for one in judged) / len(judged)}


def load(source: Source) -> NaturalPlan:
    """Read the official JSON (a dict from ids to fields), or rows of data_synth's ``data.jsonl``.

    Raises:
        InputError: no such subtask or file, or fields that can't be judged by.
    """
    if source.subtask not in SUBTASKS:
        raise InputError(f"subtask={source.subtask}: natural_plan needs one; choose {', '.join(SUBTASKS)}")
    if source.data is None:
        raise InputError("data=null: natural_plan needs its data; give the official JSON or a data.jsonl")
    if source.num_shots not in (None, 0, 5):
        raise InputError(f"num_shots={source.num_shots}: natural_plan has no such prompt; give 5 or 0")
    data = _file_in(source.data, source.subtask)
    items = _read_items(data, source.subtask, source.num_shots)
    samples: dict[str, _Sample] = {}
    for sample_id, fields, messages in items:
        if sample_id in samples:
            raise InputError(f"data={data}: id {sample_id} occurs twice; make the ids unique")
        samples[sample_id] = _sample(data, source.subtask, sample_id, fields, messages)
    if not samples:
        raise InputError(f"data={data}: no {source.subtask} puzzle in it; check subtask and data")
    return NaturalPlan(source.subtask, data, samples)


def _file_in(data: str, subtask: str) -> str:
    """The data file: ``data`` itself, or the subtask's in a folder, by its official name or that of data_synth."""
    if not Path(data).is_dir():
        return data
    names = (OFFICIAL_FILES[subtask], f"{subtask}/data.jsonl", "data.jsonl")
    for name in names:
        if (Path(data) / name).is_file():
            return str(Path(data) / name)
    raise InputError(f"data={data}: no {' or '.join(names)} in this folder; give the file itself")


def _sample(data: str, subtask: str, sample_id: str, fields: Any, messages: list[Message]) -> _Sample:
    rules = SUBTASKS[subtask]
    try:
        gold = rules.schema.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "fields"
        raise InputError(
            f"data={data}: {sample_id}: {where}: {first['msg']}; is it {subtask} data?"
        ) from None
    return _Sample(gold, fields.get("golden_plan"), messages, rules.group(gold))


def _read_items(path: str, subtask: str, num_shots: int | None) -> list[tuple[str, Any, list[Message]]]:
    """(id, official fields, chat) of each puzzle; the chat is empty where the file has none."""
    text = read_text("data", path)
    official = _parse_official(text)
    if official is not None:
        return [(key, fields, _official_prompt(fields, num_shots)) for key, fields in official.items()]
    items = []
    for number, row in read_lines("data", path, text):
        if not isinstance(row.get("id"), str) or "subtask" not in row:
            raise InputError(f"data={path}: line {number} has no id or subtask; give rows of data_synth")
        if row["subtask"] != subtask:
            continue
        messages, gold = row.get("messages", []), row.get("gold") or {}
        if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
            raise InputError(
                f"data={path}: line {number}: messages is no list of objects; give rows of data_synth"
            )
        if not isinstance(gold, dict):
            raise InputError(f"data={path}: line {number}: gold is no object; give rows of data_synth")
        asked = [message for message in messages if message.get("role") != "assistant"]
        items.append((row["id"], gold.get("natural_plan"), asked))
    return items


def _parse_official(text: str) -> dict[str, Any] | None:
    """The official dict from ids to fields; None where ``text`` is lines of rows."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return None if not isinstance(content, dict) or {"id", "gold"} <= content.keys() else content


def _official_prompt(fields: Any, num_shots: int | None) -> list[Message]:
    prompt = fields.get(f"prompt_{num_shots}shot") if isinstance(fields, dict) else None
    return [{"role": "user", "content": prompt}] if prompt else []
