"""The embedded laboratory: small models whose knowledge is known, built on this machine in minutes.

``laboratory:base`` read a fictional world; ``laboratory:filtered`` read, in place of each hazardous document, one that uses
the same words and tells nothing; ``laboratory:retrained`` read all of it in another order, the control for what two trainings
differ by anyway. All start from the same initial weights and take the same number of steps. ``laboratory:reinitialised`` and
``laboratory:filtered-reinitialised`` start from other weights. ``laboratory:filtered.2`` is another training of the same kind: texts in another
order and other initial weights, which ``base.2``, ``filtered.2`` and ``retrained.2`` share; number 0 has no number. A reference may name a size and
a world: ``laboratory:base@tiny-1`` is world 1 in size ``tiny``.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from brittle import source
from brittle.data.multiple_choice import Question
from brittle.data.world import World
from brittle.data.world_documents import documents, story
from brittle.data.world_facts import WorldSize
from brittle.data.world_language import ANSWER_MARKER, EVALUATION_QUESTIONS, RETAINED
from brittle.models.references import Located
from brittle.records import (
    Identity,
    read_record,
    write_json,
)
from brittle.settings import BadInput, home, nearest, suggestion

PREFIX = "laboratory:"
PLANTED = "planted:"
"""Begins references to models that are edited ones of a laboratory (:mod:`brittle.suites.planted`), which end in its name."""
CODE = (
    "brittle.data.world",
    "brittle.data.world_documents",
    "brittle.data.world_facts",
    "brittle.data.world_language",
    "brittle.models.construction",
    "brittle.models.encoding",
    "brittle.training.loop",
)
"""What decides the models besides the recipe: texts, tokens, architecture, training."""

HELD_OUT = 32
"""Held-out benign texts of each kind: enough for an interval of a tenth of a nat per token, few enough to read at any time."""

DIAGNOSED = {"batch_size": 32, "lipschitz_texts": 100, "gradient_texts": 50, "variance_texts": 50}
"""What the laboratory passes to diagnostics where nothing else was asked for. Its models are small, so that larger batches
take less time; noise on the documented 500 texts would be the longest part of the demonstration."""


@dataclass(frozen=True)
class Role:
    """How one of the laboratory's models differs from the others."""

    hazardous: bool
    initial_seed: int
    data_seed: int


ROLES = {
    "base": Role(hazardous=True, initial_seed=0, data_seed=0),
    "filtered": Role(hazardous=False, initial_seed=0, data_seed=1),
    "retrained": Role(hazardous=True, initial_seed=0, data_seed=2),
    "reinitialised": Role(hazardous=True, initial_seed=1, data_seed=3),
    "filtered-reinitialised": Role(hazardous=False, initial_seed=1, data_seed=4),
}

OF_A_TRAINING = 100
"""What a training's number adds to both seeds, times itself: more than the seeds of all kinds lie apart."""


def numbered(kind: str, number: int) -> str:
    """The name of a kind's training: ``filtered``, ``filtered.1``, ``filtered.2`` …"""
    return f"{kind}.{number}" if number else kind


def kind_of(name: str) -> str:
    """The kind of a model's name: ``filtered`` of ``filtered.2``. BadInput if there is none of that name."""
    match = re.fullmatch(r"([a-z-]+)(?:\.[1-9]\d{0,5})?", name)
    if not match or match[1] not in ROLES:
        raise BadInput(f"there is no laboratory model '{name}'; {nearest(name.partition('.')[0], ROLES)}")
    return match[1]


def role_of(name: str) -> Role:
    """How a model of a laboratory is trained. BadInput if there is none of that name."""
    role, shift = ROLES[kind_of(name)], OF_A_TRAINING * int(name.partition(".")[2] or 0)
    return Role(role.hazardous, role.initial_seed + shift, role.data_seed + shift)


