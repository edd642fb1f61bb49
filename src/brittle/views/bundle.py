"""A folder of pages that shows an experiment without a server: opened from the disk, with nothing to fetch.

``index.html`` has the answer and all models, ``models/`` a page for each, ``questions/`` which facts came back.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

from brittle import discovery
from brittle.contracts import Figure
from brittle.figures.files import is_ours, place_of
from brittle.places import check_place
from brittle.records import Identity, digest_of_text, fingerprint, write_text, writing
from brittle.results.outputs import ModelResult, ReportData, gather
from brittle.results.roles import REFERENCES
from brittle.settings import BadInput
from brittle.views import (
    attack_path,
    attacks_at_matched_t,
    attacks_at_strongest,
    changes_by_layer,
    model_verdicts,
    models,
    overview,
    questions,
    signature,
)
from brittle.views.answer import answer_on_top
from brittle.views.html import (
    Section,
    definitions,
    document,
    filtered,
    listing,
    paragraph,
    piece,
    section,
    side_by_side,
    table,
)
from brittle.views.tables import Cell, Content
from brittle.views.words import in_a_word, several

KIND = "report bundle"
HOME, OVERVIEW = "index.html", "All models"
OF_MODEL = (
    signature.signature, attacks_at_matched_t.attack, attacks_at_strongest.from_few_texts, attacks_at_strongest.search,
    attacks_at_strongest.benign, attacks_at_strongest.without_teaching, attacks_at_strongest.worst, attack_path.trajectory,
    changes_by_layer.weights, changes_by_layer.activations, changes_by_layer.lens,
)  # fmt: skip
"""The sections of a model's page, in order."""
OPEN = 2
"""Of them so many are unfolded: the signature, and the curves of the first attack."""


def write_bundle(outputs: Path, folder: Path) -> Path:
    """Write the pages; what stands there is replaced if it is a bundle. Returns the first page. What could not be read is named on it.

    Raises:
        BadInput: the folder holds something else, lies in the outputs, or cannot be written to; there are no records.
    """
    outputs, folder = Path(outputs), Path(folder)
    check(outputs, folder)
    data = gather(outputs)
    made = fingerprint(sorted(str(record.get("fingerprint")) for record in data.records.values()))
    with writing(folder, Identity(KIND, {"records": made}, {})) as draft:
        asked = {name: (address_of(name or "all", "questions"), page) for name, page in questions.pages(data).items()}
        write_text(draft.folder / HOME, _index(data, {name: address for name, (address, _) in asked.items()}))
        for model in data.models:
            address = address_of(model.name, "models")
            pictures = _pictures(data, model, outputs, draft.folder / "figures")
            write_text(draft.folder / address, _of_model(data, model, pictures))
        for name, (address, (title, sections)) in asked.items():
            others = [(f"../{each}", _attack_words(other)) for other, (each, _) in asked.items() if other != name]
            pages = [(f"../{HOME}", OVERVIEW), ("", _attack_words(name)), *others]
            write_text(draft.folder / address, document(title, "", sections, pages))
    return folder / HOME


def check(outputs: Path, folder: Path) -> None:
    """Refuse, before any work, a folder that the pages cannot be written to."""
    if folder.resolve().is_relative_to(outputs.resolve()):
        raise BadInput(f"--bundle: {folder} lies in the results that it shows; name a folder outside {outputs}")
    check_place(folder, KIND)


def address_of(name: str, folder: str) -> str:
    """A page's address within the bundle: letters and digits of the name, and a few of its hash, so that no two are alike."""
    return f"{folder}/{re.sub(r'[^A-Za-z0-9._-]+', '_', name)[:80]}-{digest_of_text(name)[:6]}.html"


def _attack_words(attack: str) -> str:
    return f"facts: {attack.replace('_', ' ')}" if attack else "Facts over all attacks"


