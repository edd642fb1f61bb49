"""``brittle infer``: one or several models go on with a prompt, or answer in a conversation, token by token."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from brittle import progress
from brittle.commands import infer_shown
from brittle.commands.options import Environment, Given, SettingsTypes, shared
from brittle.models.generation_settings import GenerationSettings
from brittle.settings import BadInput, fields_of, flag_of, references_in, resolve, setting, shortened
from brittle.suites.laboratory import PREFIX, parse

if TYPE_CHECKING:
    from brittle.models.generation import Token
    from brittle.models.loading import LoadedModel


@dataclass(frozen=True)
class InferSettings:
    """Who is asked what, and how the answers are shown."""

    model: str = setting(
        "",
        "hub id, folder, GGUF file, laboratory:NAME or smollm2:base; several are asked side by side",
        repeatable=True,
    )
    prompt: str | None = setting(None, "text to go on with; - reads it from standard input")
    prompt_file: str | None = setting(None, "file of prompts, one a line (or a table with a column text or prompt)")
    interactive: bool = setting(False, "ask for prompts, one a line, until the input ends (Ctrl-D)")
    chat: bool = setting(False, "put prompts into the tokenizer's chat template; with --interactive a conversation")
    device: str = shared("device")
    dtype: str = shared("dtype", help="number type; auto: bf16 on CUDA, fp16 on MPS, fp32 on a CPU")
    json: bool = setting(
        False, "print one JSON line for each prompt and model: text, tokens, log-probabilities, what was cut"
    )


def infer_settings(_only: str | None = None) -> SettingsTypes:
    """Who is asked what, and how a model goes on."""
    return [(InferSettings, {}), (GenerationSettings, {})]


def lacking(given: Given) -> list[str]:
    """A model, and something to ask it."""
    asked = any(given.get(name) not in (None, False) for name in ("prompt", "prompt_file", "interactive"))
    return [*(["model"] if "model" not in given else []), *(["prompt"] if not asked else [])]


def infer(given: Given, environment: Environment = None) -> int:
    """Find the models, refuse what cannot be carried out before any is loaded, then ask."""
    settings = resolve(InferSettings, given, environment)
    generation = resolve(GenerationSettings, given, environment)
    _check(settings, generation, given)
    prompts = _prompts(settings)
    with _without_collecting():
        asked = [_Asked(name, loaded, settings, generation) for name, loaded in _loaded(settings)]
    for prompt in prompts:
        _ask(prompt, asked, settings, echoed=True)
    for prompt in _typed() if settings.interactive else ():
        _ask(prompt, asked, settings, echoed=not sys.stdin.isatty())
    return 0


@dataclass
class _Asked:
    """A model that is asked, and what was said so far."""

    name: str
    loaded: LoadedModel
    settings: InferSettings
    generation: GenerationSettings
    said: list[dict[str, str]] = field(default_factory=list)

    def answer(self, text: str) -> infer_shown.Answer:
        """What it says to a prompt; what of the prompt does not fit into its context is told at once."""
        from brittle.models.generation import prepare, stream

        if not self.settings.interactive:
            self.said = []
        said = [*self.said, {"role": "user", "content": text}]
        prompt = prepare(self.loaded, said if self.settings.chat else text, self.generation.max_tokens)
        if prompt.cut:
            cut = infer_shown.printable(shortened(prompt.cut_text, 60))
            progress.say(
                f"{self.name}: the prompt is longer than the context allows; its first {prompt.cut} tokens are left out: {cut}"
            )
        return infer_shown.Answer(
            self.name, text, prompt, self._kept(said, stream(self.loaded, prompt, self.generation))
        )

    def _kept(self, said: list[dict[str, str]], tokens: Iterator[Token]) -> Iterator[Token]:
        text = ""
        for token in tokens:
            text += token.text
            yield token
        self.said = [*said, {"role": "assistant", "content": text}]


def _ask(prompt: str, asked: Sequence[_Asked], settings: InferSettings, echoed: bool) -> None:
    """One prompt to every model."""
    answers = [each.answer(prompt) for each in asked]
    if settings.json:
        infer_shown.show_json(answers)
    elif len(answers) > 1 and sys.stdout.isatty():
        infer_shown.show_side_by_side(answers, echoed)
    else:
        infer_shown.show_in_turn(answers, len(answers) > 1, echoed)


@contextlib.contextmanager
def _without_collecting() -> Iterator[None]:
    """Importing torch and transformers makes many objects and no garbage: to look for it takes a tenth of that time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _loaded(settings: InferSettings) -> Iterator[tuple[str, LoadedModel]]:
    """The models, of which none is loaded before it is known that all are there and fit into the memory."""
    references = references_in(settings.model, "--model")
    from brittle.models import room
    from brittle.models.devices import resolve_device
    from brittle.models.generation import check_template
    from brittle.models.loading import load, load_tokenizer
    from brittle.models.references import is_local
    from brittle.runs.laboratory_models import find, of_a_suite

    resolve_device(settings.device)
    for reference in references:
        if reference.startswith(PREFIX):
            parse(reference)
        elif not of_a_suite(reference) and not is_local(reference):
            room.check_download_fits(reference, settings.device, settings.dtype)
    models = [find(reference) for reference in references]
    room.check_fits(models, settings.device, settings.dtype)
    for model in models if settings.chat else ():
        check_template(load_tokenizer(model.folder), model.text)
    for model in models:
        yield model.text, load(model, settings.device, settings.dtype)


def _check(settings: InferSettings, generation: GenerationSettings, given: Given) -> None:
    """Refuse flags that contradict each other, or that nothing would read."""
    if settings.prompt is not None and settings.prompt_file is not None:
        raise BadInput("--prompt and --prompt-file contradict each other; leave one out")
    if settings.interactive and settings.prompt == "-":
        raise BadInput("--interactive and --prompt - both read the standard input; leave one out")
    if not generation.temperature:
        unread = [
            flag_of(each)
            for each in fields_of(GenerationSettings)
            if each.name in ("top_p", "top_k", "seed") and each.name in given
        ]
        if unread:
            raise BadInput(f"{unread[0]} is read when tokens are drawn; add --temperature 1, or leave it out")


def _prompts(settings: InferSettings) -> list[str]:
    """The prompts that were given; an empty one is refused before a model is loaded."""
    if settings.prompt_file is not None:
        from brittle.data.corpora import read_texts

        return read_texts(settings.prompt_file)
    if settings.prompt is None:
        return []
    text = _read(sys.stdin.read) if settings.prompt == "-" else settings.prompt
    if not text.strip():
        where = "standard input holds no prompt" if settings.prompt == "-" else "the prompt is empty"
        raise BadInput(f"--prompt: {where}; write what the model is to go on with")
    return [text.removesuffix("\n") if settings.prompt == "-" else text]


def _typed() -> Iterator[str]:
    """What is typed, a line each, until the input ends."""
    while line := _read(lambda: input("> ") + "\n" if sys.stdin.isatty() else sys.stdin.readline()):
        if line.strip():
            yield line.rstrip("\r\n")


def _read(read: Callable[[], str]) -> str:
    """Text from standard input, empty at its end; refused where it is no UTF-8."""
    try:
        text = read()
        text.encode()
    except EOFError:
        return ""
    except UnicodeError:
        raise BadInput("standard input is not UTF-8 text; save it as UTF-8") from None
    return text
