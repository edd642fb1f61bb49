"""From what a user writes to a folder of files: a hub id (``id@revision``) or a local folder, checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brittle.models.anatomy import anatomy_of
from brittle.models.weight_files import PICKLE_ADVICE, read_json, shard_names, weight_files
from brittle.records import digest_of_file, digest_of_text, fingerprint, write_text
from brittle.settings import BadInput, home

# Any one of these is a tokenizer's vocabulary; its other files cannot stand alone.
VOCABULARIES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
SMALL_FILES = (
    "config.json", "generation_config.json", "model.safetensors.index.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "merges.txt", "chat_template.*", *VOCABULARIES,
)  # fmt: skip
LABORATORY = "or use laboratory:base, which needs no hub"


@dataclass(frozen=True)
class Located:
    """A model on this disk: ``text`` as the user wrote it, a folder-safe ``name``, its folder, and a content hash."""

    text: str
    name: str
    folder: Path
    digest: str


def locate(text: str, name: str | None = None) -> Located:
    """Find a model, download it if it is on the hub, and refuse what cannot be loaded with one line.

    A folder that exists wins over a hub id of the same spelling. ``name`` overrides the name that is made from the
    text: the last component of a folder's path, or the hub id with ``/`` and ``:`` turned into ``_``.
    """
    path = Path(text).expanduser()
    if text and path.is_dir():
        folder, found_name = path, path.resolve().name
    elif path.is_file():
        raise BadInput(f"model {text} is a file; give the folder that holds its config.json")
    else:
        folder, found_name = download(text), text
    check_folder(folder)
    return Located(text, re.sub(r"[/:\\\s]+", "_", name or found_name), folder, digest_of(folder))


def check_folder(folder: Path) -> None:
    """Refuse a folder without a readable configuration of a known architecture, whole safetensors and a tokenizer."""
    check_configuration(folder)
    weight_files(folder)


def check_configuration(folder: Path) -> None:
    """The part of :func:`check_folder` that needs no weights: a hub model is refused before gigabytes arrive."""
    if not (folder / "config.json").is_file():
        adapter = (folder / "adapter_config.json").is_file()
        advice = "it holds an adapter: merge it into its base model first" if adapter else "give a saved model's folder"
        raise BadInput(f"model folder {folder} has no config.json; {advice}")
    anatomy_of(read_json(folder / "config.json"))
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise BadInput(f"model folder {folder} has no tokenizer; add one with tokenizer.save_pretrained(folder)")


def digest_of(folder: Path) -> str:
    """The content hash of configuration, tokenizer and weights; the folder's name and place do not matter.

    The tokenizer counts because it decides what every text is to the model. Hashes of files are kept under the home
    folder by path, size and time of change, so that a large model is read once.
    """
    small = [folder / name for name in ("config.json", *VOCABULARIES) if (folder / name).is_file()]
    return fingerprint([_file_digest(path) for path in [*small, *weight_files(folder)]])


def _file_digest(path: Path) -> str:
    status = path.stat()
    key = digest_of_text(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}")
    kept = home() / "digests" / key
    if kept.is_file():
        return kept.read_text(encoding="utf-8")
    digest = digest_of_file(path)
    write_text(kept, digest)
    return digest


def download(text: str) -> Path:
    """Fetch ``id`` or ``id@revision`` from the hub and return its folder: the small files first, then only the
    safetensors that transformers would load. Pickles, duplicates and code never arrive."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    identifier, _, revision = text.partition("@")
    try:
        validate_repo_id(identifier)
    except HFValidationError:
        raise BadInput(f"unknown model '{text}': no such folder, and not a hub id; {LABORATORY}") from None
    folder = _snapshot(identifier, revision or None, SMALL_FILES)
    check_configuration(folder)
    shards = shard_names(folder)
    folder = _snapshot(identifier, folder.name, shards)  # the folder's name is the commit: both halves are of one
    if not any((folder / shard).exists() for shard in shards):
        raise BadInput(f"model '{identifier}' has no safetensors on the hub; {PICKLE_ADVICE}")
    return folder


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
    raise BadInput(f"model '{identifier}' {reason}")
