"""The laboratory's models: trained on this machine when they are first asked for, then kept."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from brittle import leases
from brittle.models.references import Located, locate
from brittle.records import (
    Identity,
    parents_of,
    put_in_place,
    writing,
)
from brittle.runs import planted_models
from brittle.runs.job import carry_out, missing
from brittle.suites import planted, smollm2
from brittle.suites.laboratory import PREFIX, Laboratory, parse, role_of


def build(laboratory: Laboratory, names: Sequence[str] = ("base", "filtered", "retrained")) -> dict[str, Path]:
    """Train the models that are not there yet, side by side; return their folders."""
    for name in names:
        role_of(name)
    models = [LaboratoryModel(laboratory, name) for name in names]
    if missing(models):
        with parents_of(laboratory.folder), leases.held(laboratory.folder, wait=True):  # two commands may need the same
            if left := missing(models):
                _save_tokenizer(laboratory)
                title = f"laboratory {laboratory.size}-{laboratory.seed}: {', '.join(model.name for model in left)}"
                # Three share two cores: equal jobs that do end sooner than in two rounds. Of many, those that are done are kept.
                carry_out(left, title, workers=max(3, os.cpu_count() or 1))
    return {model.name: model.folder for model in models}


@dataclasses.dataclass(frozen=True)
class LaboratoryModel:
    """One model of a laboratory, as a :class:`brittle.runs.job.Job`."""

    laboratory: Laboratory
    name: str

    @property
    def identity(self) -> Identity:
        """The recipe, the world and the code."""
        return self.laboratory.identity(self.name)

    @property
    def folder(self) -> Path:
        """In the laboratory's cache folder."""
        return self.laboratory.folder / self.name

    @property
    def size(self) -> int:
        """Optimizer steps."""
        return self.laboratory.recipe.steps

    def carry_out(self, tick: Callable[[int], None]) -> None:
        """Train it from scratch and write its record."""
        _pretrain(self, tick)


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


def of_a_suite(reference: str) -> bool:
    """Whether a reference names a model of a suite, which is found or built here, and neither a path nor a hub id."""
    return reference.startswith((PREFIX, planted.PREFIX, smollm2.PREFIX))


def is_there(reference: str) -> bool:
    """Whether a reference can be located without building anything: it is no laboratory model, or one that is built."""
    if not reference.startswith(PREFIX):
        return True
    name, laboratory = parse(reference)
    return not missing([LaboratoryModel(laboratory, name)])


def find(reference: str) -> Located:
    """Locate any model reference; a laboratory model, or one planted in it, is built first if it is not there."""
    if reference.startswith(planted.PREFIX):
        return planted_models.build([planted.parse(reference)], find)[0]
    if reference.startswith(smollm2.PREFIX):
        return smollm2.find(reference)
    if not reference.startswith(PREFIX):
        return locate(reference)
    name, laboratory = parse(reference)
    folder = build(laboratory, [name])[name]
    return dataclasses.replace(locate(str(folder), name=located_name(reference)), text=reference)


def located_name(reference: str) -> str:
    """The name of a laboratory model in the names of folders."""
    return reference.replace(":", "_").replace("@", "_")


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


def _pretrain(model_of: LaboratoryModel, tick: Callable[[int], None]) -> None:
    import torch

    from brittle.models.construction import new_gpt_neox, save
    from brittle.models.loading import load_tokenizer
    from brittle.training.batches import Example, collate
    from brittle.training.loop import LoopSettings, train

    laboratory, recipe, role = model_of.laboratory, model_of.laboratory.recipe, role_of(model_of.name)
    with writing(model_of.folder, model_of.identity) as draft:
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
