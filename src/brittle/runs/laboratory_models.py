"""The laboratory's models: trained on this machine when they are first asked for, then kept."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from brittle import leases
from brittle.models.references import Located, locate
from brittle.records import (
    is_complete,
    parents_of,
    put_in_place,
    writing,
)
from brittle.runs import executor
from brittle.settings import BadInput, nearest
from brittle.suites.laboratory import PREFIX, ROLES, Laboratory, parse


def build(laboratory: Laboratory, names: Sequence[str] = ("base", "filtered", "retrained")) -> dict[str, Path]:
    """Train the models that are not there yet, side by side; return their folders."""
    if unknown := [name for name in names if name not in ROLES]:
        raise BadInput(f"there is no laboratory model '{unknown[0]}'; {nearest(unknown[0], ROLES)}")
    if _missing(laboratory, names):
        with parents_of(laboratory.folder), leases.held(laboratory.folder, wait=True):  # two commands may need the same
            _train(laboratory, _missing(laboratory, names))
    return {name: laboratory.folder / name for name in names}


def _missing(laboratory: Laboratory, names: Sequence[str]) -> list[str]:
    return [name for name in names if not is_complete(laboratory.folder / name, laboratory.identity(name))]


def _train(laboratory: Laboratory, missing: Sequence[str]) -> None:
    if missing:
        _save_tokenizer(laboratory)
        jobs = [executor.Job(_pretrain, (laboratory, name), laboratory.recipe.steps) for name in missing]
        # All at once, also with fewer cores than models: equal jobs that share cores end sooner than in two rounds.
        title = f"laboratory {laboratory.size}-{laboratory.seed}: {', '.join(missing)}"
        executor.run(jobs, title, workers=len(jobs))


def _save_tokenizer(laboratory: Laboratory) -> None:
    from brittle.models.construction import new_tokenizer

    folder = laboratory.folder / "tokenizer"
    if folder.is_dir():
        return
    corpus = itertools.islice(laboratory.world.documents("tokenizer"), 40 * laboratory.recipe.hazardous_entities)
    laboratory.folder.mkdir(parents=True, exist_ok=True)
    with leases.temporary(folder) as temporary:
        new_tokenizer(corpus, laboratory.recipe.vocabulary).save_pretrained(temporary)
        put_in_place(temporary, folder)


def find(reference: str) -> Located:
    """Locate any model reference; a laboratory model is built first if it is not there."""
    if not reference.startswith(PREFIX):
        return locate(reference)
    name, laboratory = parse(reference)
    folder = build(laboratory, [name])[name]
    return dataclasses.replace(locate(str(folder), name=reference.replace(":", "_").replace("@", "_")), text=reference)


def _packed_rows(tokenizer: Any, documents: Iterator[str], row_tokens: int) -> Iterator[tuple[int, ...]]:
    """Rows of exactly ``row_tokens`` tokens: documents one after the other, each begun by the end-of-text token."""
    from brittle.models.encoding import encode

    waiting: list[int] = []
    for some in iter(lambda: list(itertools.islice(documents, 64)), []):
        for tokens in encode(tokenizer, some):
            waiting += [tokenizer.eos_token_id, *tokens]
            while len(waiting) >= row_tokens:
                yield tuple(waiting[:row_tokens])
                del waiting[:row_tokens]


def _pretrain(laboratory: Laboratory, name: str, tick: Callable[[int], None]) -> None:
    """Train one model from scratch and write its record."""
    import torch

    from brittle.models.construction import new_gpt_neox, save
    from brittle.models.loading import load_tokenizer
    from brittle.training.batches import Example, collate
    from brittle.training.loop import LoopSettings, train

    recipe, role = laboratory.recipe, ROLES[name]
    with writing(laboratory.folder / name, laboratory.identity(name)) as draft:
        tokenizer = load_tokenizer(laboratory.folder / "tokenizer")
        documents = laboratory.world.documents(f"training {role.data_seed}", role.hazardous)
        rows = _packed_rows(tokenizer, documents, recipe.row_tokens)
        counted = (False,) + (True,) * (recipe.row_tokens - 1)

        def supply(_step: int) -> list[dict[str, Any]]:
            examples = [Example(next(rows), counted) for _ in range(recipe.rows)]
            return [{"text": collate(examples, range(recipe.rows), tokenizer.pad_token_id)}]

        model: Any = new_gpt_neox(len(tokenizer), recipe.width, recipe.layers, recipe.heads, 512, role.initial_seed)
        settings = LoopSettings(
            recipe.steps, recipe.lr, "muon", "linear", recipe.warmup_steps, recipe.weight_decay, betas=(0.9, 0.98)
        )
        device = "cuda" if torch.cuda.is_available() else "cpu"
        history = train(
            model.to(device), supply, lambda step: {"text": step.negative_log_likelihood("text")}, settings,
            device=device, listeners=[lambda *_: tick(1)],
        )  # fmt: skip
        save(model.to("cpu"), tokenizer, draft.folder)
        draft.note(final_loss=history.terms[-1]["text"], tokens=recipe.steps * recipe.rows * recipe.row_tokens)
