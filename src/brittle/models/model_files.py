"""Which files of a folder decide a model's weights and tokens: those are hashed, and nothing else is loaded.

transformers reads whatever it finds in a folder: an adapter beside whole weights is added to them, a second copy of the
weights or a file of code may win. It is therefore shown a folder of links to exactly the files that the digest covers.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from brittle.models.weight_files import INDEX, SINGLE, weight_files
from brittle.settings import BadInput

# Any one of these is a tokenizer's vocabulary; its other files cannot stand alone.
VOCABULARIES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
TOKENIZER_FILES = (
    *VOCABULARIES, "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja", "chat_template.json", "additional_chat_templates/*.jinja",
)  # fmt: skip
CONFIGURATIONS = ("config.json", "generation_config.json")
ADAPTER = "adapter_config.json"


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a folder that decide what a text's tokens are, in the order of :data:`TOKENIZER_FILES`."""
    return _present(folder, TOKENIZER_FILES)


def model_files(folder: Path) -> list[Path]:
    """All files of a folder that decide a model: configuration, tokenizer, the weights in use and their index."""
    weights = weight_files(folder)
    index = [] if weights == [folder / SINGLE] else [folder / INDEX]
    return [*_present(folder, CONFIGURATIONS), *tokenizer_files(folder), *index, *weights]


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy a folder's tokenizer files byte for byte."""
    for path in tokenizer_files(source):
        place = folder / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


@contextlib.contextmanager
def only(folder: Path, files: Iterable[Path]) -> Iterator[Path]:
    """A temporary folder of links to these files of ``folder`` and to nothing else."""
    with tempfile.TemporaryDirectory(prefix="brittle-model-") as name:
        for path in files:
            link = Path(name) / path.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
        yield Path(name)


def _present(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """The files of these names; one that is there but cannot be read as a file is refused, not passed over."""
    found = []
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)) if "*" in pattern else [folder / pattern]:
            if path.is_file():
                found.append(path)
            elif path.is_symlink() or path.exists():
                raise BadInput(f"{path} is a folder or a link that leads nowhere; download or copy the model again")
    return found
