"""One table, shown three ways: what cells hold, what is escaped, how columns stand; report and documentation hold the same cells."""

from __future__ import annotations

import html as entities
import json
import math
import re
from pathlib import Path

import pytest
import reports_tree

from brittle.results.at_matched_t import Estimate
from brittle.results.outputs import ReportData, gather
from brittle.views import attack_tables, laboratory_pages, report
from brittle.views.html import table as html
from brittle.views.signature import measured
from brittle.views.tables import Cell, Share, Table, markdown, terminal, width_of
from brittle.views.terminal import lines

STRANGE = "a|b <script>alert(1)</script>\n& `x` *y* [z](http://example.org) 🧠"
TABLE = Table(
    ("model", "share", "number", "V", "made by"),
    [
        [Cell(STRANGE, colour="#009E73"), Share(0.456), 1.234, Estimate(0.97, 0.95, 1.0), Cell("npo", remark="lr 0.1", placed="folded")],
        ["模型", Share(math.nan), math.nan, Estimate(math.nan), None],
        ["plain", Share(0.5, decimals=1), Cell(2.345, decimals=1), Cell("4", remark="5", mark="✓"), Cell("--flag", code=True)],
    ],
    "What | was <measured>", words=(0, 4), cards=True, sortable=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    outputs = reports_tree.build(tmp_path_factory.mktemp("tables") / "outputs")
    reports_tree.more_attacks(outputs / "recovery")
    for place, folder in enumerate(sorted(outputs.glob("*__to__*"))):
        own = folder / "representation_similarity"
        own.mkdir()
        (own / "record.json").write_text(json.dumps({"status": "complete", "fingerprint": folder.name}))
        controls = {"random": {"forget": {"linear_cka": 0.99}}}
        (own / "summary.json").write_text(json.dumps({"forget": {"linear_cka": 0.2 * place}, "controls": controls}))
    return gather(outputs)


@pytest.fixture(scope="module")
def page(data: ReportData) -> str:
    return report.page(data)


def rows_of_page(page: str, header: tuple[str, ...]) -> list[list[str]]:
    """The words of every table of an HTML page with this first and second column, markup taken away."""
    found = []
    for each in re.findall(r"<table.*?</table>", page, re.DOTALL):
        shown = [
            [
                " ".join(entities.unescape(re.sub(r"<.*?>", "", cell)).split())
                for cell in re.findall(r"<t[dh]\b.*?>(.*?)</t[dh]>", row, re.DOTALL)
            ]
            for row in re.findall(r"<tr>.*?</tr>", each, re.DOTALL)
        ]
        if tuple(shown[0][: len(header)]) == header:
            found += shown
    return found


def rows_of_markdown(page: str) -> list[list[str]]:
    """The cells of every row of every Markdown table of the text, as they are read."""
    rows = [line for line in page.splitlines() if line.startswith("|") and not re.fullmatch(r"[|:-]+", line)]
    parts = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    return [[entities.unescape(re.sub(r"\\(.)", r"\1", cell)) for cell in row] for row in parts]


def test_strange_names_are_text_in_html() -> None:
    shown = html(TABLE)
    assert "<script>" not in shown and shown.count("&lt;script&gt;") == 1 and "&amp;amp;" not in shown
    assert "What | was &lt;measured&gt;" in shown and 'class="cards sortable"' in shown
    rows = rows_of_page(shown, ("model", "share"))
    assert rows[1] == [" ".join(STRANGE.split()), "46 %", "1.23", "97 % [95, 100]", "nposettingslr 0.1"]
    assert rows[3] == ["plain", "50.0 %", "2.3", "4 (5) ✓", "--flag"] and "<code>--flag</code>" in shown


def test_strange_names_are_text_in_markdown() -> None:
    shown = markdown(TABLE)
    caption, _, *rows = shown.splitlines()
    assert caption == "What \\| was &lt;measured&gt;" and len(rows) == 5
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 6 for row in rows)
    assert "<script>" not in shown and "](http" not in shown and "\\`x\\`" in shown and "\\*y\\*" in shown
    assert rows[1] == "|---|---:|---:|---:|---|"
    assert rows_of_markdown(shown)[1] == [
        " ".join(STRANGE.split()),
        "46 %",
        "1.23",
        "97 % [95, 100]",
        "npo (lr 0.1)",
    ]
    assert rows[-1] == "| plain | 50.0 % | 2.3 | 4 (5) ✓ | `--flag` |"
    assert markdown(Table(("a",), [[Cell("x|`y", code=True, link="there")]])).endswith("| [`x\\|'y`](#there) |")


def test_strange_names_are_text_on_a_terminal() -> None:
    shown = terminal(Table(("model",), [["a\nb\x1b[31m\u202e"], ["🧠\tc"]]))
    assert shown == ["  model", "  a\\nb\\x1b[31m\\u202e", "  🧠\\tc"]


