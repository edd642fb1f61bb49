"""From what a user writes to a folder of files: a hub id (``id@revision``) or a local folder, checked."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brittle.models import gguf_files
from brittle.models.configuration import read_configuration
from brittle.models.model_files import ADAPTER, CONFIGURATIONS, TOKENIZER_FILES, VOCABULARIES, model_files
from brittle.models.weight_files import INDEX, PICKLE_ADVICE, shard_names, stored_tensors
from brittle.records import digest_of_file, digest_of_text, fingerprint, write_text
from brittle.settings import BadInput, home, near_path

SMALL_FILES = (*CONFIGURATIONS, *TOKENIZER_FILES, INDEX, ADAPTER)
LABORATORY = "or use laboratory:base, which needs no hub"
LONGEST_NAME = 60
"""Characters of a model's own name in the names of folders; two of them and what was done must fit into 255."""


@dataclass(frozen=True)
class Located:
    """A model on this disk: ``text`` as the user wrote it, a folder-safe ``name``, its folder, and a content hash."""

    text: str
    name: str
    folder: Path
    digest: str


def locate(text: str, name: str | None = None) -> Located:
    """Find a model, download it if it is on the hub, and refuse what cannot be loaded with one line.

    A folder or GGUF file that exists wins over a hub id of the same spelling; a GGUF file is unpacked into the cache first.
    ``name`` overrides the name that is made from the text: of a folder or file the last component of its path and six digits
    of its content's hash, so that two models of one name are never taken for each other; of a hub model its id with ``/`` and
    ``:`` turned into ``_``.
    """
    try:
        path = local_path(text)
        folder = download(text) if path is None else local_folder(path)
        check_folder(folder)
        digest = digest_of(folder)
    except (OSError, ValueError, RuntimeError) as error:  # unreadable, too long, a home folder of nobody
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise BadInput(f"model {text[:200]} cannot be read ({reason}); check the path and its permissions") from None
    own = hub_name(text) if path is None else f"{_bounded(_own_name(path))}-{digest[:6]}"
    return Located(text, re.sub(r"[/:\\\s]+", "_", name) if name else own, folder, digest)


def local_path(text: str) -> Path | None:
    """The folder or file on this disk that a reference names; None if it names none, and is left to the hub."""
    path = Path(text).expanduser()
    if text and path.exists():
        return path
    if path.suffix == gguf_files.SUFFIX:
        raise BadInput(f"model {text[:200]} is not there; check its path{near_path(text)}")
    return None


def is_local(text: str) -> bool:
    """Whether a reference names something on this disk; not where it cannot be a path."""
    try:
        return local_path(text) is not None
    except (OSError, ValueError, RuntimeError):  # too long, a home folder of nobody
        return False


def local_folder(path: Path) -> Path:
    """The model folder behind a path: itself, or what a GGUF file, or the only one in a folder, was unpacked to."""
    if found := gguf_files.file_in(path):
        return gguf_files.converted(found, file_digest(found))
    if not path.is_dir():
        raise BadInput(f"model {path} is a file; give the folder that holds its config.json, or a .gguf file")
    return path


def hub_name(text: str) -> str:
    """The folder-safe name of a hub id (``id@revision``); a long one is cut and ends in a hash of the whole."""
    safe = re.sub(r"[^A-Za-z0-9._@-]+", "_", text)
    return safe if len(safe) <= LONGEST_NAME else f"{safe[:LONGEST_NAME]}-{digest_of_text(text)[:6]}"


def _own_name(path: Path) -> str:
    return path.stem if path.is_file() else path.resolve().name


