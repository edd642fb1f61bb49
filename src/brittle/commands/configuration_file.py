"""``--config FILE.yaml``: flags by name, in a file that one can keep beside the results.

The names are the flags', with dashes or underscores; the values are written as on the command line, lists also as YAML
lists. What is on the command line wins over the file, the file over the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from brittle.data.marked_yaml import MarkedFile
from brittle.settings import BadInput, shortened

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def read(path: str, known: Mapping[str, str], switches: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The settings that a file names, as text; those in ``switches`` as True or False.

    ``known`` maps every spelling, without leading dashes, to its setting. Raises BadInput: the file cannot be read, is no
    YAML, names what is not known or one setting twice, or holds more than plain values and lists.
    """
    file = MarkedFile(path, "--config", "lines of NAME: VALUE, the names of the command's flags")
    return {
        name: _switch(file, node) if name in switches else file.value(node)
        for name, _, node in file.names(file.pairs(), known)
    }


def _switch(file: MarkedFile, node: yaml.Node) -> bool:
    text = file.value(node).lower()
    if text not in TRUE + FALSE:
        raise BadInput(f"{file.at(node)}: '{shortened(text)}' is neither true nor false")
    return text in TRUE
