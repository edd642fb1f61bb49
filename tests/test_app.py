"""The app, page by page, as Streamlit's own test runs it: what is shown, what is refused, and that text stays text."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import many_models
import pytest
import reports_tree
from streamlit.testing.v1 import AppTest
from tiny_models import tiny_model_folder

from brittle.app.loaded import ModelSet
from brittle.app.started import Started
from brittle.bad_input import BadInput
from brittle.views.formulas import latex

BAD = "<script>alert('x')</script> **bold** $x$ :smile: [link](javascript:alert(1))"
"""What must be seen as it stands, wherever it comes from."""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = reports_tree.build(tmp_path_factory.mktemp("app") / "outputs")
    reports_tree.more_attacks(folder / "recovery")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three tiny models that differ, one with Markdown and markup in its name."""
    root = tmp_path_factory.mktemp("models")
    names = ("one", "two", "<b>three</b> **bold**")
    return [str(tiny_model_folder(root / name.replace("/", "_"), seed=seed)) for seed, name in enumerate(names)]


@pytest.fixture(autouse=True)
def fresh(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test begins with nothing kept, and looks for results in the synthetic tree."""
    import streamlit

    monkeypatch.setenv(*next(iter(Started(str(outputs), "no_such_folder", 3, "cpu", "fp32").to_environment().items())))
    streamlit.cache_resource.clear()
    streamlit.cache_data.clear()
    yield
    streamlit.cache_resource.clear()


def opened(name: str, **query: object) -> AppTest:
    """A page at an address."""
    code = f"from brittle.app import {name}\n{name}.page()"
    page = AppTest.from_string(code, default_timeout=120)
    for key, value in query.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception, page.exception[0].value
    return page


def words(page: AppTest) -> str:
    """Everything that is shown as HTML."""
    return " ".join(str(each.proto.body) for each in page.get("html"))


def click(page: AppTest, label: str) -> AppTest:
    next(button for button in page.button if button.label == label).click()
    page.run()
    assert not page.exception, page.exception[0].value
    return page


def test_first_page_links_to_all_others() -> None:
    from brittle.app import main, start

    assert set(start.PAGES) == set(main.PAGES) - {"start"}
    assert len(opened("start").get("page_link")) == len(start.PAGES)


def test_chat_streams_three_models_and_keeps_them_apart(models: list[str]) -> None:
    page = opened("chat", model=models, prompt="The quick brown fox", choices="jumps\nsleeps", tokens="5")
    click(page, "Send")
    answers = page.session_state["answers"]
    assert [answer.reference for answer in answers] == models
    assert [len(answer.tokens) for answer in answers] == [5, 5, 5]
    assert all(
        answer.tokens[-1].ended == "max tokens" and answer.ended == "as many tokens as asked for" for answer in answers
    )
    assert len({tuple(token.token_id for token in answer.tokens) for answer in answers}) == 3
    for answer in answers:
        assert sum(choice.share for choice in answer.choices) == pytest.approx(1)
        assert all(token.surprise >= 0 for token in answer.tokens)
    shown = words(page)
    assert shown.count('class="said"') >= 6  # three texts, three readings of the prompt
    page.run()  # what was said stays
    assert [len(answer.tokens) for answer in page.session_state["answers"]] == [5, 5, 5]


def test_chat_says_of_each_model_why_it_cannot_be_loaded_and_goes_on_with_the_others(
    models: list[str], tmp_path: Path
) -> None:
    page = opened("chat", model=[models[0], str(tmp_path), "laboratory:nobody"], prompt="The", tokens="2")
    click(page, "Send")
    first, second, third = page.session_state["answers"]
    assert len(first.tokens) == 2 and not first.problem
    assert "no config.json" in second.problem and "give a saved model" in second.problem
    assert "unknown laboratory model" in third.problem
    assert words(page).count('class="problem"') == 2


def test_chat_refuses_an_empty_prompt_and_no_model(models: list[str]) -> None:
    page = click(opened("chat", model=models[:1], prompt="  "), "Send")
    assert "the prompt is empty" in page.session_state["answers"][0].problem
    page = click(opened("chat", prompt="The"), "Send")
    assert "no model is chosen" in words(page)


def test_chat_says_what_of_a_long_prompt_was_cut(models: list[str]) -> None:
    page = click(opened("chat", model=models[:1], prompt="fox " * 200, tokens="4"), "Send")
    assert "tokens were left out" in page.session_state["answers"][0].cut
    assert "tokens were left out" in words(page)


def test_what_is_written_is_shown_as_text(models: list[str], outputs: Path) -> None:
    page = click(opened("chat", model=[models[2], BAD], prompt=BAD, choices=f"{BAD}\nno", tokens="3"), "Send")
    shown = words(page)
    assert "<script>" not in shown and "<b>three" not in shown
    assert "&lt;b&gt;three&lt;_b&gt; **bold**" in shown
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; **bold**" in shown
    for element in (*page.markdown, *page.caption):
        assert "script" not in element.value and "bold" not in element.value
        assert not element.allow_html
    lens = click(opened("lens", model=models[2:], question=BAD, choices=f"{BAD}\nother"), "Read")
    assert "<b>three" not in words(lens)
    assert not any("script" in element.value for element in lens.markdown)


def test_a_name_with_markup_in_a_record_is_shown_as_text(outputs: Path, tmp_path: Path) -> None:
    import shutil

    copied = Path(shutil.copytree(outputs, tmp_path / "outputs"))
    plan = json.loads((copied / "comparison.json").read_text())
    for entry in plan["models"]:
        if entry.get("method") == "cb_lat":
            entry["method"] = BAD
    (copied / "comparison.json").write_text(json.dumps(plan))
    answers = copied / "recovery" / "recovery_answers.csv"
    answers.write_text(answers.read_text().replace("entity0/source", '"<script>q</script> **q**"'))
    page = opened("experiment", root=str(copied))
    shown = words(page)
    assert "&lt;script&gt;alert" in shown and "<script>" not in shown
    facts = opened("experiment", root=str(copied), part="Facts: which came back")
    assert any("<script>q</script> **q**" in list(frame.value.iloc[:, 0]) for frame in facts.dataframe)
    assert "<script>" not in words(facts)
    assert not any("script" in each.value for each in (*page.markdown, *page.caption, *facts.markdown, *facts.caption))


def test_experiment_begins_with_the_verdict_of_the_report(outputs: Path) -> None:
    page = opened("experiment")
    shown = words(page)
    assert shown.index("Is the knowledge gone, or only hidden?") < shown.index("All models at a glance")
    assert "came back" in shown and "V 33 % → 100 %" in shown
    (glance, matched) = page.dataframe
    assert list(glance.value.columns[:2]) == ["model", "verdict"]
    assert "V at matched T: interval" in glance.value.columns
    row = matched.value.set_index("model").loc["cb_lat"]
    assert row["V at matched T"] == pytest.approx(95, abs=1) and row["V at matched T: interval"] == "93–97 %"


def test_every_part_of_an_experiment_is_shown_with_the_figures_of_the_report(outputs: Path) -> None:
    from brittle.app.experiment import PARTS

    charts = {part: len(opened("experiment", part=part).get("vega_lite_chart")) for part in PARTS}
    assert all(number >= 1 for number in charts.values())  # the first picture
    assert charts["What came back, attack by attack"] == 3
    assert charts["Changes by layer"] == 4


def test_facts_that_came_back_are_those_that_the_answers_say(outputs: Path) -> None:
    counts, table = (frame.value for frame in opened("experiment", part="Facts: which came back").dataframe)
    rows = counts.set_index("model")
    assert rows.loc["base", "✓ known before"] == reports_tree.QUESTIONS
    assert rows.loc["cb_lat", "● came back"] == 32 and rows.loc["filtered", "● came back"] == 0
    assert len(table) == reports_tree.QUESTIONS
    only = opened("experiment", part="Facts: which came back", returned="true").dataframe[1].value
    assert len(only) == 32


def test_broken_records_are_named_and_the_rest_is_shown(outputs: Path, tmp_path: Path) -> None:
    import shutil

    copied = Path(shutil.copytree(outputs, tmp_path / "outputs"))
    broken = copied / "laboratory_base" / "wmdp_logit_lens" / "record.json"
    broken.write_text("{")
    shown = words(opened("experiment", root=str(copied)))
    assert "laboratory_base/wmdp_logit_lens/record.json (is not valid JSON" in shown
    assert "Is the knowledge gone" in shown
    nothing = words(opened("experiment", root=str(tmp_path / "no_such")))
    assert 'class="problem"' in nothing and "no_such" in nothing


def test_models_are_filtered_and_of_many_a_page_is_read(tmp_path: Path) -> None:
    from brittle.app import reading

    root = many_models.build(tmp_path / "many", 20, seeds=1)
    page = opened("experiment", root=str(root))
    assert len(page.dataframe[0].value) == 3 + 8
    last = opened("experiment", root=str(root), page="3").dataframe[0].value
    assert len(last) == 3 + 4
    only = opened("experiment", root=str(root), method="wt_dist", setting="lr", value="0.003")
    assert set(only.dataframe[0].value["model"]) >= {"base", "filtered", "retrained"}
    assert (
        all("wt_dist" in model for model in only.dataframe[0].value["model"][3:])
        and len(only.dataframe[0].value) == 3 + 4
    )
    every = opened("experiment", root=str(root), all="true").dataframe[0].value
    assert len(every) == 3 + 20
    assert len(reading.listed(reading.root_of(root))[0]) == 23


def test_sweep_shows_every_model_and_stops_only_what_runs_here(
    outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brittle.sweeps import state

    jobs = [
        {
            "title": BAD,
            "status": "running",
            "reason": "",
            "seconds": 1.0,
            "stage": "attack",
            "done": 5,
            "of": 10,
            "seconds_left": 60,
        },
        {"title": "two", "status": "failed", "reason": "**no** <script>", "seconds": 2.0},
        {"title": "three", "status": "done", "reason": "", "seconds": 3.0},
    ]
    content = {"name": BAD, "jobs": jobs, "driver": state.driver(), "again": ["FILE"], "folder": str(tmp_path)}
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda process, number: told.append((process, int(number))))
    page = opened("sweep", sweep=str(tmp_path), ranking="false")
    table = page.dataframe[0].value
    assert list(table["model"]) == [BAD, "two", "three"] and list(table["done"])[0] == 0.5
    assert "<script>" not in words(page) and "&lt;script&gt;" in words(page)
    click(page, "Stop after the models at work")
    assert (os.getpid(), 2) in told
    elsewhere = content | {"driver": content["driver"] | {"host": "another"}}
    (tmp_path / "sweep.json").write_text(json.dumps(elsewhere))
    assert not opened("sweep", sweep=str(tmp_path), ranking="false").button
    ended = content | {"driver": content["driver"] | {"started": "0"}}
    (tmp_path / "sweep.json").write_text(json.dumps(ended))
    page = opened("sweep", sweep=str(tmp_path), ranking="false")
    assert [button.label for button in page.button] == ["Go on with 2 models"]
    begun: list[list[str]] = []
    monkeypatch.setattr("brittle.app.processes.start", lambda words, folder, log: begun.append(list(words)))
    page = opened("sweep", sweep=str(tmp_path), ranking="false")
    click(page, "Go on with 2 models")
    assert begun == [["sweep", "FILE"]]
    (tmp_path / "sweep.json").write_text("{")
    assert "cannot be read" in words(opened("sweep", sweep=str(tmp_path), ranking="false"))


def test_lens_shows_every_layer_of_every_model(models: list[str]) -> None:
    page = click(
        opened("lens", model=[*models[:2], "no/such/model"], question="The quick brown", choices="fox\n*dog\nsea"),
        "Read",
    )
    charts = page.get("vega_lite_chart")
    assert len(charts) == 2
    rows = json.loads(charts[0].proto.spec)["layer"][0]["data"]["values"]
    assert {row["choice"] for row in rows} == {"fox", "✓ dog", "sea"} and {row["depth"] for row in rows} == {0, 1, 2}
    assert sum(row["share"] for row in rows) == pytest.approx(3)
    assert words(page).count('class="problem"') == 1
    refused = click(opened("lens", model=models[:1], question="Q", choices="one"), "Read")
    assert "two answer choices or more" in words(refused)


def test_tuned_lens_learns_from_a_file_once_and_leaves_with_its_model(models: list[str], tmp_path: Path) -> None:
    from brittle.app import loaded

    texts = tmp_path / "texts.txt"
    texts.write_text(
        "The quick brown fox jumps.\nA model learns what it reads.\nThe river runs to the sea.\nAnother text of words.\n"
    )
    page = opened("lens", model=models[:1], question="The quick", choices="fox\ndog", lens="tuned", texts=str(texts))
    click(page, "Read")
    assert len(page.get("vega_lite_chart")) == 1
    (held,) = loaded.models().models.values()
    assert len(held.lenses) == 1
    without = click(opened("lens", model=models[:1], question="The quick", choices="fox\ndog", lens="tuned"), "Read")
    assert "name a file of texts" in words(without)


def test_data_says_what_check_data_says(tmp_path: Path) -> None:
    from brittle.runs.data_check import CheckSettings, check

    file = tmp_path / "texts.txt"
    file.write_text(f"one text\n{BAD}\none text\n")
    page = opened("data", file=str(file))
    assert page.code[0].value.splitlines() == check(file, CheckSettings())
    assert 'class="problem"' in words(opened("data", file=str(tmp_path / "none.txt")))


def test_methods_render_their_formulas() -> None:
    page = opened("methods", method="npo")
    text = " ".join(each.value for each in page.markdown)
    assert r"\text{NLL}_{\text{retain}}" in text and "--beta" in text


@pytest.mark.parametrize(
    ("formula", "wanted"),
    [
        ("L = −NLL_forget", r"L = -\text{NLL}_{\text{forget}}"),
        ("r̂_ℓ · h²", r"\hat{r}_{\ell } \cdot  h^{2}"),
        ("p_t^b₁", r"p_{t}^{b_{1}}"),
        ("10⁻⁸", "10^{-8}"),
        ("of the text x", r"\text{of the text}\ x"),
    ],
)
def test_a_formula_in_latex(formula: str, wanted: str) -> None:
    assert latex(formula) == wanted


def _set(most: int, load: Callable[[object], object] = lambda located: located) -> ModelSet:
    return ModelSet(most, lambda reference: SimpleNamespace(digest=reference.strip()), load)


def test_the_model_that_was_not_used_longest_leaves() -> None:
    models = _set(2)
    first = models.get("a")
    models.get("b")
    assert models.get("a") is first
    models.get("c")
    assert models.references() == ["c", "a"]
    assert models.get("a") is first


def test_a_model_that_two_sessions_ask_for_is_loaded_once() -> None:
    loads: list[object] = []
    begun = threading.Event()

    def load(located: object) -> object:
        loads.append(located)
        begun.wait(0.2)
        return located

    models = _set(2, load)
    threads = [threading.Thread(target=models.get, args=("a",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1 and len(models.models) == 1


def test_a_model_that_cannot_be_loaded_takes_no_place() -> None:
    def load(_located: object) -> object:
        raise BadInput("it does not fit")

    models = _set(1, load)
    with pytest.raises(BadInput, match="does not fit"):
        models.get("a")
    assert not models.models
