"""What was measured of the references in one outputs folder, taken into another, where it would be measured again alike."""

from __future__ import annotations

import shutil
from pathlib import Path

from brittle import leases
from brittle.places import parents_of, put_in_place
from brittle.results.roles import REFERENCES
from brittle.runs.roles import plan_of

RUNS = Path("recovery", "runs")


def carry_over(source: Path, outputs: Path) -> int:
    """Copy the folders of ``source`` that name references alone and are not in ``outputs`` yet; return how many.

    A record counts there as it does anywhere: if its fingerprint is that of the work that is asked for. A copy is whole or
    not there.
    """
    models = {entry["name"]: entry["role"] in REFERENCES for entry in plan_of(source)["models"]}
    judged = [name for name, reference in models.items() if not reference]
    copied = 0
    for folder in sorted([*source.iterdir(), *(source / RUNS).glob("*")]) if models else ():
        place = outputs / folder.relative_to(source)
        known = any(folder.name.startswith(name) for name in models) and not any(name in folder.name for name in judged)
        if known and folder.is_dir() and not place.exists():
            with parents_of(place), leases.temporary(place) as temporary:
                shutil.copytree(folder, temporary)
                put_in_place(temporary, place)
            copied += 1
    return copied
