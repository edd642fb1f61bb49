"""The report's figures: one specification, its picture, and what it does under a pointer, without a browser."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import reports_tree

from brittle.figures import chart, of_attacks, of_models, style, vega
from brittle.figures.chart import Chart
from brittle.figures.main import main_figures
from brittle.results.outputs import ReportData, gather
from brittle.views.report import page

NAMES = ["</script><b>bold</b>", "_hidden $x^{2}$", "datum['line']\\"]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = reports_tree.build(tmp_path_factory.mktemp("figures") / "outputs")
    reports_tree.more_attacks(built / "recovery")
    return built


@pytest.fixture(scope="module")
def data(outputs: Path) -> ReportData:
    return gather(outputs)


def charts(data: ReportData) -> dict[str, Chart]:
    more = [of_attacks.path_figure(data, "relearning"), of_attacks.few_texts_figure(data, "relearning_from_examples")]
    return {each.name: each for each in (*main_figures(data), *more) if each is not None}


def strings(node: Any, within: str = "") -> list[tuple[str, str]]:
    """Every text of a specification, with the key it stands under."""
    if isinstance(node, dict):
        return [found for key, each in node.items() for found in strings(each, key)]
    if isinstance(node, list):
        return [found for each in node for found in strings(each, within)]
    return [(within, node)] if isinstance(node, str) else []


def lines_of(data: ReportData, colour: str, wide: float) -> int:
    """How many lines of that colour and width the recovery figure has."""
    found = of_attacks.recovery_figure(data, "relearning")
    assert found is not None
    return found.svg().count(f'stroke="{colour}" stroke-width="{wide}"')


def test_equal_data_give_equal_pictures(data: ReportData) -> None:
    first = charts(data)
    assert {"answer", "matched_t_relearning", "recovery_relearning", "path_relearning", "logit_lens"} <= set(first)
    for name, again in charts(data).items():
        assert first[name].svg() == again.svg() and first[name].json() == again.json()
    assert first["answer"].png().startswith(b"\x89PNG")


def test_the_picture_on_the_page_is_that_of_the_specification_beside_it(data: ReportData) -> None:
    found = re.findall(
        r'<img src="data:image/svg\+xml;base64,([^"]*)".*?class="specification">(.*?)</script>', page(data), re.S
    )
    assert len(found) == 8
    for picture, specification in found:
        assert base64.b64decode(picture).decode() == chart.svg(json.loads(specification))


def test_the_page_brings_what_draws_only_where_something_is_drawn(data: ReportData) -> None:
    written = page(data)
    (packed,) = re.findall(r'<script type="text/plain" id="library">(.*?)</script>', written)
    assert "vegaEmbed" in gzip.decompress(base64.b64decode(packed)).decode()
    assert len(written) < 1_000_000
    printed = written[written.index("@media print") : written.index("</style>")]
    assert (
        "figure.live img { display: block; }" in printed and "summary, h2, h3, .note { break-after: avoid; }" in printed
    )
    assert "figure.live .interactive, #vg-tooltip-element { display: none; }" in printed
    alone = page(data.only([]))
    assert "<figure>" not in alone and "library" not in alone and len(alone) < 50_000


def test_nothing_that_draws_is_loaded_before_a_figure() -> None:
    code = "import sys, brittle.views.report, brittle.figures.main; sys.exit('vl_convert' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_are_text_and_never_markup_or_code(outputs: Path, tmp_path: Path) -> None:
    """Not in the page's JSON, not in the picture, not in an expression that Vega makes of the specification."""
    import vl_convert

    shutil.copytree(outputs, tmp_path / "outputs")
    plan = tmp_path / "outputs" / "comparison.json"
    written = json.loads(plan.read_text())
    extra = copy.deepcopy(written["models"][3]) | {"name": "another"}
    for model, name in zip([*written["models"][3:], extra], NAMES):
        model["method"] = name
    plan.write_text(json.dumps(written))
    data = gather(tmp_path / "outputs")
    assert {*NAMES[:2]} <= {model.label for model in data.models}
    for each in charts(data).values():
        assert "<" not in each.json() and json.loads(each.json()) == json.loads(json.dumps(each.spec))
        words = [
            unescape(re.sub("<[^>]*>", "", found)) for found in re.findall("<text[^>]*>(.*?)</text>", each.svg(), re.S)
        ]
        shown = re.sub(r"\s", "", "".join(words))
        assert all(re.sub(r"\s", "", name) in shown for name in NAMES[:2]), each.name
        assert "<b>" not in each.svg() and "<script" not in each.svg()
        compiled = strings(vl_convert.vegalite_to_vega(each.spec))
        code = [text for key, text in compiled if key in ("expr", "signal", "update", "test", "init", "filter")]
        assert code and not any("hidden" in text or "bold" in text for text in code)


