"""Numbers in words, English and Chinese, as people write them in requests."""

from __future__ import annotations

import re

ONES = re.split(
    " ",
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen",
)
TENS = re.split(" ", "twenty thirty forty fifty sixty seventy eighty ninety")
_WORDS = "|".join([*ONES, *TENS, "hundred", "thousand"])
DIGITS = "零一二三四五六七八九"
LARGEST = 9_999


def english_numerals(number: int) -> list[str]:
    """Words for 0 to 9,999, with spaces alone between them; empty beyond."""
    if not 0 <= number <= LARGEST:
        return []
    if number < 20:
        return [ONES[number]]
    if number < 100:
        ten, one = divmod(number, 10)
        return [TENS[ten - 2] + (f" {ONES[one]}" if one else "")]
    unit, name = (1_000, "thousand") if number >= 1_000 else (100, "hundred")
    high, low = divmod(number, unit)
    heads = [f"{word} {name}" for word in english_numerals(high)] + [f"a {name}"] * (high == 1)
    if not low:
        return heads
    return [
        f"{head} {joint}{tail}" for head in heads for tail in english_numerals(low) for joint in ("", "and ")
    ]


def english_numeral_patterns(number: int) -> list[str]:
    """Regular expressions for :func:`english_numerals`, none of which matches the beginning of a larger numeral."""
    patterns = []
    for words in english_numerals(number):
        joint = "[ -]+(?:and[ -]+)?" if words.endswith(("hundred", "thousand")) else "[ -]+"
        patterns.append(rf"(?<![a-z]){words.replace(' ', '[ -]+')}(?![a-z]|{joint}(?:{_WORDS})(?![a-z]))")
    return patterns


def chinese_numerals(number: int) -> list[str]:
    """Numerals for 0 to 9,999; empty beyond. 两 is offered for a leading 2."""
    if not 0 <= number <= LARGEST:
        return []
    if number < 10:
        return [DIGITS[number], *(["两"] if number == 2 else [])]
    text, gap = "", False
    for unit, name in ((1_000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, number = divmod(number, unit)
        if digit:
            text += ("零" if gap and text else "") + DIGITS[digit] + name
        gap = bool(text) and not digit
    if text.startswith("一十"):
        return [text[1:]]
    return [text, "两" + text[1:]] if text.startswith(("二百", "二千")) else [text]
