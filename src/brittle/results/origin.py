"""What a page rests on: records of one version of the code and one build of torch. Pages of records that mix them are refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from brittle.records import fingerprint
from brittle.settings import BadInput


def rests_on(folders: Sequence[tuple[str, Mapping[str, Mapping[str, Any]]]]) -> str:
    """In words, the fingerprint of all records (by their place in each named outputs folder) and the build of torch.

    Raises:
        BadInput: two records of one kind come from different code, or two of any kind from different builds of torch.
    """
    codes: dict[str, dict[str, str]] = defaultdict(dict)
    for name, records in folders:
        for place, record in records.items():
            inputs, settings = record.get("inputs"), record.get("settings")
            source = inputs.get("source") if isinstance(inputs, dict) else None
            kind = str(settings.get("attack", record.get("kind")) if isinstance(settings, dict) else record.get("kind"))
            torch = (record.get("versions") or {}).get("torch")
            for what, value in ((f"records of {kind}", source), ("records", torch and f"torch {torch}")):
                if value:
                    codes[what].setdefault(str(value), f"{name}/{place}")
    for what, found in codes.items():
        if len(found) > 1:
            one, other = list(found)[:2]
            raise BadInput(
                f"{what} are mixed: {found[one]} is of {_version(one)}, {found[other]} of {_version(other)}; a page rests "
                "on one version, so measure again, all into one new folder"
            )
    own = fingerprint([
        [name, {place: record.get("fingerprint") for place, record in sorted(records.items())}]
        for name, records in folders
    ])  # fmt: skip
    builds = list(codes["records"])
    return f"records {own}" + (f" ({builds[0]})" if builds else "")


def _version(value: str) -> str:
    return value if value.startswith("torch ") else f"code {value}"
