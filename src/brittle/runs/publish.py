"""Upload a finished model to the Hugging Face hub: safetensors, tokenizer, tables and a card that holds the record."""

from __future__ import annotations

import json
from pathlib import Path

from brittle.records import RECORD, read_record
from brittle.runs import benchmark
from brittle.settings import BadInput

WORDS = {
    "forget_nll": "loss on held-out forget texts (nats per token)",
    "retain_nll": "loss on held-out retain texts (nats per token)",
    "accuracy_t": "accuracy on hazardous questions, half T",
    "accuracy_v": "accuracy on hazardous questions, half V",
    "accuracy_retain": "accuracy on benign questions",
}


def upload(folder: Path) -> str:
    """Create ``<user>/<folder's name>`` if need be and commit the folder in one step; returns the repository's name.

    Files are those that the records list, so nothing that happens to lie in the folder goes along. BadInput where
    the hub refuses (no token, no right, no network) or the weights were deleted.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    record = read_record(folder)
    measured = [path for path in (folder / benchmark.FOLDER).glob("*") if path.is_file()]
    files = sorted({*measured, *(folder / name for name in (record or {}).get("files", [])), folder / RECORD})
    if not record or not any(path.suffix == ".safetensors" for path in files):
        raise BadInput(
            f"{folder} holds no weights to upload; the command that made it, with --push-to-hub, makes them again"
        )
    interface = HfApi()
    try:
        repository = f"{interface.whoami()['name']}/{folder.name}"
        interface.create_repo(repository, exist_ok=True)
        interface.create_commit(
            repository,
            [
                CommitOperationAdd("README.md", card(folder).encode()),
                *(CommitOperationAdd(str(path.relative_to(folder)), str(path)) for path in files),
            ],
            commit_message=f"{record['settings']['method']}, record {record['fingerprint']}",
        )
    except Exception as problem:  # a refused token, no network, a full disk over there: nothing is lost here
        reason = str(problem).strip().partition("\n")[0][:160]
        raise BadInput(f"the hub did not take {folder.name} ({reason}); the model is safe here: {folder}") from None
    return repository


def card(folder: Path) -> str:
    """The model card: what was done to which base, what the model knows afterwards, what nobody has tried, the record."""
    record = read_record(folder) or {}
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    base, method = record["notes"].get("base", "unknown"), record["settings"]["method"]
    measured = [f"| {label} | {summary[key]:.3f} |" for key, label in WORDS.items() if key in summary]
    head = ["---", "library_name: transformers", "tags: [machine-unlearning, brittle]"]
    head += [f"base_model: {base}"] if "/" in base and ":" not in base else []
    lines = [
        *head, "---", "", f"# {folder.name}", "",
        f"`{base}` after machine unlearning with `{method}`, made and recorded by Brittle.", "",
        "Low scores on hazardous questions say that the knowledge does not show, not that it is gone: unless this card "
        "says otherwise, nobody has tried to bring it back.", "",
        "| measured after training | |", "|---|---|", *measured, "", *_benchmarks(folder),
        "## Settings", "", *(f"- `{key}`: {value}" for key, value in sorted(record["settings"].items())), "",
        "## Record", "", "```json", json.dumps(record, indent=1, sort_keys=True), "```", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _benchmarks(folder: Path) -> list[str]:
    path = folder / benchmark.FOLDER / "high_level_summary.md"
    return [*path.read_text(encoding="utf-8").splitlines()[2:], ""] if path.is_file() else []
