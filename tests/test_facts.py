"""Which facts came back: what the table says of every question, attack and model, and of tables that say less."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas
import pytest
import reports_tree

from brittle.results.facts import Fate, facts, freely
from brittle.results.outputs import gather
from brittle.views.questions import pages

CHOICES = json.dumps(["red", "blue", "green", "<b>"])


def row(model: str, seed: int, fact: str, predicted: int, right_at: str, side: str = "v", **more: object) -> dict:
    found = {"model": model, "attack": "relearning", "seed": seed, "step": 20, "side": side, "fact": fact}
    found |= {"choice_predicted": predicted, "choice_correct": 1, "choices": CHOICES, "right_at": right_at}
    return found | {"option": json.loads(CHOICES)[predicted]} | more


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    return reports_tree.build(tmp_path / "outputs")


def told(outputs: Path, rows: list[dict]) -> pandas.DataFrame:
    pandas.DataFrame(rows).to_csv(outputs / "recovery" / "recovery_answers.csv", index=False)
    return facts(gather(outputs)).set_index(["fact", "model"])


def test_every_fate_by_what_most_seeds_answer(outputs: Path) -> None:
    hidden, gone = list(reports_tree.ROLES)[3:]
    found = told(outputs, [
        *(row(hidden, seed, "a/x", 1, "[10, 20]", option_before="red") for seed in range(3)),
        *(row(hidden, seed, "b/x", int(seed == 0), "[20]" if seed == 0 else "[]", option_before="green") for seed in range(3)),
        *(row(hidden, seed, "c/x", 1, "[0, 20]", option_before="blue") for seed in range(3)),
        *(row(gone, seed, "c/x", 3, "[0, 10]", option_before="blue") for seed in range(3)),
        *(row(hidden, seed, "d/x", 1, "[20]", "t", option_before="red") for seed in range(3)),
    ])  # fmt: skip
    fates = [Fate.CAME_BACK, Fate.ABSENT, Fate.KNOWN, Fate.LOST, Fate.TAUGHT]
    keys = [("a/x", hidden), ("b/x", hidden), ("c/x", hidden), ("c/x", gone), ("d/x", hidden)]
    assert [found.loc[key, "fate"] for key in keys] == fates and list(found.index) == keys
    assert found.loc[keys[0], ["right", "said_before", "said", "first", "seeds"]].tolist() == [
        "blue",
        "red",
        "blue",
        10,
        3,
    ]
    assert found.loc[keys[1], "after"] == pytest.approx(1 / 3) and found.loc[keys[3], "said"] == "<b>"
    assert found.loc[keys[0], "label"] == "cb_lat" and found.loc[keys[0], "role"] == "unlearned"


def test_what_is_said_freely_before_and_after_is_what_most_seeds_say(outputs: Path) -> None:
    model = list(reports_tree.ROLES)[3]
    said = [("a river", "blue"), ("a river", "blue."), ("<i>", "blue")]
    found = told(outputs, [
        *(row(model, seed, "a/x", 1, "[20]", generated_before=one, generated=two) for seed, (one, two) in enumerate(said)),
        row(model, 0, "b/x", 1, "[20]", generated_before="NA", generated=""), row(model, 0, "c/x", 1, "[20]"),
    ])  # fmt: skip
    free = [freely(each) for each in found.reset_index().to_dict("records")]
    assert free == ["“a river” → “blue”", "“NA” → –", ""]
    (page,) = [content for title, content in pages(gather(outputs)).values() if title.endswith("relearning")]
    assert "by itself “a river” → “blue”" in "".join(str(piece) for each in page for piece in each.pieces)


def test_without_the_answer_before_only_a_right_one_is_known(outputs: Path) -> None:
    model = list(reports_tree.ROLES)[3]
    found = told(
        outputs, [row(model, 0, "a/x", 1, "[0, 20]"), row(model, 0, "b/x", 1, "[20]"), row(model, 0, "c/x", 1, "20")]
    )
    assert found["said_before"].tolist() == ["blue", "", ""]
    assert found["fate"].tolist() == [Fate.KNOWN, Fate.CAME_BACK, Fate.UNKNOWN]
    assert math.isnan(found["before"].iloc[2])


def test_shares_agree_with_the_accuracy_of_the_tables(outputs: Path) -> None:
    """Of 48 questions as many are right before as the accuracy at step 0 says; a model that is not asked for is left out."""
    data = gather(outputs)
    found = facts(data)
    for model, part in found.groupby("model"):
        before = data.before_attacks[str(model)]["accuracy_v"].mean()
        assert part["before"].mean() == pytest.approx(before, abs=1 / reports_tree.QUESTIONS)
    alone = data.only([data.models[0].name])
    assert set(facts(alone)["model"]) == {data.models[0].name}


def test_without_answers_there_are_no_rows_and_the_same_columns(outputs: Path) -> None:
    columns = list(facts(gather(outputs)).columns)
    (outputs / "recovery" / "recovery_answers.csv").unlink()
    found = facts(gather(outputs))
    assert found.empty and list(found.columns) == columns
