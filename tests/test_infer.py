"""``brittle infer`` as one meets it: what is printed where, what is refused before a model is loaded, what reaches a terminal."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import httpx
import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError
from rich.console import Console
from test_generation import TEMPLATE
from tiny_models import TEXTS, tiny_model_folder, tiny_tokenizer

from brittle.command_line import main
from brittle.commands import infer_shown
from brittle.models import loading, room
from brittle.models.generation import GenerationSettings, Prompt, Token, stream
from brittle.models.references import locate

ROOT = Path(__file__).parent.parent
PROMPT = "The quick brown fox"
SHORT = ("--max-tokens", "6", "--device", "cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two models; the second has a chat template."""
    root = tmp_path_factory.mktemp("models")
    made = [tiny_model_folder(root / name, seed=seed) for seed, name in enumerate(("first", "second"))]
    (made[1] / "chat_template.jinja").write_text(TEMPLATE)
    return [str(folder) for folder in made]


def said(capsys, *arguments: str, typed: str = "", monkeypatch=None) -> tuple[int, str, str]:
    """Exit code, output, errors."""
    if monkeypatch is not None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    with pytest.raises(SystemExit) as end:
        main("infer", [*arguments, *SHORT])
    captured = capsys.readouterr()
    return int(end.value.code or 0), captured.out, captured.err


def answer(folder: str, prompt, tokens: int = 6, **settings) -> str:
    """What the library says."""
    loaded = loading.load(locate(folder), "cpu")
    return "".join(token.text for token in stream(loaded, prompt, GenerationSettings(tokens, **settings)))


def shown(*texts: str) -> str:
    return infer_shown.printable("".join(texts))


def test_prompt_and_what_follows_are_printed(capsys, folders) -> None:
    out = shown(PROMPT, answer(folders[0], PROMPT)) + "\n"
    assert said(capsys, "--model", folders[0], "--prompt", PROMPT) == (0, out, "")


def test_several_models_are_named_each_above_its_answer(capsys, folders) -> None:
    out = "".join(f"{folder}:\n{shown(PROMPT, answer(folder, PROMPT))}\n" for folder in folders)
    assert said(capsys, "--model", ",".join(folders), "--prompt", PROMPT) == (0, out, "")
    assert said(capsys, "--model", folders[0], "--model", folders[1], "--prompt", PROMPT) == (0, out, "")


def test_sampling_flags_reach_the_model(capsys, folders) -> None:
    flags = ("--temperature", "2", "--top-k", "9", "--top-p", "0.9", "--seed", "5")
    drawn = answer(folders[0], PROMPT, temperature=2.0, top_k=9, top_p=0.9, seed=5)
    assert drawn != answer(folders[0], PROMPT)
    code, out, _ = said(capsys, "--model", folders[0], "--prompt", PROMPT, *flags)
    assert (code, out) == (0, shown(PROMPT, drawn) + "\n")


def test_json_has_a_line_for_each_prompt_and_model(capsys, folders, tmp_path) -> None:
    prompts = [PROMPT, 'The river, "runs" <b>*']
    (tmp_path / "prompts.txt").write_text("\n".join([*prompts, "", ""]))
    flags = ("--prompt-file", str(tmp_path / "prompts.txt"), "--json")
    code, out, _ = said(capsys, "--model", ",".join(folders), *flags)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and out.isascii()
    assert [(row["prompt"], row["model"]) for row in rows] == [
        (prompt, folder) for prompt in prompts for folder in folders
    ]
    for row in rows:
        tokens = list(stream(loading.load(locate(row["model"]), "cpu"), row["prompt"], GenerationSettings(6)))
        assert row["text"] == "".join(token.text for token in tokens)
        assert [(each["id"], each["log_probability"]) for each in row["tokens"]] == [
            (token.token_id, token.log_probability) for token in tokens
        ]
        assert row["ended"] == tokens[-1].ended and row["cut"] == {"tokens": 0, "text": ""}


def test_a_prompt_is_read_from_standard_input(capsys, folders, monkeypatch) -> None:
    out = shown(PROMPT, answer(folders[0], PROMPT)) + "\n"
    assert said(capsys, "--model", folders[0], "--prompt", "-", typed=f"{PROMPT}\n", monkeypatch=monkeypatch)[1] == out


