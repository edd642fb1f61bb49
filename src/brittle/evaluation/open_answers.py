"""Does a model give the right answer by itself, without choices to pick from?

Each question is continued greedily, in float32 logits. The answer is right if the continuation begins with the right choice,
word by word in either case, and ends there: at punctuation, the end of the line, or the end of the text. Four choices flatter a
model that has lost its language: it need only find the least unlikely of four words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brittle.models.loading import LoadedModel
    from brittle.models.prepared_questions import Asked

SPARE_TOKENS = 2
"""Tokens beyond the right answer's own: enough to see whether the model stops there."""


def right_answers(loaded: LoadedModel, questions: Sequence[Asked], batch_size: int = 32) -> list[bool]:
    """Whether the greedy continuation of each question is its right choice."""
    said = open_answers(loaded, questions, batch_size)
    return [is_right(text, each.choices[each.answer]) for text, each in zip(said, questions)]


def open_answers(loaded: LoadedModel, questions: Sequence[Asked], batch_size: int = 32, prefix: str = "") -> list[str]:
    """What the model says to each question by itself, a little longer than the right answer; ``prefix`` stands before all."""
    from brittle.models.encoding import encode, longest_row

    rows = encode(loaded.tokenizer, [prefix + each.question for each in questions])
    answers = [each.choices[each.answer] for each in questions]
    lengths = [len(row) + SPARE_TOKENS for row in encode(loaded.tokenizer, [f" {answer}" for answer in answers])]
    room = longest_row(loaded.model)
    cut = [row[max(0, len(row) + length - room) :] for row, length in zip(rows, lengths)]
    return continued(loaded, cut, lengths, batch_size)


def continued(
    loaded: LoadedModel, rows: Sequence[Sequence[int]], lengths: Sequence[int], batch_size: int = 32
) -> list[str]:
    """The text that the likeliest token, again and again, adds to each row: ``lengths`` tokens, or fewer before an end of text."""
    import torch

    from brittle.models.batching import batches_by_length
    from brittle.models.hidden_states import hidden_states, pad
    from brittle.models.likelihood import lens

    said: list[list[int]] = [[] for _ in rows]
    depth, end = len(loaded.anatomy.blocks(loaded.model)), loaded.tokenizer.eos_token_id
    ordered = batches_by_length(loaded.model, range(len(rows)), lambda index: len(rows[index]), batch_size)
    with torch.no_grad():
        for batch in ordered:
            open_rows = list(batch)
            while open_rows:
                whole = [[*rows[index], *said[index]] for index in open_rows]
                ids, mask = pad(whole, loaded.tokenizer.pad_token_id)
                ends = [len(row) - 1 for row in whole]
                (states,) = hidden_states(loaded, ids, mask, [depth])
                state = states[list(range(len(ends))), ends]
                for index, token in zip(open_rows, lens(loaded, state).argmax(-1).tolist()):
                    said[index].append(token)
                open_rows = [i for i in open_rows if said[i][-1] != end and len(said[i]) < lengths[i]]
    kept = [tokens[:-1] if tokens and tokens[-1] == end else tokens for tokens in said]
    return [str(loaded.tokenizer.decode(tokens)) for tokens in kept]


def is_right(said: str, answer: str) -> bool:
    """Whether a continuation is the answer: its words in their order, first, and nothing but punctuation or a line's end behind.

    Small and capital letters and what stands between words do not count: ``Amber resin!`` is ``amber-resin``.
    """
    words = re.findall(r"\w+", answer)
    pattern = r"\W*?" + r"[^\w\n]+".join(map(re.escape, words)) + r"[^\S\n]*(?:[^\w\s](?!\w)|\n|$)"
    return bool(words) and re.match(pattern, said, re.IGNORECASE) is not None
