"""Patterns for the ways in which people write dates and times, English and Chinese."""

from __future__ import annotations

import re

from data_synth.filters.numerals import chinese_numerals

MONTHS = re.split(
    ", ",
    "jan(?:uary)?, feb(?:ruary)?, mar(?:ch)?, apr(?:il)?, may, june?, july?, aug(?:ust)?, sept?(?:ember)?,"
    " oct(?:ober)?, nov(?:ember)?, dec(?:ember)?",
)
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::[0-5]\d)?")
_DATE_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?")


def split_date_time(value: str) -> tuple[str, str] | None:
    """Date and time of an ISO timestamp, its zone left out; None where ``value`` is none."""
    found = _DATE_TIME.fullmatch(value)
    return (found[1], found[2]) if found else None


def date_forms(value: str) -> list[str]:
    """Patterns for an ISO date; a year that stands beside it must be its own. Empty where ``value`` is none."""
    found = _DATE.fullmatch(value)
    if not found or not (1 <= int(found[2]) <= 12 and 1 <= int(found[3]) <= 31):
        return []
    year, month, day = (int(part) for part in found.groups())
    year_after = rf"(?:,?\s+(?:in\s+)?{year}\b|(?!,?\s+(?:19|20)\d\d\b))"
    name, ordinal = rf"{MONTHS[month - 1]}\b\.?", rf"0?{day}(?:st|nd|rd|th)?(?![\d:])"
    chinese_month, chinese_day = (rf"(?:0?{n}|{_any(chinese_numerals(n))})" for n in (month, day))
    return [
        rf"(?<!\d){year}[-/.]0?{month}[-/.]0?{day}(?!\d)",
        rf"(?<!\d)(?:0?{month}/0?{day}|0?{day}[/.]0?{month})[/.]{year}(?!\d)",
        rf"\b{name}\s+(?:the\s+)?{ordinal}{year_after}",
        rf"(?<![\d:]){ordinal}\s+(?:of\s+)?{name}{year_after}",
        rf"(?:(?<!\d){year}年\s*|(?<![\d年一二三四五六七八九十])){chinese_month}月\s*{chinese_day}(?:日|号|(?![\d一二三四五六七八九十]))",
    ]


def time_forms(value: str) -> list[str]:
    """Patterns for a time on the 24-hour clock, ``HH:MM`` or ``HH:MM:SS``. Empty where ``value`` is none."""
    found = _TIME.fullmatch(value)
    if not found:
        return []
    hour, minute = int(found[1]), int(found[2])
    half_day = rf"\s*{'a' if hour < 12 else 'p'}\.?m\b\.?"
    twelve, to_the_minute = (hour - 1) % 12 + 1, rf"[:.]{minute:02d}"
    forms = [
        rf"(?<![\d:.])0?{hour}:{minute:02d}(?::\d\d)?(?![\d:])(?!\s*[ap]\.?m\b)",
        rf"(?<![\d:.]){twelve}{'(?:' + to_the_minute + ')?' if minute == 0 else to_the_minute}{half_day}",
    ]
    if minute == 0 and hour % 12 == 0:
        forms += [r"\bnoon\b", "正午"] if hour else [r"\bmidnight\b", "午夜", "零点"]
    return forms + _chinese_time_forms(hour, minute)


def _chinese_time_forms(hour: int, minute: int) -> list[str]:
    minutes = [rf"{minute:02d}分?", *(f"{word}分?" for word in chinese_numerals(minute))]
    minutes += [f"零{word}分?" for word in chinese_numerals(minute) if minute < 10]
    if minute == 0:
        tail = r"(?:整|钟|00分?|(?![\d半一二三四五六七八九十]))"
    else:
        tail = _any(minutes + ["半"] * (minute == 30) + ["一刻"] * (minute == 15)) + r"(?!\d)"
    forms = []
    for parts, clock in (("", hour), (_parts_of_day(hour), (hour - 1) % 12 + 1)):
        hours = _any([str(clock), f"0{clock}" if clock < 10 else str(clock), *chinese_numerals(clock)])
        before = rf"(?:{parts})\s*" if parts else r"(?<![\d一二三四五六七八九十午上晨])"
        forms.append(rf"{before}{hours}\s*[点时]\s*{tail}")
        if parts:
            forms.append(rf"{before}0?{clock}:{minute:02d}(?![\d:])")
    return forms


def _parts_of_day(hour: int) -> str:
    if hour < 12:
        return "凌晨|清晨|早上|早晨|上午|半夜" + "|中午" * (hour == 11)
    return "下午|傍晚|晚上|夜里|晚间|午后" + "|中午" * (hour < 14)


def _any(forms: list[str]) -> str:
    return "(?:" + "|".join(sorted(dict.fromkeys(forms), key=len, reverse=True)) + ")"