def test_what_of_a_long_prompt_was_cut_is_said(capsys, folders) -> None:
    long = " ".join(TEXTS * 2)
    code, _, error = said(capsys, "--model", folders[0], "--prompt", long)
    assert code == 0 and error.count("\n") == 1
    cut = len(tiny_tokenizer()(long)["input_ids"]) - (64 - 6)
    assert f"its first {cut} tokens are left out: The quick brown fox" in error
    row = json.loads(said(capsys, "--model", folders[0], "--prompt", long, "--json")[1])
    assert row["cut"]["tokens"] == cut and long.startswith(row["cut"]["text"])


def test_a_conversation_remembers_what_was_said(capsys, folders, monkeypatch) -> None:
    said_first = answer(folders[1], [{"role": "user", "content": "The fox?"}])
    conversation = [
        {"role": "user", "content": "The fox?"}, {"role": "assistant", "content": said_first},
        {"role": "user", "content": "The dog?"},
    ]  # fmt: skip
    flags = ("--model", folders[1], "--interactive", "--chat", "--json")
    code, out, _ = said(capsys, *flags, typed="The fox?\n\nThe dog?\n", monkeypatch=monkeypatch)
    texts = [json.loads(line)["text"] for line in out.splitlines()]
    assert (code, texts) == (0, [said_first, answer(folders[1], conversation)])
    assert texts[1] != answer(folders[1], conversation[2:])


def test_without_a_conversation_every_line_stands_alone(capsys, folders, monkeypatch) -> None:
    flags = ("--model", folders[0], "--interactive", "--json", "--prompt", "The dog")
    _, out, _ = said(capsys, *flags, typed="The fox\nThe dog\n", monkeypatch=monkeypatch)
    texts = [json.loads(line)["text"] for line in out.splitlines()]
    assert texts == [answer(folders[0], text) for text in ("The dog", "The fox", "The dog")]


REFUSED = [
    (["--prompt", PROMPT], "needs --model"),
    (["--model", "FIRST"], "needs --prompt"),
    (["--model", "FIRST", "--prompt", ""], "--prompt: the prompt is empty"),
    (["--model", "FIRST", "--prompt", " \n"], "--prompt: the prompt is empty"),
    (["--model", "FIRST", "--prompt", "-"], "standard input holds no prompt"),
    (["--model", "no/such/model", "--prompt", "a"], "'no/such/model'"),
    (["--model", "laboratory:bse", "--prompt", "a"], "did you mean laboratory:base?"),
    (["--model", "FIRST,laboratory:bse", "--prompt", "a"], "did you mean laboratory:base?"),
    (["--model", "FIRST,FIRST", "--prompt", "a"], "stands there twice"),
    (["--model", "FIRST", "--prompt", "a", "--prompt-file", "b"], "contradict each other"),
    (["--model", "FIRST", "--prompt-file", "no/such/file.txt"], "does not exist"),
    (["--model", "FIRST", "--prompt", "-", "--interactive"], "both read the standard input"),
    (["--model", "FIRST", "--prompt", "a", "--top-p", "0.5"], "--top-p is read when tokens are drawn; add --temperature"),
    (["--model", "FIRST", "--prompt", "a", "--temperature", "-1"], "--temperature: -1.0 is out of range"),
    (["--model", "FIRST", "--prompt", "a", "--dtype", "fp8"], "'fp8' is not one of auto, fp32"),
    (["--model", "FIRST", "--prompt", "a", "--device", "gpu"], "'gpu' is not one of auto, cuda"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), REFUSED)