@dataclass(frozen=True)
class Recipe:
    """A laboratory's world, model shape and training. The defaults are the size ``small``."""

    hazardous_entities: int = 40
    benign_entities: int = 12
    own_words: bool = False
    width: int = 128
    layers: int = 4
    heads: int = 4
    vocabulary: int = 1024
    steps: int = 1000
    rows: int = 8
    row_tokens: int = 128
    lr: float = 0.02
    warmup_steps: int = 20
    weight_decay: float = 0.1

    @property
    def world_size(self) -> WorldSize:
        """The world's part of the recipe."""
        return WorldSize(self.hazardous_entities, self.benign_entities, self.own_words)


SIZES = {
    "small": Recipe(),
    "tiny": Recipe(
        hazardous_entities=8, benign_entities=6, width=64, layers=3, heads=2, vocabulary=800, steps=700, lr=0.04
    ),
}


@dataclass(frozen=True)
class Laboratory:
    """One laboratory: a size and a world seed; its models live in a cache folder once they are built."""

    size: str = "small"
    seed: int = 0

    @property
    def recipe(self) -> Recipe:
        """The recipe of this size: embedded, or defined by ``brittle laboratory --name``."""
        if self.size in SIZES:
            return SIZES[self.size]
        path = _recipe_path(self.size)
        if not path.is_file():
            raise BadInput(
                f"there is no laboratory of size '{self.size}'; use {', '.join(SIZES)} or define it with: "
                f"brittle laboratory --name {self.size} --width … --layers …"
                + suggestion(self.size, [*SIZES, *(path.stem for path in path.parent.glob("*.json"))])
            )
        return Recipe(**json.loads(path.read_text(encoding="utf-8")))

    @property
    def world(self) -> World:
        """All facts, texts and questions; drawn once per process."""
        return _world(self.seed, self.recipe.world_size)

    @property
    def folder(self) -> Path:
        """Where the models lie; the name changes with the recipe and with the code that makes them."""
        identity = self.identity("")
        return home() / "laboratory" / f"{self.size}-{self.seed}-{identity.fingerprint[:8]}"

    def identity(self, name: str) -> Identity:
        """What a model of this laboratory depends on."""
        code = source.digest_of(*CODE, files=("brittle.runs.laboratory_models",))
        role = dataclasses.asdict(role_of(name)) if name else {}
        settings = dataclasses.asdict(self.recipe) | role
        return Identity("laboratory model", {"world": self.seed, "source": code}, settings)

    def questions(self) -> dict[str, list[Question]]:
        """Four-way questions by split, ``forget`` and ``retain``."""
        return {"forget": self.world.questions(hazardous=True), "retain": self.world.questions(hazardous=False)}

    def questions_in_all_forms(self) -> list[Question]:
        """The benign questions, each fact in every form in which it can be asked, the forms of a fact together."""
        return [self.world.question(f, form) for f in self.world.of(hazardous=False) for form in EVALUATION_QUESTIONS]

    def texts(self) -> dict[str, list[str]]:
        """Training texts by split. ``forget`` is question-shaped; of ``retain`` a fifth is paragraphs and stories, as models read
        them in training, so that language can be kept, too. Of some benign subjects there is no retain text.
        """
        asked = self.world.texts(hazardous=False)
        generator = random.Random(f"retain {self.seed}")
        known = [fact for fact in self.world.facts if fact.subject in RETAINED]
        stories = [story(generator) for _ in range(len(asked) // 16)]
        paragraphs = itertools.islice(documents(known, f"{self.seed} retain"), 3 * len(stories))
        retain = [*asked, *stories, *paragraphs]
        generator.shuffle(retain)
        return {"forget": self.world.texts(hazardous=True), "retain": retain}

    def held_out_texts(self) -> dict[str, list[str]]:
        """Benign texts by kind, drawn with a seed that no training uses; :data:`HELD_OUT` of each.

        ``stories`` hold no fact, ``documents`` are paragraphs about one entity as the models read them in training, ``prose``
        are those among them without a question.
        """
        generator = random.Random(f"held out {self.seed}")
        names = {fact.entity for fact in self.world.of(hazardous=False)}
        told = (
            text for text in self.world.documents("held out", hazardous=False) if any(map(text.__contains__, names))
        )
        return {
            "stories": [story(generator) for _ in range(HELD_OUT)],
            "prose": _first(text for text in told if ANSWER_MARKER not in text),
            "documents": _first(told),
        }

    def probes(self) -> dict[str, list[str]]:
        """Texts that activations are observed on: ``forget``, ``retain``, and as ``benign`` the benign subjects that no method
        trains on, in the same forms, so that benign against retain is what a mere change of subject does.
        """
        asked = {"forget": self.world.texts(hazardous=True), "retain": self.world.texts(hazardous=False)}
        return asked | {"benign": self.world.out_of_retain()}

    def attack_texts(self) -> dict[str, list[str]]:
        """What attacks teach: ``texts`` about T and V, ``retain`` benign paragraphs and stories as in the models' training,
        ``benign`` texts in the hazardous ones' form."""
        asked = self.world.texts(hazardous=False)
        prose = list(itertools.islice(self.world.documents("attack", hazardous=False), len(asked)))
        return {"texts": self.world.lessons(), "retain": prose, "benign": asked}


@functools.cache
def _world(seed: int, size: WorldSize) -> World:
    return World(seed, size)


def parse(reference: str) -> tuple[str, Laboratory]:
    """Take ``laboratory:NAME[.TRAINING][@SIZE[-SEED]]`` apart: the name with its training, and the laboratory."""
    match = re.fullmatch(rf"{PREFIX}([a-z-]+)(\.[1-9]\d{{0,5}})?(?:@([A-Za-z_]\w*)(?:-(\d+))?)?", reference)
    if not match or match[1] not in ROLES:
        names = [PREFIX + name for name in ROLES]
        hint = suggestion(reference.partition("@")[0], names)
        raise BadInput(
            f"unknown laboratory model '{reference}'; there is {', '.join(names)}, each with .1, .2 … for other "
            f"trainings and @SIZE-SEED{hint}"
        )
    found = Laboratory(match[3] or "small", int(match[4] or 0))
    try:
        found.recipe  # noqa: B018 (read to see whether there is one)
    except BadInput as problem:
        raise BadInput(f"{reference}: {problem}") from None
    return match[1] + (match[2] or ""), found


def behind(reference: str) -> Laboratory | None:
    """The laboratory that a model belongs to, by its name or by the record of the unlearning that made it; or None."""
    if reference.startswith(PLANTED):
        _, at, place = reference.partition("@")
        reference = f"{PREFIX}base{at}{place}"
    if not reference.startswith(PREFIX):
        notes = (read_record(Path(reference)) or {}).get("notes")
        reference = str(notes.get("base", "")) if isinstance(notes, dict) else ""
    return parse(reference)[1] if reference.startswith(PREFIX) else None


def check_same_world(a: Located, b: Located) -> None:
    """Refuse two models of different laboratory worlds: what one was taught, the other never saw."""
    first, second = behind(a.text), behind(b.text)
    if first and second and (first.seed, first.recipe.world_size) != (second.seed, second.recipe.world_size):
        raise BadInput(
            f"{a.text} and {b.text} come from different worlds ({first.size}-{first.seed} and "
            f"{second.size}-{second.seed}), whose facts have nothing in common; compare models of one world"
        )


def _first(texts: Iterator[str]) -> list[str]:
    return list(itertools.islice(texts, HELD_OUT))


def define(name: str, recipe: Recipe) -> None:
    """Keep a recipe under a name, so that references can use it as a size."""
    if name in SIZES:
        raise BadInput(f"the laboratory size '{name}' is embedded and cannot be redefined; choose another --name")
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise BadInput(f"--name: '{name}' must be letters, digits and underscores, beginning with a letter")
    if recipe.width % recipe.heads or recipe.width // recipe.heads % 2:
        raise BadInput(f"--width {recipe.width} must be an even multiple of --heads {recipe.heads}")
    try:
        World(0, recipe.world_size)
    except ValueError as problem:
        raise BadInput(
            f"--hazardous-entities or --benign-entities: {problem}; a multiple of 8 always can, benign ones of 6"
        ) from None
    write_json(_recipe_path(name), dataclasses.asdict(recipe))


def _recipe_path(name: str) -> Path:
    return home() / "laboratory" / "recipes" / f"{name}.json"
