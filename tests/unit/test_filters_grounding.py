"""Values found in texts however they are written, and not where something else is written."""

import datetime
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_synth.filters.grounding import PLACEHOLDER, mask_values, mentions
from data_synth.filters.nulls import holds_nulls, prune_nulls
from data_synth.filters.numerals import chinese_numerals, english_numerals

SAID = [
    (
        "2026-03-05",
        "en",
        ["on 2026-03-05.", "Mar. 5", "March 5th, 2026", "the 5th of March", "5 March 2026"],
    ),
    ("2026-03-05", "zh", ["2026年3月5日", "3月5号出发", "三月五日", "2026年03月05日"]),
    ("2026-11-23", "zh", ["十一月二十三日", "11月23日"]),
    ("14:30", "en", ["at 14:30", "2:30 pm", "2:30PM", "2.30 p.m. sharp"]),
    ("14:30", "zh", ["下午2点半", "14点30分", "下午两点三十分", "下午2:30", "下午２：３０"]),
    ("09:00", "en", ["9 am", "9:00", "09:00", "9:00 a.m."]),
    ("09:05", "zh", ["上午9点05分", "九点零五分", "上午9:05"]),
    ("12:00", "en", ["at noon", "12 pm"]),
    ("2026-03-05T14:30:00", "en", ["March 5 at 2:30 pm", "14:30 on 2026-03-05", "2026-03-05T14:30:00"]),
    (1200, "en", ["1200 euros", "€1,200", "1,200.00", "twelve hundred or 1 200", "one thousand two hundred"]),
    (12.5, "en", ["12.5 km", "12.50"]),
    ("123456789012345678", "en", ["order 123456789012345678", "123,456,789,012,345,678"]),
    (123456789012345678, "zh", ["订单123456789012345678号"]),
    ("0.3729677083581595", "en", ["a share of 0.3729677083581595"]),
    (3, "en", ["three nights", "3 nights", "a 3-night stay", "3km"]),
    (3, "zh", ["住3晚", "三个人", "三晚"]),
    (2, "zh", ["两位", "2位"]),
    (25000, "zh", ["2.5万元", "25,000元"]),
    (-5, "en", ["-5 degrees", "minus 5"]),
    ("direct_flight", "en", ["a direct flight", "direct-flight", "Direct_Flight"]),
    ("museum", "en", ["museums nearby"]),
    ("New York", "en", ["to new  york?", "New York's"]),
    ("上海", "zh", ["去上海的"]),
    ("a@b.org", "en", ["write to A@b.org."]),
    (["Ann", 4], "en", ["Ann and four friends"]),
    ({"city": "Rome", "nights": None}, "en", ["in Rome"]),
    (True, "en", ["anything"]),
    ("Running late!", "en", ["tell her: “running late”"]),
]
UNSAID = [
    ("2026-03-05", "en", ["March 15", "March 5, 2025", "March 52", "15 March", "2026-03-051", "marching 5"]),
    ("2026-03-05", "zh", ["13月5日", "3月15日", "2025年3月5日", "十三月五日", "三月五十"]),
    ("14:30", "en", ["2:30", "2:30 am", "14:305", "4:30 pm"]),
    ("09:00", "en", ["9:00 pm", "19:00", "9:30 am"]),
    ("14:30", "zh", ["上午2点半", "下午3点半", "14点"]),
    ("14:00", "zh", ["下午2点半", "下午2点15分"]),
    ("12:00", "en", ["12 am"]),
    ("2026-03-05T14:30:00", "en", ["March 5", "14:30 on March 6"]),
    (1200, "en", ["12000", "1,200,000", "11200", "200", "1200.5"]),
    ("123456789012345678", "en", ["order 123456789012345677", "123456789012345680", "12345678901234567"]),
    (3, "en", ["13", "3.5", "2026-03-05", "A3", "3 pm", "3:15", "threefold"]),
    (3, "zh", ["十三个", "三十"]),
    (1, "zh", ["查一下"]),
    (5, "en", ["-5 degrees"]),
    ("Rome", "en", ["Jerome", "Romer"]),
    ("art", "en", ["start", "party"]),
    (["Ann", 4], "en", ["Ann and five friends"]),
]


