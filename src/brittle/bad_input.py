"""The one exception for what a user can mend."""

from __future__ import annotations


class BadInput(Exception):
    """Something the user can mend: the message is one line that says what, why and what to do. Exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def shortened(text: object, length: int = 40) -> str:
    """What a user wrote, as it can stand in a message: on one line, not long, printable everywhere."""
    line = " ".join(str(text).split()).encode("utf-8", "backslashreplace").decode()
    return line if len(line) <= length else line[:length] + "…"
