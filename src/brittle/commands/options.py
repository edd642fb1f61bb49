"""Settings of commands that have no workflow of their own to declare them."""

from __future__ import annotations

from dataclasses import dataclass

from brittle.settings import LARGEST_SEED, setting


@dataclass(frozen=True)
class ReportSettings:
    """The report of an outputs folder."""

    figures: str | None = setting(None, "also write the main figures to this folder, as svg, png and csv")


@dataclass(frozen=True)
class SignatureSettings:
    """One row per unlearned model, and a page of all measures."""

    page: str | None = setting(None, "also write the table of all measures to this Markdown file")
    attacks_page: str | None = setting(None, "also write the tables of what came back to this Markdown file")


@dataclass(frozen=True)
class AttacksSettings:
    """List the attacks, write their pages."""

    page: str | None = setting(None, "write the attacks' pages to this file")


@dataclass(frozen=True)
class DemoSettings:
    """The demonstration: the whole pipeline in the laboratory."""

    size: str = setting("small", "size of the laboratory", environment="LABORATORY_SIZE")
    world: int = setting(
        0, "seed of the laboratory's world", environment="LABORATORY_WORLD", minimum=0, maximum=LARGEST_SEED
    )
    methods: str = setting("grad_diff,rmu,cb_lat,wt_dist", "unlearning methods to show", environment="METHODS")
    outroot: str = setting("outputs", "folder for results", environment="OUTROOT")
    force: bool = setting(False, "run everything again")


@dataclass(frozen=True)
class LaboratorySettings:
    """Build a laboratory, or define a larger one for a GPU."""

    size: str = setting("small", "embedded size or one defined with --name")
    world: int = setting(0, "seed of the world", minimum=0, maximum=LARGEST_SEED)
    models: str = setting("base,filtered,retrained", "models to build (also: reinitialised)")
    name: str | None = setting(
        None, "define a size of this name from the flags below, starting from --size, and build it"
    )
    width: int | None = setting(None, "width of the residual stream", minimum=8, maximum=32_768)
    layers: int | None = setting(None, "transformer blocks", minimum=1, maximum=1_000)
    heads: int | None = setting(None, "attention heads", minimum=1, maximum=1_000)
    steps: int | None = setting(None, "training steps", minimum=1, maximum=10_000_000)
    rows: int | None = setting(None, "rows of 128 tokens per step", minimum=1, maximum=10_000)
    lr: float | None = setting(None, "peak learning rate", above=0)
    vocabulary: int | None = setting(None, "largest number of tokens", minimum=300, maximum=1_000_000)
    hazardous_entities: int | None = setting(
        None, "hazardous entities, six facts each; a multiple of 8", minimum=8, maximum=10_000
    )
    benign_entities: int | None = setting(
        None, "entities per benign subject, four facts each; a multiple of 6", minimum=6, maximum=10_000
    )


@dataclass(frozen=True)
class MethodsSettings:
    """List the unlearning methods, measure them in the laboratory, write their pages."""

    measure: bool = setting(False, "run every method at its laboratory preset and write methods.csv (about 10 minutes)")
    only: str = setting("", "measure these methods alone, with commas between them")
    seeds: str = setting("42,123,456", "seeds of the measurement", environment="SEEDS")
    outroot: str = setting("outputs/methods", "folder for the measurement")
    page: str | None = setting(None, "write the methods' pages to this file")
    results: str = setting("benchmarks/results/methods.csv", "table of the measurement that the pages show")
