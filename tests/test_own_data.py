"""Own data: every example of docs/data.md is read as the page says, and questions in all their shapes mean what they should."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from brittle.command_line import main
from brittle.commands.pipeline_settings import PipelineSettings
from brittle.data.corpora import read_texts
from brittle.data.multiple_choice import Question, chance_of, question_of, read_questions
from brittle.evaluation.question_forms import BARE, in_form, template_of, worded
from brittle.runs import available, material
from brittle.runs.material import Material
from brittle.settings import BadInput, resolve

PAGE = (Path(__file__).parent.parent / "docs" / "data.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"```(?:jsonl|csv|text) (\S+)\n(.*?)```", PAGE, re.DOTALL))
REFUSED = "# refused: "
CHOICES = ["ricin", "water", "salt", "air"]


def commands() -> list[tuple[str, str]]:
    """The page's commands on its own examples, each with the words of the line that refuses it, or nothing."""
    found = []
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL):
        words = ""
        for line in block.splitlines():
            words = line.removeprefix(REFUSED) if line.startswith(REFUSED) else words
            if line.startswith("uv run brittle check-data ") and "FILE" not in line:
                found.append((line.removeprefix("uv run brittle check-data "), words))
    return found


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's examples as files, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name, content in EXAMPLES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def written(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_shows_every_form_and_checks_each() -> None:
    checked = {word for line, _ in commands() for word in shlex.split(line)}
    assert set(EXAMPLES) <= checked and len(EXAMPLES) == 12
    assert sum(bool(words) for _, words in commands()) == 3


