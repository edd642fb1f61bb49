"""What is to be forgotten and what is to be kept must not be the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from brittle import progress
from brittle.data.multiple_choice import Question
from brittle.settings import BadInput


def check_apart(
    hazardous: Mapping[str, Sequence[str | Question]], others: Mapping[str, Sequence[str | Question]]
) -> None:
    """Refuse hazardous texts or questions that are also the benign ones; count those that stand in both.

    Args:
        hazardous: items by the name of where they come from, as a message shows it.
        others: the same of what is kept.

    Raises:
        BadInput: all items of one side are those of another (the same file, or one of equal content).
    """
    for name, items in hazardous.items():
        own = {_key(item) for item in items}
        for other, kept in others.items():
            both = own & {_key(item) for item in kept}
            if not both:
                continue
            what = "questions" if isinstance(items[0], Question) else "texts"
            if both == own == {_key(item) for item in kept}:
                same = f"{name} and {other} hold the same {what}" if name != other else f"{name} is named twice"
                raise BadInput(
                    f"{same}, as what is to be forgotten and as what is to be kept; name another file for one of them"
                )
            progress.say(
                f"note: {len(both)} of {len(own)} {what} of {name} stand in {other}, too: they are to be forgotten and kept at once",
                once=True,
            )


def check_files_apart(texts: Mapping[str, Sequence[str]], files: Mapping[str, object], forget: str = "forget") -> None:
    """:func:`check_apart` for texts by split and the files they were read from: those of ``forget`` against all others."""
    if forget in texts:
        others = {str(files[split]): texts[split] for split in texts if split != forget}
        check_apart({str(files[forget]): texts[forget]}, others)


def _key(item: str | Question) -> str:
    return " ".join((item if isinstance(item, str) else item.question).split())
