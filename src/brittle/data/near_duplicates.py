"""Questions that are almost the same: what is asked of one would be taught by the other.

Each question with its right answer is a set of words, a word weighing log(n / number of questions with it); two questions are
near-duplicates if the cosine of their weights is at least :data:`ALIKE`, or their words are the same. Words of a template
stand in many questions and weigh little, so questions of one form about different things stay apart.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

ALIKE = 0.8
"""Cosine from which two questions are near-duplicates."""
COMMON = 10
"""A word of more questions than this, and than one tenth of all, suggests no pair; it counts where others do."""


def words(text: str) -> frozenset[str]:
    """The words of a text, whatever their case, accents as one sign, punctuation left out."""
    return frozenset(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def near_duplicates(texts: Sequence[str]) -> list[list[int]]:
    """Positions of texts that belong together, two or more a group; texts joined by a third are one group."""
    sets = [words(text) for text in texts]
    leader = list(range(len(texts)))

    def top(position: int) -> int:
        while leader[position] != position:
            leader[position] = position = leader[leader[position]]
        return position

    for one, other in _pairs(sets):
        leader[top(one)] = top(other)
    groups = defaultdict(list)
    for position in range(len(texts)):
        groups[top(position)].append(position)
    return sorted(group for group in groups.values() if len(group) > 1)


def _pairs(sets: Sequence[frozenset[str]]) -> Iterator[tuple[int, int]]:
    number = len(sets)
    count = Counter(word for each in sets for word in each)
    weight = {word: math.log(number / times) ** 2 for word, times in count.items()}
    length = [math.sqrt(sum(weight[word] for word in sorted(each))) for each in sets]
    same: dict[frozenset[str], int] = {}
    places: dict[str, list[int]] = defaultdict(list)
    for position, each in enumerate(sets):
        if (first := same.setdefault(each, position)) != position:
            yield first, position
            continue
        rare = [word for word in each if count[word] <= max(COMMON, number // 10)]
        for other in {other for word in rare for other in places[word]}:
            shared = sum(weight[word] for word in sorted(each & sets[other]))
            if shared >= ALIKE * length[position] * length[other] > 0:
                yield other, position
        for word in rare:
            places[word].append(position)
