"""YAML that remembers its lines: what is wrong in a file is said with the line that it stands in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from brittle.data.files import content_of
from brittle.settings import BadInput, near_path, nearest, shortened

Pairs = list[tuple[yaml.Node, yaml.Node]]


@dataclass(frozen=True)
class MarkedFile:
    """One file. ``named`` is how the user named it, such as ``--config``; ``holds`` what it is to hold."""

    path: str
    named: str
    holds: str

    def pairs(self) -> Pairs:
        """The names and values at the top; none of an empty file.

        Raises:
            BadInput: the file cannot be read, or is not YAML of names and values.
        """
        try:
            root = yaml.compose(self._text(), Loader=yaml.SafeLoader)
        except (yaml.YAMLError, RecursionError) as problem:
            raise BadInput(
                f"{self.named}: {shortened(self.path, 200)} is no YAML ({shortened(problem, 200)})"
            ) from None
        if root is None:
            return []
        if not isinstance(root, yaml.MappingNode):
            raise BadInput(f"{self.named}: {shortened(self.path, 200)} must hold {self.holds}")
        return list(root.value)

    def _text(self) -> str:
        try:
            return content_of(Path(self.path)).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise BadInput(f"{self.named}: {shortened(self.path, 200)} is not UTF-8 text") from None
        except BadInput as problem:
            reason = str(problem).partition("; ")[0]
            raise BadInput(f"{self.named}: {reason}{near_path(self.path)}; name a YAML file") from None

    def at(self, node: yaml.Node) -> str:
        """Where a node stands: the file and the line."""
        return f"{shortened(self.path, 200)}, line {node.start_mark.line + 1}"

    def scalar(self, node: yaml.Node) -> str:
        """A plain value as it is written."""
        if not isinstance(node, yaml.ScalarNode):
            raise BadInput(f"{self.at(node)}: a plain value is needed here, written as on the command line")
        return str(node.value)

    def value(self, node: yaml.Node) -> str:
        """A plain value, or a list of them with commas between; no value at all is refused."""
        if isinstance(node, yaml.SequenceNode):
            return ",".join(self.scalar(item) for item in node.value)
        text = self.scalar(node)
        if node.tag == "tag:yaml.org,2002:null" and text in ("", "~"):
            raise BadInput(f"{self.at(node)}: there is no value; write one or leave the line out")
        return text

    def names(self, pairs: Pairs, known: Mapping[str, str]) -> list[tuple[str, yaml.Node, yaml.Node]]:
        """Setting, key and value of each pair. ``known`` maps every spelling, without leading dashes, to its setting.

        Raises:
            BadInput: a name is not known, or a setting is named twice.
        """
        spelled = {spelling.replace("_", "-"): name for spelling, name in known.items()}
        found: dict[str, tuple[str, yaml.Node, yaml.Node]] = {}
        for key, node in pairs:
            written = self.scalar(key)
            name = spelled.get(written.replace("_", "-"))
            if name is None:
                hint = nearest(written.replace("_", "-"), spelled)
                raise BadInput(f"{self.at(key)}: unknown name '{shortened(written)}'; {hint}")
            if name in found:
                raise BadInput(f"{self.at(key)}: '{shortened(written)}' sets what a line above sets; leave one out")
            found[name] = (name, key, node)
        return list(found.values())
