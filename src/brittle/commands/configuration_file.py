"""``--config FILE.yaml``: flags by name, in a file that one can keep beside the results.

The names are the flags', with dashes or underscores; the values are written as on the command line, lists also as YAML
lists. What is on the command line wins over the file, the file over the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from brittle.data.files import content_of
from brittle.settings import BadInput, near_path, nearest, shortened

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def read(path: str, known: Mapping[str, str], switches: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The settings that a file names, as text; those in ``switches`` as True or False.

    ``known`` maps every spelling, without leading dashes, to its setting. Raises BadInput: the file cannot be read, is no
    YAML, names what is not known or one setting twice, or holds more than plain values and lists.
    """
    given: dict[str, Any] = {}
    spelled = {spelling.replace("_", "-"): name for spelling, name in known.items()}
    for key, node in _pairs(path):
        written = _scalar(path, key)
        name = spelled.get(written.replace("_", "-"))
        if name is None:
            hint = nearest(written.replace("_", "-"), spelled)
            raise BadInput(f"{_at(path, key)}: unknown name '{shortened(written)}'; {hint}")
        if name in given:
            raise BadInput(f"{_at(path, key)}: '{shortened(written)}' sets what a line above sets; leave one out")
        given[name] = _switch(path, node) if name in switches else _value(path, node)
    return given


def _pairs(path: str) -> list[tuple[yaml.Node, yaml.Node]]:
    try:
        text = _text(path)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as problem:
        raise BadInput(f"--config: {shortened(path, 200)} is no YAML ({shortened(problem, 200)})") from None
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode):
        raise BadInput(
            f"--config: {shortened(path, 200)} must hold lines of NAME: VALUE, the names of the command's flags"
        )
    return list(root.value)


def _text(path: str) -> str:
    """The text of a configuration file."""
    try:
        return content_of(Path(path)).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"--config: {shortened(path, 200)} is not UTF-8 text") from None
    except BadInput as problem:
        reason = str(problem).partition("; ")[0]
        raise BadInput(f"--config: {reason}{near_path(path)}; name a YAML file of flags") from None


def _at(path: str, node: yaml.Node) -> str:
    return f"{shortened(path, 200)}, line {node.start_mark.line + 1}"


def _scalar(path: str, node: yaml.Node) -> str:
    """A plain value as it is written."""
    if not isinstance(node, yaml.ScalarNode):
        raise BadInput(f"{_at(path, node)}: a plain value is needed here, written as on the command line")
    return str(node.value)


def _value(path: str, node: yaml.Node) -> str:
    if isinstance(node, yaml.SequenceNode):
        return ",".join(_scalar(path, item) for item in node.value)
    text = _scalar(path, node)
    if node.tag == "tag:yaml.org,2002:null" and text in ("", "~"):
        raise BadInput(f"{_at(path, node)}: there is no value; write one or leave the line out")
    return text


def _switch(path: str, node: yaml.Node) -> bool:
    text = _value(path, node).lower()
    if text not in TRUE + FALSE:
        raise BadInput(f"{_at(path, node)}: '{shortened(text)}' is neither true nor false")
    return text in TRUE
