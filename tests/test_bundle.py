"""Pages without a server: what stands on them, where their links lead, names that look like markup, and places that are refused."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import reports_tree

from brittle.command_line import main
from brittle.figures.declared import write_declared
from brittle.results.outputs import gather
from brittle.settings import BadInput
from brittle.views import bundle
from brittle.views.bundle import address_of, write_bundle

HIDDEN = "laboratory_base__cb_lat__ep1_lr0.001_bs8_a100.0_ly1-2"


class Links(HTMLParser):
    """Every address that a page names, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("href", "src") and value]

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = reports_tree.build(tmp_path_factory.mktemp("bundle") / "outputs")
    reports_tree.more_attacks(outputs / "recovery")
    return outputs


@pytest.fixture(scope="module")
def pages(finished: Path) -> Path:
    pair = finished / f"laboratory_base__to__{HIDDEN}" / "weight_comparison"
    write_declared(bundle._declared("weight_comparison"), pair, pair, "base → cb_lat")
    write_bundle(finished, finished.parent / "pages")
    return finished.parent / "pages"


def test_a_page_for_every_model_and_attack_and_every_link_leads_somewhere(finished: Path, pages: Path) -> None:
    data = gather(finished)
    assert {path.name for path in (pages / "models").iterdir()} == {
        address_of(model.name, ".").removeprefix("./") for model in data.models
    }
    attacks = set(data.recovery["attack"])
    assert len(list((pages / "questions").iterdir())) == len(attacks) + 1
    for page in pages.rglob("*.html"):
        found = Links(page)
        local = [each for each in found.addresses if not each.startswith(("#", "data:"))]
        assert local and not any(":" in each or each.startswith("//") for each in local)
        assert all((page.parent / each).is_file() for each in local), page


def test_the_answer_stands_first_and_models_can_be_filtered(pages: Path) -> None:
    page = (pages / "index.html").read_text(encoding="utf-8")
    assert page.index('<section id="answer">') < page.index("All models at a glance")
    assert "cb_lat</span>: <strong>came back</strong>" in page
    assert 'data-columns="method|health|verdict" data-words="settings"' in page and "lr 0.001, layer_id [1, 2]" in page
    assert "vegaEmbed(place" not in page and 'specification">' not in page  # pictures alone
    assert address_of(HIDDEN, "models") in page


def test_a_models_page_has_its_curves_its_facts_and_every_drawn_figure_with_its_sentence(pages: Path) -> None:
    page = Links(pages / address_of(HIDDEN, "models"))
    assert "T and V during the attack" in page.words and "wt_dist" not in page.words.replace("→ wt_dist", "")
    drawn = [figure for figure in bundle._declared("weight_comparison") if figure.reading in page.words]
    pictures = [each for each in page.addresses if each.startswith("../figures/")]
    assert drawn and len(pictures) == len(drawn)
    assert (pages / "models" / pictures[0]).read_bytes().startswith(b"\x89PNG")


def test_facts_say_what_was_chosen_before_and_after(pages: Path) -> None:
    words = Links(pages / address_of("relearning", "questions")).words
    assert "● came back" in words and re.search(r"\? → value\d; 3 of 3, first at step \d+", words)
    over_all = Links(pages / address_of("all", "questions")).words
    assert re.search(r"● \d of 6", over_all) and "relearning search" in over_all


NAME = '<script>alert(1)<|script> & "quoted" #1'


def test_names_that_look_like_markup_are_text(finished: Path, tmp_path: Path) -> None:
    outputs = Path(shutil.copytree(finished, tmp_path / "outputs"))
    for path in (outputs / "comparison.json", *outputs.glob("recovery/*.csv")):
        quoted = NAME.replace('"', '\\"' if path.suffix == ".json" else "'")
        name = quoted if path.suffix == ".json" else NAME.replace('"', "'")
        path.write_text(path.read_text().replace(HIDDEN, name.replace("'", "") if path.suffix == ".csv" else name))
    content = json.loads((outputs / "comparison.json").read_text())
    renamed = NAME.replace('"', "")
    for entry in content["models"]:
        if entry["name"] == NAME:
            entry |= {"name": renamed, "method": renamed, "settings": {"lr": "<img src=x onerror=alert(2)>"}}
    for pair in content["comparisons"]:
        pair["b"] = renamed if pair["b"] == NAME else pair["b"]
        pair["folder"] = pair["folder"].replace("<", "").replace('"', "")
    (outputs / "comparison.json").write_text(json.dumps(content))
    write_bundle(outputs, tmp_path / "pages")
    scripts = {Links(page).tags.count("script") for page in (tmp_path / "pages").rglob("*.html")}
    assert scripts <= {1, 2}  # sorting and filtering
    for page in (tmp_path / "pages").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "<script>alert" not in text and "<img src=x" not in text
    assert renamed in Links(tmp_path / "pages" / address_of(renamed, "models")).words


def test_written_again_it_is_replaced_and_what_is_no_bundle_is_refused(finished: Path, tmp_path: Path) -> None:
    write_bundle(finished, tmp_path / "pages")
    (tmp_path / "pages" / "index.html").write_text("old")
    (tmp_path / "pages" / "models" / next((tmp_path / "pages" / "models").iterdir()).name).unlink()
    assert "came back" in write_bundle(finished, tmp_path / "pages").read_text()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    for place, words in ((tmp_path / "mine", "holds thesis.tex"), (finished / "pages", "lies in the results")):
        with pytest.raises(BadInput, match=words) as problem:
            write_bundle(finished, place)
        assert "\n" not in str(problem.value)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_what_goes_wrong_leaves_the_old_pages(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle(finished, tmp_path / "pages")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "pages").rglob("*")}

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "_of_model", full)
    with pytest.raises(OSError, match="No space"):
        write_bundle(finished, tmp_path / "pages")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "pages").rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["pages"]


def test_the_command_names_broken_records_and_refuses_before_it_writes(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = Path(shutil.copytree(finished, tmp_path / "outputs"))
    (outputs / HIDDEN / "wmdp_logit_lens" / "record.json").write_text("{")
    with pytest.raises(SystemExit) as ended:
        main("report", [str(outputs), "--bundle", str(tmp_path / "pages")])
    assert ended.value.code == 0
    told = capsys.readouterr()
    assert f"-> {tmp_path / 'pages' / 'index.html'}" in told.out and "is not valid JSON" in told.err
    assert "is not valid JSON" in Links(tmp_path / "pages" / "index.html").words
    (outputs / "report.html").unlink()
    with pytest.raises(SystemExit) as ended:
        main("report", [str(outputs), "--bundle", str(outputs / "recovery")])
    assert ended.value.code == 2 and not (outputs / "report.html").exists()