def test_a_click_on_a_name_hides_its_line_in_every_panel(data: ReportData) -> None:
    """The click itself is Vega's; here is what it changes: the names that are shown."""
    found = of_attacks.recovery_figure(data, "relearning")
    assert found is not None
    spec = copy.deepcopy(found.spec)
    panels = spec["vconcat"]
    (param,) = [param for panel in panels for layer in panel["layer"] for param in layer.get("params", [])]
    assert (param["bind"], param["select"]["toggle"]) == ("legend", "true")
    assert [each["line"] for each in param["value"]] == [model.label for model in data.models]
    assert all(panel["transform"] == [{"filter": {"param": "shown"}}] for panel in panels)
    colour = of_models.looks(data)[data.judged()[0].name].colour
    line = f'stroke="{colour}" stroke-width="1.6"'
    assert chart.svg(spec).count(line) == 2
    param["value"] = [each for each in param["value"] if each["line"] != "cb_lat"]
    assert chart.svg(spec).count(line) == 0 and ">cb_lat<" in chart.svg(spec)
    legends = str(compiled_legends(spec))
    assert "line_legend_labels" in legends and "line_legend_symbols" in legends  # where a click is heard


def compiled_legends(spec: dict[str, Any]) -> list[Any]:
    import vl_convert

    return [legend for mark in vl_convert.vegalite_to_vega(spec)["marks"] for legend in mark.get("legends", [])]


def test_a_pointer_is_told_the_model_and_its_numbers(data: ReportData) -> None:
    for each in charts(data).values():
        views = each.spec.get("vconcat", [each.spec])
        for view in views:
            told = [layer for layer in view["layer"] if "tooltip" in layer["encoding"]]
            assert told, each.name
            for layer in told:
                rows = layer.get("data", view.get("data"))["values"]
                fields = [field["field"] for field in layer["encoding"]["tooltip"]]
                assert fields[0] == "model" and len(fields) > 2
                assert all(isinstance(row[field], str) and row[field] for row in rows for field in fields)
                assert all("_" not in field["title"] for field in layer["encoding"]["tooltip"])
    found = of_attacks.recovery_figure(data, "relearning")
    assert found is not None
    row = next(
        row for row in found.spec["vconcat"][1]["data"]["values"] if (row["model"], row["at"]) == ("cb_lat", "0")
    )
    assert re.fullmatch(r"33 % \[\d+, \d+\]", row["shown"])


def test_references_keep_their_looks_and_accuracies_their_scale(data: ReportData) -> None:
    found = charts(data)
    for name in ("recovery_relearning", "logit_lens"):
        for panel in found[name].spec["vconcat"]:
            points, line = panel["layer"][-1]["encoding"], panel["layer"][-2]["encoding"]
            scales = [encoding["scale"] for encoding in (points["color"], points["shape"], line["strokeWidth"])]
            looks = dict(zip(scales[0]["domain"], zip(*(scale["range"] for scale in scales))))
            assert looks["base"] == (style.ROLE_COLOURS["base"], "square", style.WIDE)
            assert looks["filtered"] == (style.ROLE_COLOURS["filtered"], "diamond", style.WIDE)
            assert looks["retrained"] == (style.ROLE_COLOURS["retrained"], "triangle-up", 1.6)
            assert len(set(scales[0]["range"])) == len(scales[0]["range"])
            assert points["y"]["scale"]["domain"] == [-0.03, 1.05] and {0, 1} <= set(points["y"]["axis"]["values"])
        assert ">100 %</text>" in found[name].svg() and ">guess</text>" in found[name].svg()
    assert lines_of(data, style.ROLE_COLOURS["filtered"], style.WIDE) == 2
    first, second = found["hidden_states_by_layer"].spec["vconcat"]
    assert first["layer"][-1]["encoding"]["y"]["scale"] == second["layer"][-1]["encoding"]["y"]["scale"]
    assert set(vega.SHAPES) >= {*style.WARM_MARKERS, *style.ROLE_MARKERS.values()}


def test_many_models_are_several_figures_without_a_colour_twice(outputs: Path, tmp_path: Path) -> None:
    shutil.copytree(outputs, tmp_path / "outputs")
    plan = tmp_path / "outputs" / "comparison.json"
    written = json.loads(plan.read_text())
    source = tmp_path / "outputs" / written["models"][3]["name"]
    for number in range(8):
        name = f"laboratory_base__rmu__ep{number}"
        shutil.copytree(source, source.with_name(name))
        written["models"].append(written["models"][3] | {"name": name, "method": f"rmu {number} " + "w" * 60})
    plan.write_text(json.dumps(written))
    data = gather(tmp_path / "outputs")
    parts = [each for name, each in charts(data).items() if name.startswith("logit_lens")]
    assert [part.name for part in parts] == ["logit_lens", "logit_lens_2"]
    for part in parts:
        scale = part.spec["vconcat"][0]["layer"][-1]["encoding"]["color"]["scale"]
        assert len(set(scale["range"])) == len(scale["range"]) and scale["range"][0] == style.ROLE_COLOURS["base"]
        (width,) = re.findall(r'viewBox="0 0 (\d+)', part.svg())
        assert int(width) <= 1.1 * vega.WIDTH  # a long name is broken, not the figure made small
    assert "w" * 60 in re.sub(r"[\s]|</?text[^>]*>|</?tspan[^>]*>", "", parts[0].svg())
