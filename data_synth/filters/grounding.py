"""Does a text mention a value? Tolerant of how people write it: "5 March" for 2026-03-05, "2:30 pm" for 14:30.

Values are JSON's. Dates and times are ISO strings, and what is written another way is compared as text. Nobody can
tell where a text mentions ``true`` or ``null``: they count as mentioned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from data_synth.filters.clock import date_forms, split_date_time, time_forms
from data_synth.filters.numerals import chinese_numerals, english_numeral_patterns

PLACEHOLDER = "<value>"
_PLAIN = str.maketrans(
    {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    | {0xFF0C: ";"}  # a Chinese comma never belongs to a number
    | dict.fromkeys("\u3000\u00a0\u202f\n\t", " ")
    | dict.fromkeys("‘’", "'")
    | dict.fromkeys("“”", '"')
    | dict.fromkeys("‐‑–−", "-")
)
"""One character for one, so that places in the text stay."""
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?|-?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_CHINESE_DIGITS = "零一二两三四五六七八九十百千万点"


def mentions(text: str, value: Any, language: str) -> bool:
    """Whether ``text`` says ``value``; of a list or an object, whether it says all that is in it.

    Args:
        language: ``en`` or ``zh``. In English text Chinese forms aren't looked for.
    """
    plain = text.translate(_PLAIN)
    return all(_pattern(leaf, isinstance(leaf, str), language).search(plain) for leaf in _leaves(value))


def mask_values(text: str, values: Iterable[Any] | Mapping[str, Any]) -> str:
    """``text`` with every mention of one of ``values`` replaced by ``PLACEHOLDER``, the longest first.

    What is left is the wording, so that texts which differ in values alone become equal.
    """
    plain, taken = text.translate(_PLAIN), list[tuple[int, int]]()
    leaves = _leaves(list(values.values() if isinstance(values, Mapping) else values))
    patterns = {_pattern(leaf, isinstance(leaf, str), "zh"): None for leaf in leaves}
    spans = [match.span() for pattern in patterns for match in pattern.finditer(plain)]
    for start, end in sorted(spans, key=lambda span: (span[0] - span[1], span)):
        if all(end <= other_start or other_end <= start for other_start, other_end in taken):
            taken.append((start, end))
    for start, end in sorted(taken, reverse=True):
        text = text[:start] + PLACEHOLDER + text[end:]
    return text


def _leaves(value: Any) -> list[str | int | float]:
    if isinstance(value, Mapping):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    if isinstance(value, list | tuple):
        return [leaf for inner in value for leaf in _leaves(inner)]
    if value is None or isinstance(value, bool) or (isinstance(value, str) and not value.strip()):
        return []
    return [value if isinstance(value, str | int | float) else str(value)]


@lru_cache(maxsize=50_000)
def _pattern(value: str | int | float, is_text: bool, language: str) -> re.Pattern[str]:
    """What to look for; ``is_text`` keeps 1 and "1" apart in the cache, which are equal to nobody else."""
    forms = text_forms(str(value), language) if is_text else number_forms(value, language)
    return re.compile("|".join(forms), re.IGNORECASE)


def text_forms(value: str, language: str) -> list[str]:
    """Patterns for a string, any of which is a mention."""
    plain = value.translate(_PLAIN).strip()
    if both := split_date_time(plain):
        dates, times = (f"(?:{'|'.join(forms)})" for forms in (date_forms(both[0]), time_forms(both[1])))
        return [_literal(plain), rf"{dates}.{{0,40}}?{times}", rf"{times}.{{0,40}}?{dates}"]
    forms = date_forms(plain) or time_forms(plain)
    if not forms and _NUMBER.fullmatch(plain):
        forms = number_forms(Decimal(plain.replace(",", "")), language)
    return forms or [_literal(plain)]


def number_forms(value: str | int | float | Decimal, language: str) -> list[str]:
    """Patterns for a number: with and without separators, trailing zeros, in words. Integers keep all their digits."""
    value = Decimal(f"{value:.10f}" if isinstance(value, float) else value)
    whole, _, decimals = f"{abs(value):f}".partition(".")
    decimals = decimals.rstrip("0")
    grouped = f"{int(whole):,}".replace(",", r"[, ]?")
    tail = rf"\.{decimals}0*" if decimals else r"(?:\.0+)?"
    sign = r"(?:-|minus\s+|负)" if value < 0 else r"(?<!-)"
    after = r"(?!\d)(?![.,:/-]\d)(?!\s*[ap]\.?m\b)(?!_)"
    forms = [rf"(?<![A-Za-z0-9_])(?<!\d[.,:/-])(?<!\.){sign}{grouped}{tail}{after}"]
    if value < 0 or decimals:
        return forms
    number = int(whole)
    forms += english_numeral_patterns(number)
    if language == "zh":
        forms += [
            rf"(?<![{_CHINESE_DIGITS}第]){word}(?![{_CHINESE_DIGITS}下些起样定直切般共])"
            for word in chinese_numerals(number)
        ]
        if number >= 10_000 and number % 100 == 0:
            tens_of_thousands = f"{Decimal(number) / 10_000:f}".removesuffix(".00").removesuffix(".0")
            forms.append(rf"(?<![\d.]){tens_of_thousands}\s*万")
    return forms


def _literal(value: str) -> str:
    """The words of ``value``, whatever stands between them; a single English word in its plural too."""
    words = [re.escape(word) for word in re.split(r"[\s_-]+", value.strip(" .,!?;:\"'。！？，")) if word]
    if not words:
        return re.escape(value)
    before = r"(?<![A-Za-z0-9])" if words[0][0].isascii() and words[0][0].isalnum() else ""
    after = r"(?![A-Za-z0-9])" if words[-1][-1].isascii() and words[-1][-1].isalnum() else ""
    plural = "(?:e?s)?" if len(words) == 1 and words[0].isascii() and words[0].isalpha() else ""
    return before + r"[\s_-]*".join(words) + plural + after