def test_bad_input_is_one_line_before_a_model_is_loaded(arguments, words, capsys, folders, monkeypatch) -> None:
    monkeypatch.setattr(loading, "load", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(SystemExit) as end:
        main("infer", [argument.replace("FIRST", folders[0]) for argument in arguments])
    captured = capsys.readouterr()
    assert (end.value.code, captured.out, captured.err.count("\n")) == (2, "", 1)
    assert words in captured.err


def test_models_too_large_for_the_memory_are_refused_before_loading(capsys, folders, monkeypatch) -> None:
    monkeypatch.setattr(loading, "load", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr(room, "free_memory", lambda _device: 1000.0)
    code, out, error = said(capsys, "--model", folders[0], "--prompt", "a")
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert f"{folders[0]}: too large for the memory of cpu" in error


def test_a_hub_model_too_large_is_refused_before_its_weights_are_fetched(
    capsys, folders, monkeypatch, tmp_path
) -> None:
    asked: list[list[str]] = []

    def snapshot(_id, revision=None, allow_patterns=()):
        asked.append(list(allow_patterns))
        (tmp_path / "config.json").write_bytes((Path(folders[0]) / "config.json").read_bytes())
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(room, "free_memory", lambda _device: 1000.0)
    code, _, error = said(capsys, "--model", "some/model", "--prompt", "a")
    assert (code, error.count("\n"), asked) == (2, 1, [["config.json"]])
    assert "some/model: too large" in error


def test_a_gated_model_says_what_to_do(capsys, monkeypatch) -> None:
    def snapshot(*_given, **_more):
        raise GatedRepoError("no", response=httpx.Response(403, request=httpx.Request("GET", "https://hub.invalid")))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    code, out, error = said(capsys, "--model", "some/model", "--prompt", "a")
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert "'some/model' is gated on the hub; accept its terms on its page and put HF_TOKEN into .env" in error


def test_a_chat_with_a_model_without_template_is_refused(capsys, folders, monkeypatch) -> None:
    monkeypatch.setattr(loading, "load", lambda *_: pytest.fail("loaded"))
    code, out, error = said(capsys, "--model", ",".join(folders), "--prompt", "a", "--chat")
    assert (code, out, error.count("\n")) == (
        2,
        "",
        1,
    ) and f"the tokenizer of {folders[0]} has no chat template" in error


NASTY = "a\x1b[31mb\x07\r\x9b2J\u202ec\u2066d\x00\x7f"
"""A colour, a bell, the line's beginning, an erased screen, writing from right to left."""


def nasty(tokens: int = 1) -> infer_shown.Answer:
    pieces = [Token(sign, 5, -1.0) for sign in NASTY] * tokens
    return infer_shown.Answer(NASTY, NASTY, Prompt((1,), 10), iter([*pieces, Token("", 0, -1.0, "end of text")]))


def test_no_control_character_reaches_the_terminal(capsys) -> None:
    infer_shown.show_in_turn([nasty(), nasty()], labelled=True, echoed=True)
    infer_shown.show_side_by_side([nasty(), nasty(3)], echoed=True)
    infer_shown.show_json([nasty()])
    out = capsys.readouterr().out
    assert not [sign for sign in out if not sign.isprintable() and sign != "\n"]
    assert shown(NASTY) == r"a\x1b[31mb\x07\r\x9b2J\u202ec\u2066d\x00\x7f" and shown(NASTY) in out


@pytest.mark.parametrize(
    "text", ["two\nlines\tand a tab", "no\u00a0break", "狐狸 🦊", "👩\u200d🔬", "می\u200cخواهم", "[red]*a*<script>"]
)
def test_ordinary_writing_is_shown_as_it_is(text, capsys) -> None:
    assert shown(text) == text
    infer_shown.show_in_turn([infer_shown.Answer("m", "", Prompt((1,), 1), iter([Token(text, 5, -1.0)]))], False, True)
    assert capsys.readouterr().out == f"{text}\n"


def test_columns_hold_every_answer_whole_and_no_markup(capsys) -> None:
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(infer_shown.columns(["one [bold]", "two"], ["[red]left[/red] *x*", "right\nbelow"]))
    text = console.export_text()
    assert all(words in text for words in ("one [bold]", "two", "[red]left[/red] *x*", "right", "below"))


def test_answers_of_different_length_grow_together(capsys) -> None:
    def told(name: str, words: str) -> infer_shown.Answer:
        return infer_shown.Answer(
            name, "Why?", Prompt((1,), 9), iter([Token(f"{word} ", 5, -1.0) for word in words.split()])
        )

    order: list[str] = []

    def noted(answer: infer_shown.Answer):
        for token in answer.tokens:
            order.append(f"{answer.model}:{token.text.strip()}")
            yield token

    both = [told("m", "one two three"), told("n", "four")]
    infer_shown.show_side_by_side([infer_shown.Answer(a.model, a.asked, a.prompt, noted(a)) for a in both], echoed=True)
    assert order == ["m:one", "n:four", "m:two", "m:three"]
    out = capsys.readouterr().out
    assert out.startswith("Why?\n") and "one two three" in out and "four" in out


def test_the_documented_program_is_this_command() -> None:
    shown_help = subprocess.run([sys.executable, ROOT / "infer" / "cli.py", "--help"], capture_output=True, text=True)
    assert shown_help.returncode == 0 and "--max-tokens" in shown_help.stdout and "default: 200" in shown_help.stdout
