"""``brittle measure``: measures of tiny models on TOFU's and MUSE's schemas and on the laboratory, as records."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas
import pytest
from test_measuring_sets import write_muse, write_tofu
from tiny_loaded import tiny_loaded

from brittle.command_line import main
from brittle.data.measuring_set import AnsweredQuestion, Passage
from brittle.evaluation import measures, question_measures, text_measures
from brittle.evaluation.passage_rows import passage_rows
from brittle.models.likelihood import negative_log_likelihood
from brittle.percentages import percent
from brittle.settings import BadInput

TEMPLATE = "Question: {question}\nAnswer:"
ASKED = [
    AnsweredQuestion("Which fox reads?", "the quick fox", "a fox", ("the lazy dog", "a river", "the amber resin")),
    AnsweredQuestion("What runs?", "river", "", ("a dog that reads", "it", "resin")),
]
PASSAGES = [Passage("The quick brown", "fox jumps over the lazy dog"), Passage("", "The river runs to the sea")]


@pytest.fixture(scope="module")
def loaded():
    return tiny_loaded("gpt_neox")


def said(capsys, *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main("measure", [str(word) for word in words])
    found = capsys.readouterr()
    return int(end.value.code or 0), found.out, found.err


def nats(loaded, prompt: str, text: str) -> np.ndarray:
    """Of the text's tokens behind the prompt, from the model's own logits."""
    import torch

    before, row = (loaded.tokenizer(each)["input_ids"] for each in (prompt, f"{prompt} {text}"))
    with torch.no_grad():
        logs = loaded.model(input_ids=torch.tensor([row])).logits[0].double().log_softmax(-1)
    return np.array([float(logs[place - 1, row[place]]) for place in range(len(before), len(row))])


def test_question_measures_are_those_of_the_models_own_logits(loaded) -> None:
    rows = question_measures.question_rows(loaded, "forget", ASKED, TEMPLATE, 4, batch_size=2)
    for row, asked in zip(rows, ASKED, strict=True):
        prompt = TEMPLATE.format(question=asked.question)
        tokens = [nats(loaded, prompt, answer) for answer in asked.choices]
        means = np.exp([each.mean() for each in tokens])
        whole = np.exp([each.sum() for each in tokens])
        wrong = means[2:]
        assert row.probability == pytest.approx(means[0], rel=1e-3)
        assert row.probability_among_answers == pytest.approx(means[0] / (means[0] + wrong.sum()), rel=1e-3)
        assert row.probability_among_answers_of_the_paper == pytest.approx(
            whole[0] / (whole[0] + whole[2:].sum()), rel=1e-3
        )
        assert row.truth_ratio_of_the_paper == pytest.approx(wrong.mean() / means[1], rel=1e-3)
        assert row.truth_ratio_of_openunlearning == pytest.approx(wrong.prod() ** (1 / 3) / means[1], rel=1e-3)
        assert 0 <= row.rouge_l <= 1 and 0 <= row.rouge_l_recall <= 1


def test_text_measures_are_those_of_the_models_own_logits(loaded) -> None:
    rows, starts = passage_rows(loaded, PASSAGES)
    assert loaded.tokenizer.decode(rows[0][starts[0] :]) == " fox jumps over the lazy dog" and starts[1] == 1
    members = text_measures.membership_rows(loaded, PASSAGES, True, gradients=False)
    own = nats(loaded, PASSAGES[0].prompt, PASSAGES[0].text)
    assert members[0].loss == pytest.approx(-own.mean(), abs=1e-4) and math.isnan(members[0].gradient_norm)
    lowest = np.sort(own)[: int(0.4 * len(own))]
    assert members[0].min_k == pytest.approx(-lowest.mean(), abs=1e-4)
    expected = negative_log_likelihood(loaded, [PASSAGES[1].text])[0]
    assert members[1].loss == pytest.approx(expected, abs=1e-4)
    found = text_measures.memorisation_rows(loaded, PASSAGES)
    assert found[0].tokens == len(own) and 0 <= found[0].extraction_strength <= found[0].exact_memorisation <= 1
    with pytest.raises(BadInput, match="passage 2 .* no token to predict within 4 tokens"):
        passage_rows(loaded, [PASSAGES[1], PASSAGES[0]], 4)


def test_passages_are_compared_as_far_as_they_are_continued(loaded, monkeypatch) -> None:
    asked: list[list[int]] = []

    def parrot(_loaded, rows, lengths, *_others):
        asked.append(list(lengths))
        return [" fox\r jumps\n" for _ in rows]

    monkeypatch.setattr("brittle.models.continuations.continuations", parrot)
    row, whole = (
        text_measures.verbatim_rows(loaded, [PASSAGES[0]], most)[0]
        for most in (len(loaded.tokenizer("fox jumps")["input_ids"]), 40)
    )
    assert row.rouge_l == row.rouge_l_recall == 1 and row.said == "fox jumps"  # all that was compared
    assert whole.rouge_l_recall == pytest.approx(2 / 6) and whole.rouge_l == pytest.approx(2 * 2 / 8)
    assert asked[1] == [40]


def test_batches_and_order_change_nothing(loaded) -> None:
    one = question_measures.question_rows(loaded, "forget", ASKED, TEMPLATE, 4, (), ASKED[:1], batch_size=1)
    two = question_measures.question_rows(loaded, "forget", ASKED[::-1], TEMPLATE, 4, (), ASKED[:1], batch_size=8)[::-1]
    for left, right in zip(one, two, strict=True):
        assert left.said == right.said and left.probability == pytest.approx(right.probability, rel=1e-4)


def membership(member: list[float], held_out: list[float]) -> pandas.DataFrame:
    return pandas.DataFrame(
        {"member": [True] * len(member) + [False] * len(held_out), "loss": member + held_out, "zlib": [math.nan] * 4}
    )


def test_beside_a_retain_model_and_a_reference() -> None:
    questions = pandas.DataFrame(
        [["forget", 0.1, 0.2], ["forget", 0.2, 0.3], ["retain", 0.5, 0.5]],
        columns=["questions", "truth_ratio_of_the_paper", "truth_ratio_of_openunlearning"],
    )
    own = {"questions": questions, "membership": membership([1.0, 2.0], [3.0, 4.0])}
    retain = {"questions": questions * 1, "membership": membership([1.0, 4.0], [1.0, 4.0])}
    found = measures.beside_the_retain_model(own, retain)
    assert found["forget_quality_of_the_paper"] == found["forget_quality_of_openunlearning"] == 1
    assert found["privacy_leakage_loss"] == -1 and found["relative_difference_loss"] == 1
    assert "privacy_leakage_zlib" not in found  # not measured
    assert measures.beside_the_retain_model(own, own)["relative_difference_loss"] == 0
    areas = measures.areas_of(own["membership"], membership([1.0, 2.0], [3.0, 4.0]))
    assert areas == {"loss": 1, "beyond_reference": 0.5, "over_reference": 0.5}


def test_the_laboratory_in_one_table_and_a_second_run_that_measures_nothing(tmp_path: Path, capsys) -> None:
    models = [f"laboratory:{name}@tiny-0" for name in ("base", "filtered")]
    flags = ["--outroot", tmp_path, "--device", "cpu", "--limit", 12, "--batch-size", 16]
    flags += ["--reference-model", models[1], "--page", tmp_path / "table.md"]
    code, out, _ = said(capsys, *models, *flags)
    assert code == 0 and "extraction" in out and "laboratory:filtered@tiny-0" in out
    folder = tmp_path / "measures_laboratory"
    base, filtered = json.loads((folder / "summary.json").read_text())["models"]
    assert filtered["forget_quality_of_the_paper"] == 1 and base["forget_quality_of_the_paper"] < 0.05
    assert filtered["privacy_leakage_min_k"] == 0 and base["privacy_leakage_min_k"] < -0.5
    assert base["memorisation_extraction_strength"] > 0.8 > 0.2 > filtered["memorisation_extraction_strength"]
    assert base["forget_rouge_l_recall"] > filtered["forget_rouge_l_recall"]
    assert filtered["membership_areas_beyond_reference"] == 0.5 < base["membership_areas_beyond_reference"]
    assert base["model_utility_of_the_paper"] > 0.3 and filtered["model_utility_of_openunlearning"] > 0.3
    page = (tmp_path / "table.md").read_text()
    leak = percent(base["privacy_leakage_min_k"])
    assert "| laboratory:base@tiny-0 |" in page and "| forget quality |" in page and f"| {leak} |" in page
    own = tmp_path / "laboratory_base_tiny-0" / "measures_laboratory"
    written = {path: path.stat().st_mtime_ns for path in (own / "record.json", folder / "record.json")}
    assert set(pandas.read_csv(own / "membership.csv").columns) >= {"member", "loss", "gradient_norm"}
    assert said(capsys, *models, *flags)[0] == 0
    assert written == {path: path.stat().st_mtime_ns for path in written}
    assert said(capsys, *models, *flags, "--retain-model", "none")[0] == 0  # only the table is new
    assert written[own / "record.json"] == (own / "record.json").stat().st_mtime_ns
    assert "forget_quality_of_the_paper" not in json.loads((folder / "summary.json").read_text())["models"][0]


@pytest.mark.parametrize("suite", ["tofu", "muse"])
def test_published_suites_from_a_folder(suite: str, tmp_path: Path, capsys) -> None:
    source = tmp_path / "data"
    source.mkdir()
    {"tofu": write_tofu, "muse": write_muse}[suite](source)
    models = [f"laboratory:{name}@tiny-0" for name in ("base", "filtered")]
    flags = ["--suite", suite, "--source", source, "--outroot", tmp_path / "out", "--device", "cpu"]
    flags += ["--answer-tokens", 6, "--verbatim-tokens", 6, "--retain-model", models[1]]
    code, out, error = said(capsys, *models, *flags)
    assert code == 0, error
    first, second = json.loads((tmp_path / "out" / f"measures_{suite}" / "summary.json").read_text())["models"]
    if suite == "tofu":
        assert second["forget_quality_of_openunlearning"] == 1
        assert 0 <= first["model_utility_of_the_paper"] <= 1 and "verbatim_rouge_l" not in first
        assert "privacy_leakage_loss" not in first  # no holdout in the folder
    else:
        assert first["model_utility_of_the_paper"] is None and 0 <= first["verbatim_rouge_l"] <= 1
        assert second["privacy_leakage_loss"] in (0, None) and first["forget_rouge_l"] >= 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("someone/model",), "someone/model belongs to no laboratory"),
        (("laboratory:base@tiny-0", "laboratory:base@tiny-1"), "different laboratories"),
        (("laboratory:base@tiny-0", "--retain-model", "laboratory:filtered@tiny-1"), "different laboratories"),
        (("laboratory:base@tiny-0", "--suite", "tofu", "--source", "/nowhere.json"), "cannot be read from the hub"),
        (("laboratory:base@tiny-0", "--min-k-share", "0"), "--min-k-share"),
    ],
)
def test_refusals_in_one_line(words: tuple[str, ...], told: str, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, _, error = said(capsys, *words, "--outroot", tmp_path / "out")
    assert (code, told in error, error.count("\n")) == (2, True, 1), error
    assert not (tmp_path / "out").exists()