def _index(data: ReportData, asked: dict[str, str]) -> str:
    compared = several([model.label for model in data.judged()][:4]) or "no models"
    more = len(data.judged()) - 4
    pages = [("", OVERVIEW), *([(asked[""], _attack_words(""))] if asked else [])]
    shown = overview.table_of(data)
    rows = [
        [_linked(data, model, row[0]), *row[1:], *_made(model)]
        for model, row in zip(data.models, shown.rows, strict=True)
    ]
    header = (*shown.header, "method", "health", "settings")
    words = (*shown.words, *range(len(shown.header), len(header)))
    glance = table(replace(shown, header=header, rows=rows, words=words))
    facts = listing([]) if not asked else table_of_pages(asked)
    sections = [
        section("All models at a glance", filtered(glance, ("method", "health", "verdict"), "settings"), unfolded=True),
        *([section("Which facts came back", facts, unfolded=True)] if asked else []),
        models.summary(data), model_verdicts.verdicts(data), models.models(data), models.limits(data), models.records(data),
    ]  # fmt: skip
    title = f"Brittle experiment: {compared}{f' and {more} more' if more > 0 else ''}"
    return document(title, answer_on_top(data), sections, pages)


def table_of_pages(asked: dict[str, str]) -> str:
    """Links to the pages of facts."""
    from brittle.views.tables import Table

    rows: list[list[Cell | Content]] = [[Cell(_attack_words(name), page=address)] for name, address in asked.items()]
    return table(Table(("facts by model",), rows))


def _linked(data: ReportData, model: ModelResult, cell: Cell | Content) -> Cell:
    assert isinstance(cell, Cell)
    return replace(cell, page=address_of(model.name, "models"))


def _made(model: ModelResult) -> list[Cell | Content]:
    """What rows are filtered by: method (of a reference its role), whether it is damaged, settings."""
    settings = ", ".join(f"{key} {value}" for key, value in model.settings.items())
    return [
        model.method or model.role,
        str(model.damage.health),
        Cell("" if settings else "–", remark=settings, placed="folded"),
    ]


def _of_model(data: ReportData, model: ModelResult, pictures: str) -> str:
    """A model beside the references."""
    beside = data.only([model.name, *(each.name for each in data.models if each.role in REFERENCES)])
    made = [part(beside) for part in OF_MODEL]
    sections = [each for part in made for each in (part if isinstance(part, list) else [part])]
    real = [each for each in sections if isinstance(each, Section)]
    sections = [*(_unfolded(each) for each in real[:OPEN]), *real[OPEN:], pictures]
    if model in beside.judged():
        top = answer_on_top(beside)
        sections.insert(0, model_verdicts.verdicts(beside))
    else:
        top = piece(
            "block_on_top", [paragraph(f"A reference: {in_a_word(data, model)}. Shown beside the other references.")]
        )
    settings = ", ".join(f"{key} {value}" for key, value in model.settings.items())
    about = {"Model": model.reference or model.name, "Role": model.role, "Method": model.method, "Settings": settings,
             "Health": str(model.damage.health)}  # fmt: skip
    top += definitions({name: words for name, words in about.items() if words})
    number = data.models.index(model)
    near = [(each, words) for each, words in ((number - 1, "← "), (number + 1, "→ ")) if 0 <= each < len(data.models)]
    others = [
        (address_of(data.models[each].name, ".").removeprefix("./"), f"{sign}{data.models[each].label}")
        for each, sign in near
    ]
    return document(model.label, top, sections, [(f"../{HOME}", OVERVIEW), ("", model.label), *others])


def _unfolded(part: Section) -> Section:
    made = Section(str(part).replace("<details>", "<details open>", 1))
    made.heading, made.place = part.heading, part.place
    return made


def _pictures(data: ReportData, model: ModelResult, outputs: Path, place: Path) -> Section | str:
    """Every figure that the diagnostics of this model drew, with its sentence; the pictures are copied."""
    drawn = []
    folders = [model.name, *(pair.folder for pair in data.comparisons if pair.b == model.name)]
    for folder in folders:
        for name in sorted(path.parent.name for path in (outputs / folder).glob("*/record.json")):
            for figure in _declared(name):
                path = place_of(figure, outputs / folder / name)
                if path.is_file() and is_ours(path):
                    place.mkdir(exist_ok=True)
                    copied = place / f"{digest_of_text(str(path.relative_to(outputs)))}.png"
                    shutil.copyfile(path, copied)
                    drawn.append(
                        piece("picture", f"../figures/{copied.name}", f"{figure.title} ({name})", figure.reading)
                    )
    return section("Every figure of the diagnostics", side_by_side(*drawn)) if drawn else ""


def _declared(name: str) -> tuple[Figure, ...]:
    plugin = discovery.plugins("diagnostics").get(name)
    return tuple(getattr(plugin.load(), "FIGURES", ())) if plugin else ()


__all__ = ["check", "write_bundle"]
