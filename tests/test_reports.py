"""Figures, gathering and the page, on a synthetic outputs tree."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas
import pytest
import reports_tree

from brittle.contracts import Figure
from brittle.figures import declared, style
from brittle.results.measures import Movement, forget_accuracy, knowledge, movement
from brittle.results.outputs import gather
from brittle.settings import BadInput
from brittle.views.report import write_report
from brittle.views.sentences import control_sentences, summary_lines


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reports_tree.build(tmp_path_factory.mktemp("report") / "outputs")


@pytest.fixture
def outputs(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "outputs"))


def pixels(path: Path) -> bytes:
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    return content


def test_declared_figures_go_where_the_tree_puts_them(outputs: Path) -> None:
    folder = outputs / "laboratory_base__to__laboratory_filtered" / "weight_comparison"
    update = ("dW_fro_layer_rel",)
    wanted = [
        Figure("layer_locality", "per_layer", "layer", update, "W", "High is far.", by="group", folder="param_plots"),
        Figure("bars", "per_layer", "layer", update, "B", "Tall is far.", by="group", kind="bar", reference=1.0),
        Figure("boxes", "per_matrix", "group", ("dW_stable_rank",), "Boxes", "High is many directions.", kind="box"),
        Figure("empirical_rank", "per_layer", "layer", ("mean_dW_empirical_rank",), "Optional", "Left out."),
    ]  # fmt: skip
    written = declared.write_declared(wanted, folder, folder, "base → filtered")
    assert [path.relative_to(folder.parent).as_posix() for path in written] == [
        "param_plots/layer_locality.png", "weight_comparison/bars.png", "weight_comparison/boxes.png",
    ]  # fmt: skip
    assert len({pixels(path) for path in written}) == 3
    assert not list(folder.parent.rglob("*.partial"))


def test_a_figure_draws_one_panel_per_y_and_one_line_per_value() -> None:
    table = pandas.DataFrame(
        {"layer": [1, 0, 1, 0], "split": ["a", "a", "b", "b"], "one": [4, 3, 2, 1], "two": [1, 1, 1, 1]}
    )
    drawing = declared.draw(Figure("f", "t", "layer", ("one", "two"), "F", "R.", by="split"), table)
    assert drawing is not None and len(drawing.axes) == 2
    lines = drawing.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["a", "b"]
    assert list(lines[0].get_xdata()) == [0, 1] and list(lines[0].get_ydata()) == [3, 4]
    only = declared.draw(Figure("f", "t", "layer", ("one",), "F", "R.", by="split", where={"split": "b"}), table)
    assert only is not None and len(only.axes[0].get_lines()) == 1
    with pytest.raises(ValueError, match="pie"):
        declared.draw(Figure("f", "t", "layer", ("one",), "F", "R.", kind="pie"), table)


def test_roles_have_fixed_colours_and_unlearned_models_their_own() -> None:
    twice = style.looks_of_models(
        [(f"{role}{n}", role) for role in (*style.ROLE_COLOURS, "unlearned") for n in range(4)]
    )
    assert len({look.colour for look in twice.values()}) == len(twice)
    for role, colour in style.ROLE_COLOURS.items():
        own = [twice[f"{role}{n}"] for n in range(4)]
        assert own[0].colour == colour and len({look.marker for look in own}) == 4
    looks = style.looks_of_models([("a", "unlearned"), ("b", "base"), ("c", "unlearned"), ("d", "filtered")])
    assert looks["b"].colour == style.ROLE_COLOURS["base"] and looks["d"].colour == style.ROLE_COLOURS["filtered"]
    assert looks["a"] != looks["c"] and {looks["a"].colour, looks["c"].colour} <= set(style.WARM_COLOURS)
    used = set(style.ROLE_COLOURS.values()) | set(style.WARM_COLOURS)
    assert not used & (set(style.CATEGORY_COLOURS.values()) | set(style.OTHER_COLOURS))


def test_gather_labels_models_and_reads_their_numbers(outputs: Path) -> None:
    data = gather(outputs)
    assert [model.label for model in data.models] == ["base", "filtered", "retrained", "cb_lat", "wt_dist"]
    assert [data.model(comparison.b).label for comparison in data.from_base()] == [
        "filtered",
        "retrained",
        "cb_lat",
        "wt_dist",
    ]
    assert "ALL_MEAN" not in data.comparisons[0].activations["layer"].astype(str).tolist()  # type: ignore[index]
    tilts = [1, 0.9, 0.8, 0.7]
    moved = movement(data.from_base()[0])
    assert moved and moved.mean_stable_rank == pytest.approx(12.4)
    assert moved.relative_frobenius_norm_all_parameters == pytest.approx(
        0.92 * (sum(tilt**2 for tilt in tilts) / 4) ** 0.5
    )
    before = data.recovery[data.recovery["step"] == 0].groupby("model")["accuracy_t"].mean()  # type: ignore[index]
    base = data.of_role("base")[0]
    assert knowledge(data, base).forget_t == pytest.approx(before[base.name])


def test_evaluations_win_over_the_first_step_of_the_attack(outputs: Path) -> None:
    folder = outputs / "laboratory_base" / "evals"
    folder.mkdir()
    results = {"forget": {"accuracy": 0.5, "nll": 1.25}, "retain": {"acc,none": 0.75}}
    (folder / "summary.json").write_text(json.dumps({"results": results}))
    data = gather(outputs)
    known = knowledge(data, data.of_role("base")[0])
    assert (forget_accuracy(data, data.of_role("base")[0]), known.retain, known.nll_forget) == (0.5, 0.75, 1.25)
    assert "1.25" in write_report(outputs).read_text()


def test_two_models_of_one_method_get_numbers(outputs: Path) -> None:
    plan = json.loads((outputs / "comparison.json").read_text())
    plan["models"].append(
        {"name": "other", "role": "unlearned", "reference": "other", "method": "cb_lat", "settings": {}}
    )
    (outputs / "comparison.json").write_text(json.dumps(plan))
    assert [model.label for model in gather(outputs).of_role("unlearned")] == ["cb_lat 1", "wt_dist", "cb_lat 2"]


def test_ten_lines_quote_the_figures(outputs: Path) -> None:
    lines = summary_lines(gather(outputs))
    assert len(lines) == 10
    assert "0.79" in lines[3] and "12.4" in lines[3] and "13.2" in lines[3]
    assert lines[4].startswith("So filtering looks like a second training")
    assert "cb_lat" in lines[7] and "does not see" in lines[7]
    assert "not above chance" in lines[8]
    assert "cb_lat 95 %, 100 % at the end, came back" in lines[9] and "wt_dist 20 %, 20 % at the end, not" in lines[9]


def test_the_control_sentence_follows_the_numbers(outputs: Path) -> None:
    reports_tree.weights(outputs / "laboratory_base__to__laboratory_retrained" / "weight_comparison", 0.3, 13.0)
    _, meaning = control_sentences(gather(outputs))
    assert "does not look like" in meaning and "in size (" in meaning
    shutil.rmtree(outputs / "laboratory_base__to__laboratory_retrained")
    numbers, _ = control_sentences(gather(outputs))
    assert numbers == "Weights: base → retrained is not measured."


class Reader(HTMLParser):
    """Checks that tags are balanced and keeps addresses and text."""

    EMPTY = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.words += data


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text())
    assert reader.open == []
    return reader


def test_the_page_is_whole_self_contained_and_repeatable(outputs: Path) -> None:
    path = write_report(outputs)
    first, reader = path.read_bytes(), read(path)
    assert path == outputs / "report.html" and not list(outputs.glob(".report*"))
    links = [address for address in reader.addresses if address.startswith("#")]
    assert len(reader.addresses) - len(links) == 6 and all(f'id="{link[1:]}"' in path.read_text() for link in links)
    assert all(address.startswith("data:image/svg+xml") for address in reader.addresses if address not in links)
    assert not re.search(r"url\(|@import|<script[^>]*src|<link|https?:", path.read_text())
    for line in summary_lines(gather(outputs)):
        assert line in reader.words
    assert "2026-01-02T03:04:05Z" in reader.words and "torch 2.13.0" in reader.words
    assert write_report(outputs).read_bytes() == first


def test_missing_pieces_are_named(outputs: Path) -> None:
    shutil.rmtree(outputs / "recovery")
    shutil.rmtree(outputs / "laboratory_filtered" / "wmdp_logit_lens")
    for folder in outputs.glob("*__to__*"):
        shutil.rmtree(folder / "activation_comparison")
    reader = read(write_report(outputs))
    for words in (
        "Recovery: not measured.", "Not measured: logit lens of filtered.",
        "Change of hidden states by layer: not measured.", "Not measured: recovery under attack.",
    ):  # fmt: skip
        assert words in reader.words
    assert len(summary_lines(gather(outputs))) == 10


def test_an_almost_empty_tree_still_gives_a_page(tmp_path: Path) -> None:
    models = [{"name": "a", "role": "base"}, {"name": "b", "role": "unlearned", "method": None}]
    (tmp_path / "comparison.json").write_text(
        json.dumps({"models": models, "comparisons": [{"folder": "x", "a": "a", "b": "b"}]})
    )
    reader = read(write_report(tmp_path))
    assert "Not measured: no filtered model." in reader.words and "nan" not in reader.words
    assert len(summary_lines(gather(tmp_path))) == 10


def test_names_are_escaped(outputs: Path) -> None:
    text = (outputs / "comparison.json").read_text().replace('"cb_lat"', '"<b>bold</b> & \\"co\\""')
    (outputs / "comparison.json").write_text(text)
    path = write_report(outputs)
    assert "<b>" not in path.read_text() and '<b>bold</b> & "co"' in read(path).words


def test_bad_trees_are_refused_in_one_line(outputs: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="run the pipeline"):
        gather(tmp_path / "nothing")
    (outputs / "recovery" / "recovery.csv").write_text("")
    assert gather(outputs).left_out == ("recovery/recovery.csv (is empty)",)
    (outputs / "comparison.json").write_text("{")
    with pytest.raises(BadInput, match="not valid JSON"):
        gather(outputs)


def test_movement_is_of_all_parameters_where_they_were_measured(outputs: Path) -> None:
    """Norms and the embedding alone moved: the blocks' 0.00 would say that nothing did."""
    folder = outputs / "laboratory_base__to__laboratory_filtered" / "weight_comparison"
    summary = {"relative_frobenius_norm": 0.0, "relative_frobenius_norm_all_parameters": 0.25, "mean_stable_rank": 0.0}
    (folder / "summary.json").write_text(json.dumps(summary))
    comparison = next(c for c in gather(outputs).comparisons if c.b == "laboratory_filtered")
    assert movement(comparison) == Movement(0.25, 0.0)
