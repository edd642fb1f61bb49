"""Names and numbers as the report's figures write them."""

from __future__ import annotations

import math
import re

from brittle.results.at_matched_t import Estimate

FONT_SIZE = 12
ROW_NAME, LINE_NAME = 125, 300
"""How wide a name beside a row and above the lines may be."""


def plain(name: str) -> str:
    """A name as text that every renderer takes: what is no character stands as �."""
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]", lambda found: " " if found[0] in "\n\t\r" else "�", name)


def wide(text: str) -> float:
    """How wide a line of text is, roughly."""
    return FONT_SIZE * sum(
        0.3 if letter in " ijlI.,:;'|!()[]/" else 0.95 if letter in "WM@%m" or ord(letter) > 0x2E80 else 0.62
        for letter in text
    )


def broken(name: str, widest: float) -> str:
    """A name on lines of at most that width, nothing of it lost; behind a space or a sign where that can be."""
    lines = [""]
    for part in re.findall(r"[^\s_/-]*[\s_/-]+|[^\s_/-]+", plain(name)):
        if lines[-1] and wide(lines[-1] + part.rstrip()) > widest:
            lines.append("")
        for letter in part:
            if lines[-1] and wide(lines[-1] + letter.strip()) > widest:
                lines.append("")
            lines[-1] += letter
    return "\n".join(lines) or " "


def percent(mean: float, low: float = math.nan, high: float = math.nan) -> str:
    """An accuracy and its interval."""
    if not math.isfinite(mean):
        return "–"
    return str(Estimate(mean, low, high))
