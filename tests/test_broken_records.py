"""Results that are broken: the rest is shown and the broken part named, or one line says that nothing can be."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas
import pytest
import reports_tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from brittle.command_line import main
from brittle.figures.chart import Chart
from brittle.results import signature
from brittle.results.outputs import gather
from brittle.runs import attack, attack_tables
from brittle.settings import BadInput
from brittle.views import laboratory_pages
from brittle.views.report import write_report

VOID = {"meta", "img", "br", "link", "hr", "input"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = reports_tree.build(tmp_path_factory.mktemp("broken") / "outputs")
    reports_tree.more_attacks(outputs / "recovery")
    return outputs


@pytest.fixture
def outputs(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "outputs"))


@pytest.fixture(autouse=True)
def no_drawings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are left out where the test is not about them: they take most of the time."""
    if "name" not in request.fixturenames:
        monkeypatch.setattr(Chart, "address", lambda _chart: "data:,")


class Balanced(HTMLParser):
    """Every element that begins also ends, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts: list[list[tuple[str, str | None]]] = []
        self.figures = 0
        self.words: list[str] = []

    def handle_starttag(self, tag, attributes) -> None:
        self.scripts += [attributes] * (tag == "script")
        self.figures += tag == "figure"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if self.open[-1:] != ["script"]:
            self.words.append(data)


def shown(outputs: Path) -> str:
    """The words of the report, after checking its markup."""
    reader = Balanced()
    reader.feed(write_report(outputs).read_text(encoding="utf-8"))
    reader.close()
    running, given = [each for each in reader.scripts if not each], [each for each in reader.scripts if each]
    assert not reader.open and len(running) == 1 + bool(reader.figures)
    assert given.count([("type", "application/json"), ("class", "specification")]) == reader.figures
    assert len(given) == reader.figures + bool(reader.figures)  # what draws them
    return " ".join(" ".join(reader.words).split())


def change_plan(outputs: Path, **changes: object) -> None:
    path = outputs / "comparison.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


PLANS = [
    b"", b"[]", b"null", b"3", b'"text"', b"{", b"{}", b'{"models": null}', b'{"models": "abc"}', b'{"models": [1, null]}',
    b'{"models": [{"role": "base"}]}', b'{"models": [{"name": 3, "role": "base"}]}', b'{"models": [{"name": "a"}]}',
    b'{"models": [{"name": "../a", "role": "base"}]}', b'{"models": [{"name": "a\\u0000", "role": "base"}]}',
    b"\xff\xfe\x00", b'{"models": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"models": ' + b"9" * 5000 + b"}",
]  # fmt: skip


@pytest.mark.parametrize("content", PLANS, ids=range(len(PLANS)))
@pytest.mark.parametrize("command", ["report", "signature"])
def test_a_plan_without_models_is_one_line(outputs: Path, capsys, content: bytes, command: str) -> None:
    (outputs / "comparison.json").write_bytes(content)
    with pytest.raises(SystemExit) as end:
        main(command, [str(outputs)])
    error = capsys.readouterr().err.strip().splitlines()
    assert end.value.code == 2 and len(error) == 1 and error[0].startswith("error: ") and "comparison.json" in error[0]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"name": "x"}, "has no role"), ({"role": "base"}, "has no name"), (None, "is null"), ("x", "is a text"),
        ({"name": "x", "role": "unlearned", "settings": [1]}, "a list as its settings"),
        ({"name": "laboratory_base", "role": "unlearned"}, "stands there twice"),
    ],
)  # fmt: skip
def test_the_models_that_can_be_read_are_shown(outputs: Path, entry: object, reason: str) -> None:
    models = json.loads((outputs / "comparison.json").read_text())["models"]
    change_plan(outputs, models=[*models, entry])
    words = shown(outputs)
    assert "left out: comparison.json (model 6" in words and reason in words
    assert len(gather(outputs).models) == 5


def test_comparisons_that_cannot_be_read_are_left_out(outputs: Path) -> None:
    pairs = json.loads((outputs / "comparison.json").read_text())["comparisons"]
    change_plan(outputs, comparisons=[*pairs, {"a": "x"}, None, {"folder": "f", "a": "laboratory_base", "b": "nobody"}])
    data = gather(outputs)
    assert len(data.comparisons) == 4 and len(data.left_out) == 3
    assert "nobody, which is not listed" in data.left_out[2]


TABLES = ("recovery.csv", "recovery_answers.csv", "trajectory.csv")
BROKEN = [b"", b"\n", b"a,b\n1,2\n", b"\xff\xfe\x00\x01", b'"a', b"model\n", b"<html></html>", b"a,b\n1,2,3,4\n"]


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
@pytest.mark.parametrize("table", TABLES)
def test_a_table_that_is_none_is_left_out_and_the_rest_shown(outputs: Path, table: str, content: bytes) -> None:
    (outputs / "recovery" / table).write_bytes(content)
    assert f"left out: recovery/{table} (" in shown(outputs)
    signature.write_signature(outputs)
    assert "cb_lat" in laboratory_pages.of_measures(gather(outputs)) and laboratory_pages.of_attacks(gather(outputs))


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("accuracy_v", "many", "is no share"), ("accuracy_v", "1.5", "is no share"), ("step", "-1", "no whole number"),
        ("step", "1e300", "no whole number"), ("seed", "", "no whole number"), ("accuracy_t", "inf", "is no share"),
        ("model", "", "is missing"),
    ],
)  # fmt: skip
def test_a_row_that_is_wrong_costs_that_row(outputs: Path, column: str, value: str, reason: str) -> None:
    path = outputs / "recovery" / "recovery.csv"
    table = pandas.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[7, column] = value
    table.to_csv(path, index=False)
    data = gather(outputs)
    assert data.recovery is not None and len(data.recovery) == len(table) - 1
    assert len(data.left_out) == 1 and reason in data.left_out[0] and "1 of" in data.left_out[0]
    assert reason in shown(outputs)


def test_rows_that_stand_there_twice_count_once_and_contradicting_ones_not(outputs: Path) -> None:
    path = outputs / "recovery" / "recovery.csv"
    before = gather(outputs)
    table = pandas.read_csv(path)
    pandas.concat([table, table[table["attack"] == "relearning"]]).to_csv(path, index=False)
    doubled = gather(outputs)
    assert doubled.matched == before.matched and doubled.numbers == before.numbers
    assert "twice, which count once" in doubled.left_out[0]
    other = table.iloc[[3]].assign(accuracy_v=0.123)
    pandas.concat([table, other]).to_csv(path, index=False)
    contradicting = gather(outputs)
    assert contradicting.recovery is not None and len(contradicting.recovery) == len(table) - 1
    assert "contradict each other" in contradicting.left_out[0]


RECORDS = [
    "[]", "null", "{", "", '{"notes": null}', '{"seconds": "long"}', '{"versions": [], "machine": 3, "started": 1}',
    '{"versions": {"brittle": "99.0"}, "status": "complete", "kind": "of another version", "seconds": null}',
]  # fmt: skip


@pytest.mark.parametrize("content", RECORDS)
def test_a_record_of_another_form_breaks_no_page(outputs: Path, content: str) -> None:
    place = outputs / "recovery"
    (place / "record.json").write_text(content)
    words = shown(outputs)
    broken = content not in RECORDS[7:] and "99" not in content
    assert ("recovery/record.json (" in words) == broken or "null" in content
    signature.write_signature(outputs)


@pytest.mark.parametrize(
    "content", ["[]", '{"relative_frobenius": "x", "controls": []}', '{"controls": {"random": 3}}', "{"]
)
def test_a_summary_of_another_form_breaks_no_page(outputs: Path, content: str) -> None:
    folder = outputs / "laboratory_base__to__laboratory_filtered" / "weight_comparison"
    (folder / "summary.json").write_text(content)
    assert "moved by 0.79 of their norm" in shown(outputs)  # from the table beside it
    signature.write_signature(outputs)


@pytest.mark.parametrize("table", ["per_layer", "per_matrix"])
def test_a_diagnostics_table_without_its_columns_is_left_out(outputs: Path, table: str) -> None:
    path = outputs / "laboratory_base__to__laboratory_filtered" / "weight_comparison" / f"{table}.csv"
    pandas.read_csv(path).iloc[:, :2].to_csv(path, index=False)
    assert f"{table}.csv (has no column" in shown(outputs)


NAMES = ['<script>alert(1)</script>', "a | b", 'quo"te\'s', "line\nbreak", "$x^{2}$", "$\\frac$", "_hidden", "名前", "\ud800", "`code`", "\x00\x1b"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_break_neither_page_nor_table(outputs: Path, name: str) -> None:
    models = json.loads((outputs / "comparison.json").read_text())["models"]
    change_plan(outputs, models=[*models[:3], models[3] | {"method": name}, models[4]])
    shown(outputs)
    for page in (laboratory_pages.of_measures(gather(outputs)), laboratory_pages.of_attacks(gather(outputs))):
        blocks = [block.splitlines() for block in page.split("\n\n") if block.startswith("|")]
        for block in blocks:
            assert len({line.replace("\\|", "").count("|") for line in block}) == 1, block
        assert "<script" not in page


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(
        some.sampled_from(["models", "comparisons", "name", "role", "reference", "settings", "folder", "a", "b"]), inner, max_size=4
    ),
))  # fmt: skip
def test_any_json_in_place_of_the_plan_is_read_or_refused(tmp_path: Path, content: object) -> None:
    (tmp_path / "comparison.json").write_text(json.dumps(content))
    try:
        gather(tmp_path)
    except BadInput as problem:
        assert "comparison.json" in str(problem) and "\n" not in str(problem)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=some.integers(0, 20), column=some.integers(0, 8), value=some.text(max_size=6))
def test_any_text_in_the_recovery_table_is_left_out_or_read(
    finished: Path, place: int, column: int, value: str
) -> None:
    path = finished.parent / "any" / "recovery.csv"
    path.parent.mkdir(exist_ok=True)
    table = pandas.read_csv(finished / "recovery" / "recovery.csv", dtype=str, keep_default_na=False)
    table.iloc[place, column] = value.encode("utf-8", "replace").decode()
    table.to_csv(path, index=False)
    from brittle.results import forms
    from brittle.results.reader import Reader

    reader = Reader(path.parent)
    found = reader.table(path, forms.RECOVERY)
    assert found is None or len(found) >= len(table) - 2
    assert found is None or found["accuracy_v"].dropna().between(0, 1).all()


def test_an_older_table_that_cannot_be_read_is_kept_aside(tmp_path: Path, capsys) -> None:
    path = tmp_path / "recovery.csv"
    path.write_text("no,columns\n1,2\n")
    assert attack_tables._older(path) is None
    assert (tmp_path / "recovery.kept-1.csv").read_text() == "no,columns\n1,2\n" and not path.exists()
    assert "kept as recovery.kept-1.csv" in capsys.readouterr().err


def test_an_outputs_folder_whose_plan_is_broken_is_refused_before_an_attack(tmp_path: Path) -> None:
    (tmp_path / "comparison.json").write_text("[]")
    with pytest.raises(BadInput, match=r"comparison\.json"):
        attack.check_outputs(tmp_path)


def test_a_report_that_cannot_be_written_is_one_line(outputs: Path) -> None:
    (outputs / "report.html").mkdir()
    with pytest.raises(BadInput, match=r"report\.html is not a plain file"):
        write_report(outputs)
