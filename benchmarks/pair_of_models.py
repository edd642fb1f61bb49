"""A base and a modified model on disk, texts and questions about nothing: what the diagnostics' benchmarks work on."""

from __future__ import annotations

import multiprocessing
import os
import random
from dataclasses import dataclass
from pathlib import Path

import torch

from brittle.data.multiple_choice import Question
from brittle.models.construction import new_gpt_neox, new_tokenizer, save

WORDS = [
    "amber",
    "badger",
    "cellar",
    "dawn",
    "ember",
    "falcon",
    "garden",
    "harbour",
    "island",
    "juniper",
    "kettle",
    "lantern",
    "meadow",
    "needle",
    "orchard",
    "pepper",
    "quarry",
    "river",
    "saddle",
    "timber",
    "umbrella",
    "velvet",
    "willow",
    "yarrow",
    "zephyr",
]


@dataclass(frozen=True)
class Shape:
    """A GPT-NeoX and what it is shown."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    texts: int
    """Per split."""
    words: tuple[int, int]
    """Shortest and longest text."""
    questions: int


SHAPES = {
    "full": Shape(50304, 768, 12, 12, 32, (20, 120), 24),
    "quick": Shape(16384, 384, 3, 6, 16, (20, 120), 16),
    "tiny": Shape(320, 32, 2, 2, 4, (3, 9), 6),
}
"""``full`` has the shapes of Pythia-160M."""


def folders(shape: Shape) -> tuple[Path, Path]:
    """Base and modified model; every matrix of the second differs by a matrix of rank 8 and a little noise.

    They are made in a process of their own, so that making them is no part of anyone's peak memory.
    """
    root = Path(os.environ["BRITTLE_HOME"]) / f"pair-{shape.layers}-{shape.width}-{shape.vocabulary}"
    if not root.exists():
        maker = multiprocessing.get_context("spawn").Process(target=make, args=(shape, root))
        maker.start()
        maker.join()
        if maker.exitcode != 0:
            raise RuntimeError(f"making the pair of models ended with {maker.exitcode}")
    return root / "base", root / "modified"


def make(shape: Shape, root: Path) -> None:
    """Write both models."""
    tokenizer = new_tokenizer([" ".join(WORDS)] * 50, 320)
    base = new_gpt_neox(shape.vocabulary, shape.width, shape.layers, shape.heads, 512, 0)
    save(base, tokenizer, root / "base")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in base.parameters():
            if parameter.dim() == 2:
                rows, columns = parameter.shape
                low = torch.randn(rows, 8, generator=generator) @ torch.randn(8, columns, generator=generator)
                parameter += 1e-3 * low + 1e-3 * torch.randn(rows, columns, generator=generator)
    save(base, tokenizer, root / "modified")


def texts(shape: Shape, times: int = 1) -> dict[str, list[str]]:
    """Texts by split; ``times`` as many."""
    generator = random.Random(0)
    return {
        split: [
            " ".join(generator.choices(WORDS, k=generator.randint(*shape.words))) for _ in range(times * shape.texts)
        ]
        for split in ("forget", "retain")
    }


def questions(shape: Shape) -> list[Question]:
    """Questions with four choices of one word."""
    generator = random.Random(1)
    asked = []
    for number in range(shape.questions):
        context = " ".join(generator.choices(WORDS, k=generator.randint(*shape.words)))
        asked.append(Question(f"{number} {context}", tuple(generator.sample(WORDS, 4)), number % 4, "none"))
    return asked


def questions_with_long_answers(shape: Shape) -> list[Question]:
    """Questions of 60 words with four choices of four to six."""
    generator = random.Random(2)

    def words(number: int) -> str:
        return " ".join(generator.choices(WORDS, k=number))

    return [
        Question(words(60), tuple(words(generator.randint(4, 6)) for _ in range(4)), number % 4, "none")
        for number in range(shape.questions)
    ]