def test_nothing_and_not_a_number_are_not_measured() -> None:
    assert rows_of_page(html(TABLE), ("model", "share"))[2] == ["模型", *["not measured"] * 4]
    assert rows_of_markdown(markdown(TABLE))[2] == ["模型", *["not measured"] * 4]
    assert html(TABLE).count('class="none"') == 3 and html(TABLE).count('class="text none"') == 1
    assert " ".join(terminal(TABLE.only("share", "number", "V"))).count("not measured") == 3
    assert Cell(Share(None)).words == Cell(Estimate(math.nan)).words == "not measured" and Cell(0).words == "0"


def test_a_terminal_aligns_words_left_and_numbers_right_by_their_width() -> None:
    table = Table(("model", "V"), [["模型", Share(1.0)], ["e\u0301", Share(0.05)], ["🧠 long name", None]])
    assert terminal(table) == [
        "  model" + " " * 20 + "V",
        "  模型" + " " * 17 + "100 %",
        "  e\u0301" + " " * 22 + "5 %",
        "  🧠 long name  not measured",
    ]
    assert {width_of(line) for line in terminal(table)} == {28}


def test_a_terminal_breaks_words_until_a_table_fits() -> None:
    long = "a configuration of many words " * 5
    shown = terminal(
        Table(("model", "a name of a column", "made by"), [["x", 1.5, long], ["y", 2.5, "z"]], words=(0, 2))
    )
    assert all(width_of(line) <= 80 for line in shown) and " ".join(" ".join(shown).split()).count("configuration") == 5
    assert "1.50" in shown[1] and shown[-1].split() == ["y", "2.50", "z"]
    (head, row) = terminal(Table(("model",), [["m" * 100]]))
    assert row.strip() == "m" * 100 and head.strip() == "model"  # a word stays whole


def test_a_table_without_rows_is_nothing_and_columns_are_chosen_by_name() -> None:
    assert html(Table(("a",), [])) == markdown(Table(("a",), [])) == "" and terminal(Table(("a",), [])) == []
    chosen = TABLE.only("made by", "share", caption="")
    assert list(chosen.header) == ["made by", "share"] and chosen.words == [0] and chosen.rows[2][1] == Share(0.5, 1)
    assert terminal(Table(("", ""), [["a", 1]], words=(0,))) == ["  a  1"]


def test_what_a_sortable_table_orders_by_stands_beside_the_words() -> None:
    shown = html(Table(("model", "V"), [["a", Cell("40", order=math.inf)], ["b", Cell(Share(0.9), order=0.9)]]))
    assert re.findall(r'data-order="(.*?)"', shown) == ["Infinity", "0.9"]


def test_report_and_documentation_hold_the_same_cells(data: ReportData, page: str) -> None:
    attacks = rows_of_markdown(laboratory_pages.of_attacks(data))
    worst = rows_of_page(page, attack_tables.worst(data).header)
    kept = [attack_tables.worst(data).header.index(name) for name in laboratory_pages.WORST]
    assert len(worst) == 1 + len(data.models)
    at = attacks.index(list(laboratory_pages.WORST))
    assert attacks[at : at + len(worst)] == [[row[place] for place in kept] for row in worst]
    matched, speed = rows_of_page(page, attack_tables.MATCHED[:2]), rows_of_page(page, ("model", "steps to 50 %"))
    at = attacks.index(list(laboratory_pages.MATCHED)) + 1
    for own, own_speed, shown in zip(matched[1:], speed[1:], attacks[at:]):
        assert shown == [own[0], "relearning", own[3], own[4], own[7], *own_speed[1:3]]
    assert any(row[2].startswith("95 % [") for row in attacks[at:])


def test_report_and_documentation_hold_the_same_strengths_and_measures(data: ReportData, page: str) -> None:
    attacks = rows_of_markdown(laboratory_pages.of_attacks(data))
    strengths = rows_of_page(page, ("model", "no attack"))
    assert len(strengths) == 2 * (1 + len(data.models))
    for row in strengths:
        assert [row[0], *row[2:]] in attacks
    found = rows_of_markdown(laboratory_pages.of_measures(data))
    assert found == rows_of_page(page, ("measure", "base")) and len(found) == 1 + len(measured(data).rows) > 1


def test_the_terminal_shows_the_reports_numbers_in_columns(data: ReportData, page: str) -> None:
    title, head, *rows = lines(data)
    assert title == "relearning: V before and once T is learned"
    assert re.split(r" {2,}", head.strip()) == ["model", "V before", "V at matched T", "after steps", "excess recovery"]
    for row, own in zip(rows, rows_of_page(page, attack_tables.MATCHED[:2])[1:]):
        assert [re.split(r" {2,}", row.strip())[place] for place in (0, 2, 3, 4)] == [own[0], own[3], own[2], own[7]]


def test_a_page_without_measures_says_so(tmp_path: Path) -> None:
    shown = laboratory_pages.of_measures(gather(reports_tree.build(tmp_path / "outputs")))
    assert "Measures of base, filtered, retrained, cb_lat and wt_dist: not measured." in shown and "|" not in shown