@pytest.mark.parametrize(("line", "words"), commands())
def test_every_command_of_the_page_does_what_it_says(line: str, words: str, examples: Path, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main("check-data", shlex.split(line.replace("laboratory:base", "laboratory:base@tiny-0")))
    said = capsys.readouterr()
    assert end.value.code == (2 if words else 0), said.err
    assert words in said.err and ("read as" in said.out) is not bool(words)


def test_the_examples_of_questions_mean_what_the_page_says(examples: Path) -> None:
    right = {name: [q.choices[q.answer] for q in read_questions(name)] for name in
             ("positions.jsonl", "letters_and_texts.jsonl", "columns.csv", "lists.csv", "tofu.jsonl")}  # fmt: skip
    assert right == {
        "positions.jsonl": ["bark", "water"], "letters_and_texts.jsonl": ["bark", "water"], "columns.csv": ["bark", "yes"],
        "lists.csv": ["bark", "cold water"], "tofu.jsonl": ["Basil Zonal wrote it.", "He was born in Kuwait City."],
    }  # fmt: skip
    assert [q.choices[q.answer] for q in read_questions("from_one.csv", 1)] == ["bark", "water"]
    assert read_texts("muse.jsonl", "question,answer")[1] == "What does Kiral dissolve in? In cold water."


# --- shapes of rows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["B", "b", 1, "1", "water"])
def test_columns_of_letters_are_choices_and_empty_ones_at_the_end_none(answer) -> None:
    row = {"question": "Which?", "A": "ricin", "B": "water", "C": "salt", "D": None, "answer": answer}
    assert question_of(row, "s", "row 1") == Question("Which?", ("ricin", "water", "salt"), 1, "s")


@pytest.mark.parametrize(
    "change", [{"B": ""}, {"answer": "D"}, {"answer": 3}, {"C": "ricin"}, {"E": "air"}, {"answer": None}], ids=str
)
def test_columns_of_letters_that_ask_nothing_definite_are_refused(change) -> None:
    row = {"question": "Which?", "A": "ricin", "B": "water", "C": "salt", "answer": "A"} | change
    with pytest.raises(BadInput, match="row 1"):
        question_of(row, "s", "row 1")


def test_tofus_right_answer_stands_anywhere_and_wrong_ones_count_once() -> None:
    places = set()
    for number in range(40):
        row = {"question": f"Who {number}?", "answer": "Zon", "perturbed_answer": ["Kira", "Bo", " Kira", "Zon", "Mo"]}
        question = question_of(row, "s", "row 1")
        assert question == question_of(row, "s", "row 1")
        assert sorted(question.choices) == ["Bo", "Kira", "Mo", "Zon"] and question.choices[question.answer] == "Zon"
        places.add(question.answer)
    assert places == {0, 1, 2, 3}
    row = {"question": "Which?", "answer": "2", "perturbed_answer": '["1", "3"]'}  # an answer here is always a text
    question = question_of(row, "s", "row 1")
    assert question.choices[question.answer] == "2"
    with pytest.raises(BadInput, match="row 1"):
        question_of({**row, "perturbed_answer": ["2"]}, "s", "row 1")


def test_a_question_with_an_answer_alone_is_refused_with_the_way_to_use_it() -> None:
    with pytest.raises(BadInput, match="--text-column question,answer"):
        question_of({"question": "Who?", "answer": "Zon wrote it."}, "s", "row 1")


# --- answers from 0 or 1 ---------------------------------------------------------------------------------------------


def rows_with(answers: list) -> list[dict]:
    return [{"question": f"Which, {n}?", "choices": CHOICES, "answer": answer} for n, answer in enumerate(answers)]


@pytest.mark.parametrize(
    ("answers", "first", "expected"),
    [
        ([1, 4], 1, [0, 3]), (["1", "4"], 1, [0, 3]), ([0, 3], None, [0, 3]), ([1, 3], None, [1, 3]), ([1, 3], 0, [1, 3]),
        (["A", "D"], 1, [0, 3]), (["air", "1"], 1, [3, 0]), (["D", "D"], None, [3, 3]), ([1.0, 2.0], 1, [0, 1]),
    ],
    ids=str,
)  # fmt: skip
def test_positions_count_from_what_was_told_and_letters_and_texts_do_not(answers, first, expected, tmp_path) -> None:
    path = written(tmp_path / "q.jsonl", rows_with(answers))
    assert [question.answer for question in read_questions(path, first)] == expected


@pytest.mark.parametrize("answers", [[1, 4], ["2", "4"], [4], ["A", 4]], ids=str)
def test_a_file_that_shows_that_it_counts_from_one_is_refused(answers, tmp_path) -> None:
    path = written(tmp_path / "q.jsonl", rows_with(answers))
    with pytest.raises(BadInput, match=f"row {len(answers)}: answer 4 .*--answers-from 1"):
        read_questions(path)


@pytest.mark.parametrize(
    ("answers", "first"), [([0, 4], None), ([1, 4], 0), ([0, 1], 1), (["0", 1], 1), ([5], 1)], ids=str
)
def test_a_position_outside_the_choices_is_a_wrong_row_all_the_same(answers, first, tmp_path) -> None:
    path = written(tmp_path / "q.jsonl", rows_with(answers))
    with pytest.raises(BadInput, match="not a multiple-choice row"):
        read_questions(path, first)


# --- chance ----------------------------------------------------------------------------------------------------------


def test_chance_is_the_mean_of_one_over_the_number_of_choices() -> None:
    questions = [Question("Which?", tuple(CHOICES[:number]), 0, "s") for number in (2, 2, 4)]
    assert chance_of(questions) == pytest.approx((0.5 + 0.5 + 0.25) / 3)
    with pytest.raises(ValueError, match="no chance"):
        chance_of([])


def test_the_lens_records_the_chance_of_its_questions() -> None:
    from tiny_loaded import QUESTIONS, tiny_loaded

    from brittle.diagnostics import layerwise_accuracy
    from brittle.models.likelihood import score

    fitter = layerwise_accuracy.Fitter(layerwise_accuracy.Settings())
    found = fitter.update(score(tiny_loaded(), QUESTIONS, depths="all")).finish()
    assert found.summary["chance"] == pytest.approx(chance_of(QUESTIONS)) != 0.25
    assert {row.expected_accuracy for row in found.tables["wmdp_lens_results"]} == {found.summary["chance"]}


# --- templates -------------------------------------------------------------------------------------------------------

ASKED = [Question(f"Which toxin, {entity}?", ("ricin", "water"), 0, "s", None, entity) for entity in ("Zon", "Kira")]


def test_a_template_words_continuations_and_leaves_letters_as_they_are() -> None:
    template = template_of(r"Question: {question}\nAnswer:")
    told = Material({}, material.questions_by_side(ASKED, ASKED), {"retain": "letters"}, template)
    assert told.in_step_0("retain") == ASKED
    assert told.worded["retain"][0].question == "Question: Which toxin, Zon?\nAnswer:"
    assert [q.question for q in told.hazardous] == [q.question for side in "tv" for q in told.in_step_0(side)]
    assert told.hazardous[0].text.endswith("\nAnswer: ricin") and told.hazardous[0].entity
    assert in_form(told.in_step_0("retain"), "letters")[0].question.endswith(
        "Which toxin, Zon?\nA. ricin\nB. water\nAnswer:"
    )


def test_a_template_belongs_to_what_results_depend_on_and_none_changes_nothing() -> None:
    sides = material.questions_by_side(ASKED, ASKED)
    bare, same, other = Material({}, sides), Material({}, sides, {}, BARE), Material({}, sides, {}, "Q: {question}")
    assert bare.asked == same.asked != other.asked
    assert worded(ASKED, BARE) is ASKED


@pytest.mark.parametrize(
    "text", ["", "Question:", "{}", "{question", "{question} {answer}", "{question!r}", "{question:>9}", "{question.__class__}", "{question}: "]
)  # fmt: skip
def test_a_template_that_asks_no_question_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--question-template"):
        template_of(text)


# --- own texts and no own questions ----------------------------------------------------------------------------------


def settings(**given) -> SimpleNamespace:
    common = {"forget_questions": None, "retain_questions": None, "num_questions": 10, "question_format": "auto"}
    return SimpleNamespace(**common | given)


def test_own_texts_without_own_questions_are_refused_and_nothing_is_loaded(monkeypatch) -> None:
    monkeypatch.setattr(material, "load_questions", lambda name: pytest.fail(f"{name} was loaded"))
    with pytest.raises(BadInput, match=r"mine\.txt.*--forget-questions and --retain-questions.*wmdp-bio and mmlu"):
        material.questions_of(None, settings(forget_text="mine.txt"))
    with pytest.raises(BadInput, match="name --retain-questions:"):
        material.questions_of(None, settings(forget_text="mine.txt", forget_questions="mine.jsonl"))
    with pytest.raises(BadInput, match="name --forget-questions:"):
        material.questions_of(None, settings(forget_text="mine.txt"), benign=False)


@pytest.mark.parametrize(
    "given",
    [
        {}, {"forget_text": "data/forget.txt"}, {"retain_text": "mine.txt"},
        {"forget_text": "mine.txt", "forget_questions": "wmdp-bio", "retain_questions": "mmlu"},
    ],
    ids=str,
)  # fmt: skip
def test_documented_defaults_and_named_sets_are_loaded_as_ever(monkeypatch, given) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(material, "load_questions", lambda name: loaded.append(name) or ASKED)
    _, forms, template = material.questions_of(None, settings(**given))
    assert (loaded, template) == (["wmdp-bio", "mmlu"], BARE)
    assert forms == {"t": "letters", "v": "letters", "retain": "letters"}


@pytest.mark.parametrize("command", ["pipeline", "attack", "diagnose"])
def test_commands_refuse_own_texts_without_questions(command: str, tmp_path: Path, monkeypatch, capsys) -> None:
    from tiny_models import tiny_model_folder

    monkeypatch.chdir(tmp_path)
    model = str(tiny_model_folder(tmp_path / "model"))
    (tmp_path / "mine.txt").write_text("A fox.\nA dog.\n", encoding="utf-8")
    (tmp_path / "kept.txt").write_text("A river.\nA sea.\n", encoding="utf-8")
    texts = ["--forget-text", "mine.txt", "--retain-text", "kept.txt"]
    arguments = {
        "pipeline": ["--base", model, "--unlearned", model, "--filtered", "none"],
        "attack": ["--model", model, "--kind", "relearning"], "diagnose": ["wmdp_logit_lens", "--model", model],
    }[command]  # fmt: skip
    with pytest.raises(SystemExit) as end:
        main(command, [*arguments, *texts])
    said = capsys.readouterr().err
    assert end.value.code == 2 and "--forget-questions" in said and said.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_step_0_records_chance_and_template_and_is_made_anew_in_other_words(tmp_path: Path) -> None:
    from tiny_models import tiny_model_folder

    from brittle.commands.diagnose import DiagnoseSettings, diagnose

    rows = [
        {"question": f"The fox {n}?", "A": "river", "B": "the sea", "answer": "B", "entity": f"E{n}"} for n in range(4)
    ]
    mine, model = str(written(tmp_path / "mine.jsonl", rows)), str(tiny_model_folder(tmp_path / "model"))
    kept = str(written(tmp_path / "kept.jsonl", [row | {"question": f"{row['question']} Or a dog?"} for row in rows]))
    found = {}
    for template in (BARE, r"Question: {question}\nAnswer:"):
        asked = DiagnoseSettings(
            model=model, outroot=str(tmp_path / "out"), device="cpu", forget_questions=mine, retain_questions=kept,
            question_template=template,
        )  # fmt: skip
        folder = diagnose("evals", asked, {})
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        assert {part["chance"] for part in (summary, *summary["results"].values())} == {0.5}
        found[summary["template"]] = json.loads((folder / "record.json").read_text(encoding="utf-8"))["fingerprint"]
    assert set(found) == {BARE, "Question: {question}\nAnswer:"} and len(set(found.values())) == 2


def test_a_comparison_without_a_laboratory_reads_questions_as_every_command_does(tmp_path) -> None:
    """``brittle compare A B``: where positions count from and how a question is worded are not lost on the way."""
    path = tmp_path / "from_one.jsonl"
    rows = [{"question": f"Which, {n}?", "choices": ["a", "b", "c", "d"], "answer": 1 + n % 4} for n in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    named = resolve(
        PipelineSettings,
        {"forget_questions": str(path), "answers_from": "1", "question_template": "Question: {question}\\nAnswer:"},
    )
    found = available.material(named)
    asked = [question for side in ("t", "v") for question in found.questions[side]]
    assert sorted(question.answer for question in asked) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert found.template == "Question: {question}\nAnswer:" and not found.questions["retain"]
    assert all(question.question.endswith("\nAnswer:") for question in found.hazardous)