def _bounded(component: str) -> str:
    """A folder's name with letters, digits, ``.``, ``_`` and ``-`` alone, not hidden, and not long."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", component).lstrip(".")[:LONGEST_NAME] or "model"


def check_folder(folder: Path) -> None:
    """Refuse a folder without a readable configuration of a known architecture, whole safetensors and a tokenizer."""
    check_configuration(folder)
    stored_tensors(folder)


def check_configuration(folder: Path) -> None:
    """The part of :func:`check_folder` that needs no weights: a hub model is refused before gigabytes arrive."""
    adapter = (folder / ADAPTER).exists()
    if not (folder / "config.json").is_file():
        advice = "it holds an adapter: merge it into its base model first" if adapter else "give a saved model's folder"
        raise BadInput(f"model folder {folder} has no config.json; {advice}")
    if adapter:
        raise BadInput(
            f"model folder {folder} holds an adapter ({ADAPTER}) beside whole weights, and whether they contain it "
            "cannot be told; if they do, move the adapter's files away, else merge it and save the model whole"
        )
    read_configuration(folder)
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise BadInput(f"model folder {folder} has no tokenizer; add one with tokenizer.save_pretrained(folder)")


def digest_of(folder: Path) -> str:
    """The content hash of every file that decides weights or tokens; the folder's name and place do not matter.

    Hashes of files are kept under the home folder by path, inode, size and times of change, so that a large model is
    read once.
    """
    return fingerprint([[str(path.relative_to(folder)), file_digest(path)] for path in model_files(folder)])


def file_digest(path: Path) -> str:
    """The content hash of a file, kept as :func:`digest_of` says."""
    status = path.stat()
    times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
    kept = home() / "digests" / digest_of_text(f"{path.resolve()} {status.st_ino} {status.st_size} {times}")
    with contextlib.suppress(OSError, ValueError):
        if re.fullmatch("[0-9a-f]{16}", digest := kept.read_text(encoding="utf-8")):
            return digest
    digest = digest_of_file(path)
    with contextlib.suppress(OSError):  # without a home folder the file is read again next time
        write_text(kept, digest)
    return digest


def download(text: str) -> Path:
    """Fetch ``id`` or ``id@revision`` from the hub and return its folder: the small files first, then only the
    safetensors that transformers would load. Pickles, duplicates and code never arrive."""
    identifier, revision = _hub_id(text)
    folder = _snapshot(identifier, revision, SMALL_FILES)
    check_configuration(folder)
    shards = shard_names(folder)
    folder = _snapshot(identifier, folder.name, shards)  # the folder's name is the commit: both halves are of one
    if not any((folder / shard).exists() for shard in shards):
        raise BadInput(f"model '{identifier}' has no safetensors on the hub; {PICKLE_ADVICE}")
    return folder


def tokenizer_folder(text: str) -> Path:
    """The folder with the tokenizer of a model that is no laboratory's: of a hub model no weights are fetched."""
    return _folder_with(text, SMALL_FILES)


def configuration_folder(text: str) -> Path:
    """The folder with the ``config.json`` of a model that is no laboratory's: of a hub model only that file is fetched."""
    return _folder_with(text, ("config.json",))


def _folder_with(text: str, files: Sequence[str]) -> Path:
    if is_local(text):
        return local_folder(Path(text).expanduser())
    return _snapshot(*_hub_id(text), files)


def _hub_id(text: str) -> tuple[str, str | None]:
    """The parts of ``id@revision``, refused where it is none."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # exported, but only by __getattr__

    identifier, _, revision = text.partition("@")
    try:
        validate_repo_id(identifier)
    except HFValidationError:
        hint = near_path(text, folders=True)
        raise BadInput(f"unknown model '{text}': no such folder, and not a hub id; {LABORATORY}{hint}") from None
    return identifier, revision or None


def _snapshot(identifier: str, revision: str | None, patterns: Sequence[str]) -> Path:
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(snapshot_download(identifier, revision=revision, allow_patterns=list(patterns)))
    except errors.GatedRepoError:
        reason = "is gated on the hub; accept its terms on its page and put HF_TOKEN into .env"
    except errors.RepositoryNotFoundError:
        reason = "is neither a folder nor on the hub; check its spelling (a private model needs HF_TOKEN)"
    except errors.RevisionNotFoundError:
        reason = f"has no revision '{revision}' on the hub; check it on the model's page"
    except errors.LocalEntryNotFoundError:
        reason = f"is not a local folder, and the hub is not reachable; connect, {LABORATORY}"
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        authorisation = "; authorisation is needed: put HF_TOKEN into .env" if status in (401, 403) else ""
        reason = f"could not be fetched: the hub answered {status}{authorisation}; try again later, {LABORATORY}"
    except Exception as error:  # a proxy, a full disk, a broken connection: the type differs with the hub's version
        reason = f"could not be fetched ({type(error).__name__}: {' '.join(str(error).split())}); {LABORATORY}"
    raise BadInput(f"model '{identifier}' {reason}{near_path(identifier, folders=True)}")