@pytest.mark.parametrize(("value", "language", "texts"), SAID, ids=str)
def test_said(value, language, texts):
    for text in texts:
        assert mentions(text, value, language), text


@pytest.mark.parametrize(("value", "language", "texts"), UNSAID, ids=str)
def test_not_said(value, language, texts):
    for text in texts:
        assert not mentions(text, value, language), text


def dates(number):
    return [datetime.date(2026, 1, 1) + datetime.timedelta(days=7 * i + i % 5) for i in range(number)]


def test_a_date_is_told_from_every_other_in_each_form():
    forms = {
        "en": ["{d:%B} {d.day}", "{d.day} {d:%b} {d.year}", "{d.month}/{d.day}/{d.year}", "{d:%Y-%m-%d}"],
        "zh": ["{d.month}月{d.day}日", "{d.year}年{d.month}月{d.day}号"],
    }
    for language, templates in forms.items():
        for template in templates:
            texts = {date: f"from {template.format(d=date)} on" for date in dates(50)}
            for date, text in texts.items():
                swapped = (date.day, date.month) if "/" in template else None
                found = [d for d in texts if mentions(text, d.isoformat(), language)]
                assert date in found
                assert all(d == date or (d.month, d.day) == swapped for d in found)


def test_a_time_is_told_from_every_other_in_each_form():
    times = [datetime.time(hour, minute) for hour in range(24) for minute in (0, 5, 15, 30, 45)]
    clock = {"en": lambda t: f"{t:%I:%M %p}".lstrip("0"), "zh": lambda t: f"{t.hour}点{t.minute:02d}分"}
    for language, write in clock.items():
        for time in times:
            found = [t for t in times if mentions(f"at {write(time)} then", f"{t:%H:%M}", language)]
            assert found == [time]


@given(st.integers(0, 9_999), st.integers(0, 9_999))
@example(8_001, 8_000)
@example(8_100, 8_001)
@example(8_021, 8_020)
def test_numbers_in_words_are_told_apart(number, other):
    for words in english_numerals(number):
        assert mentions(f"some {words} of them", number, "en")
        assert mentions(f"some {words} of them", other, "en") == (number == other) or other < 1_000
    for words in chinese_numerals(number):
        assert mentions(f"共{words}个", number, "zh")
        assert mentions(f"共{words}个", other, "zh") == (number == other)


@given(st.integers(-(10**7), 10**7), st.integers(-(10**7), 10**7))
def test_numbers_in_digits_are_told_apart(number, other):
    for text in (f"about {number} in all", f"about {number:,}.00 in all"):
        assert mentions(text, number, "en")
        assert mentions(text, other, "en") == (number == other)


def test_masking_leaves_the_wording():
    rng = random.Random(0)
    masked = set()
    for _ in range(50):
        slots = {
            "city": rng.choice(["Rome", "New York", "York"]),
            "date": f"2026-03-{rng.randint(1, 28):02d}",
            "guests": rng.randint(2, 9),
            "tags": ["quiet", "central"],
        }
        day = int(slots["date"][-2:])
        text = f"A quiet, central hotel in {slots['city']} on March {day} for {slots['guests']}, please"
        masked.add(mask_values(text, slots))
    assert masked == {
        f"A {PLACEHOLDER}, {PLACEHOLDER} hotel in {PLACEHOLDER} on {PLACEHOLDER} for {PLACEHOLDER}, please"
    }
    assert mask_values("去上海３晚", ["上海", 3]) == f"去{PLACEHOLDER}{PLACEHOLDER}晚"
    assert mask_values("nothing here", [True, None, ""]) == "nothing here"


json_values = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(json_values)
def test_pruned_of_nulls(value):
    pruned = prune_nulls(value)
    assert not holds_nulls(pruned)
    assert (pruned == value) == (not holds_nulls(value))
    assert prune_nulls({"a": None, "b": {"c": None, "d": [None, {"e": None}]}}) == {"b": {"d": [None, {}]}}
