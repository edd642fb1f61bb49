"""What models say: token for token as transformers' ``generate``, with the log-probabilities of the teacher-forced pass."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from tiny_loaded import RELATIVES, tiny_loaded
from tiny_models import ARCHITECTURES, TEXTS, tiny_model_folder, tiny_tokenizer

from brittle.models import room
from brittle.models.generation import GenerationSettings, choice_probabilities, prepare, stream, surprise
from brittle.models.likelihood import negative_log_likelihood
from brittle.models.references import locate
from brittle.settings import BadInput

PROMPT = "The quick brown fox jumps over"
GREEDY = GenerationSettings(max_tokens=24)


def generated(loaded, prompt: str, **options) -> list[int]:
    """What transformers itself says."""
    ids = torch.tensor([prepare(loaded, prompt).token_ids])
    kept = {"temperature": None, "top_k": None, "top_p": None} | options
    found = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), pad_token_id=0, max_new_tokens=24, **kept)
    return found[0, ids.shape[1] :].tolist()


def seeded(loaded, seed: int, **options) -> list[int]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return generated(loaded, PROMPT, do_sample=True, **options)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *RELATIVES])
def test_greedy_tokens_are_those_of_generate_and_likelihoods_those_of_one_pass(architecture) -> None:
    for seed in (0, 1):
        loaded = tiny_loaded(architecture, seed)
        tokens = list(stream(loaded, PROMPT, GREEDY))
        assert [token.token_id for token in tokens] == generated(loaded, PROMPT, do_sample=False)
        whole = [*prepare(loaded, PROMPT).token_ids, *(token.token_id for token in tokens)]
        with torch.no_grad():
            logs = loaded.model(torch.tensor([whole])).logits[0].log_softmax(-1)
        start = len(whole) - len(tokens)
        expected = [float(logs[place - 1, whole[place]]) for place in range(start, len(whole))]
        assert [token.log_probability for token in tokens] == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("options", [{}, {"top_k": 5}, {"top_p": 0.7}, {"top_k": 50, "top_p": 0.9}], ids=str)
def test_drawn_tokens_are_those_of_generate_after_the_same_seed(options) -> None:
    loaded = tiny_loaded("llama")
    for seed in (0, 7):
        settings = GenerationSettings(max_tokens=24, temperature=1.5, seed=seed, **options)
        drawn = [token.token_id for token in stream(loaded, PROMPT, settings)]
        assert drawn == seeded(loaded, seed, temperature=1.5, **({"top_k": 0} | options))


def test_the_seed_decides_what_is_drawn_and_nothing_else_does() -> None:
    loaded = tiny_loaded("gpt_neox")
    drawn = {
        seed: [t.token_id for t in stream(loaded, PROMPT, GenerationSettings(24, temperature=2.0, seed=seed))]
        for seed in (0, 1)
    }
    torch.manual_seed(99)
    assert drawn[0] != drawn[1]
    again = GenerationSettings(24, temperature=2.0, seed=0)
    assert [t.token_id for t in stream(loaded, PROMPT, again)] == drawn[0]


def test_log_probabilities_do_not_depend_on_the_temperature() -> None:
    loaded = tiny_loaded("gpt_neox")
    greedy = next(stream(loaded, PROMPT, GREEDY))
    drawn = next(stream(loaded, PROMPT, GenerationSettings(1, temperature=5.0, top_k=1)))
    assert (drawn.token_id, drawn.log_probability) == (greedy.token_id, greedy.log_probability)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_surprise_is_minus_log_p_of_the_pass_over_the_text(architecture) -> None:
    loaded = tiny_loaded(architecture)
    tokens = surprise(loaded, TEXTS[0])
    ids = [token.token_id for token in tokens]
    with torch.no_grad():
        logs = loaded.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    expected = [-float(logs[place - 1, ids[place]]) for place in range(1, len(ids))]
    assert math.isnan(tokens[0].surprise)
    assert [token.surprise for token in tokens[1:]] == pytest.approx(expected, abs=2e-5)
    assert "".join(token.text for token in tokens) == TEXTS[0]


def test_mean_surprise_is_the_negative_log_likelihood_also_of_a_text_longer_than_the_context() -> None:
    loaded = tiny_loaded("gpt_neox")
    for text in (TEXTS[1], " ".join(TEXTS * 3)):
        found = np.array([token.surprise for token in surprise(loaded, text)])
        assert np.nanmean(found) == pytest.approx(negative_log_likelihood(loaded, [text])[0], abs=1e-6)
    assert np.isnan(found).sum() > 1  # one for each row


def ending_after(loaded, tokens: int):
    """Let a token that the model says end texts; what it then says."""
    ids = [token.token_id for token in stream(loaded, PROMPT, GREEDY)]
    first = next(place for place in range(tokens, len(ids)) if ids[place] not in ids[:place])
    loaded.model.generation_config.eos_token_id = [ids[first], 319]
    return ids[: first + 1]


def test_generation_ends_at_any_end_of_text_token_of_the_model() -> None:
    loaded = tiny_loaded("llama")
    ids = ending_after(loaded, 3)
    tokens = list(stream(loaded, PROMPT, GREEDY))
    assert [token.token_id for token in tokens] == ids == generated(loaded, PROMPT, do_sample=False)
    assert [token.ended for token in tokens] == [*[""] * (len(ids) - 1), "end of text"]


def test_generation_ends_at_the_end_of_text_token_of_the_tokenizer() -> None:
    loaded = tiny_loaded("llama")
    loaded.model.generation_config.eos_token_id = None
    with torch.no_grad():
        loaded.model.lm_head.weight.zero_()  # all alike: the first token, which ends texts, is taken
    (token,) = stream(loaded, PROMPT, GREEDY)
    assert (token.token_id, token.text, token.ended) == (0, "", "end of text")
    assert token.surprise == pytest.approx(math.log(320))


def test_pieces_are_the_text_also_where_a_character_is_spread_over_tokens() -> None:
    loaded = tiny_loaded("gpt_neox")
    text = "Ein Häuschen für 狐狸 🦊 – “déjà vu”"
    tokens = surprise(loaded, text)
    assert len(tokens) > len(text) and any(not token.text for token in tokens)
    assert "".join(token.text for token in tokens) == text
    for seed in range(8):
        drawn = list(stream(loaded, "狐", GenerationSettings(40, temperature=3.0, seed=seed)))
        whole = tiny_tokenizer().decode([token.token_id for token in drawn], skip_special_tokens=True)
        assert "".join(token.text for token in drawn) == whole


def test_a_prompt_that_leaves_no_room_is_cut_from_the_left_and_it_is_said_what_was_cut() -> None:
    loaded = tiny_loaded("gpt_neox")  # 64 positions
    long = " ".join(TEXTS * 2)
    prompt = prepare(loaded, long, max_tokens=20)
    assert (len(prompt.token_ids), prompt.room) == (44, 20)
    assert prompt.cut_text + loaded.tokenizer.decode(prompt.token_ids) == long
    assert prompt.cut == len(loaded.tokenizer(long)["input_ids"]) - 44
    half = prepare(loaded, long, max_tokens=1000)
    tokens = list(stream(loaded, half, GenerationSettings(1000)))
    assert len(half.token_ids) == 32 and (len(tokens), tokens[-1].ended) in (
        (32, "context full"),
        (len(tokens), "end of text"),
    )
    assert prepare(loaded, PROMPT).cut == 0 and prepare(loaded, PROMPT).cut_text == ""


def test_the_answer_to_a_cut_prompt_is_that_to_what_is_left() -> None:
    loaded = tiny_loaded("opt")
    long = prepare(loaded, " ".join(TEXTS * 2), max_tokens=20)
    left = loaded.tokenizer.decode(long.token_ids)
    settings = GenerationSettings(max_tokens=20)
    assert list(stream(loaded, long, settings)) == list(stream(loaded, left, settings))


@pytest.mark.parametrize("prompt", ["", " \n ", []], ids=repr)
def test_an_empty_prompt_is_refused(prompt) -> None:
    loaded = tiny_loaded("gpt_neox")
    loaded.tokenizer.chat_template = TEMPLATE
    with pytest.raises(BadInput, match="the prompt is empty"):
        prepare(loaded, prompt)


TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def test_a_conversation_is_asked_in_the_template_or_refused() -> None:
    loaded = tiny_loaded("gpt_neox")
    asked = [{"role": "user", "content": "The fox?"}]
    with pytest.raises(BadInput, match="no chat template; leave --chat out"):
        prepare(loaded, asked)
    loaded = dataclasses.replace(
        loaded, tokenizer=type(tiny_tokenizer())(tokenizer_object=tiny_tokenizer().backend_tokenizer)
    )
    loaded.tokenizer.chat_template = TEMPLATE
    assert prepare(loaded, asked).token_ids == prepare(loaded, "<user>The fox?<assistant>").token_ids
    with pytest.raises(BadInput, match="refuses the conversation .no system here"):
        prepare(loaded, [{"role": "system", "content": "Be good."}])


def test_a_stream_that_is_left_early_leaves_gradients_as_they_were() -> None:
    loaded = tiny_loaded("gpt_neox")
    tokens = stream(loaded, PROMPT, GREEDY)
    next(tokens)
    assert torch.is_grad_enabled()
    del tokens
    assert torch.is_grad_enabled()


def test_two_streams_of_one_model_do_not_mix() -> None:
    loaded = tiny_loaded("gpt_neox")
    texts = (PROMPT, TEXTS[2])
    alone = [[token.token_id for token in stream(loaded, text, GREEDY)] for text in texts]
    both = list(zip(*(stream(loaded, text, GREEDY) for text in texts)))
    for place, expected in enumerate(alone):
        assert [pair[place].token_id for pair in both] == expected[: len(both)]


def test_choices_have_the_probabilities_of_the_next_token() -> None:
    loaded = tiny_loaded("gpt_neox")
    choices = choice_probabilities(loaded, "The quick brown fox", ("a", "c", "f"))
    row = prepare(loaded, "The quick brown fox").token_ids
    with torch.no_grad():
        logs = loaded.model(torch.tensor([row])).logits[0, -1].log_softmax(-1)
    expected = [float(logs[loaded.tokenizer(f" {each}")["input_ids"][0]]) for each in ("a", "c", "f")]
    assert [choice.log_probability for choice in choices] == pytest.approx(expected, abs=2e-5)
    assert sum(choice.share for choice in choices) == pytest.approx(1)
    assert choices[0].share / choices[1].share == pytest.approx(math.exp(expected[0] - expected[1]), rel=1e-4)
    with pytest.raises(BadInput, match="two answer choices"):
        choice_probabilities(loaded, "The", ("a",))


def test_numbers_that_are_not_finite_are_refused_with_the_layer() -> None:
    loaded = tiny_loaded("llama")
    loaded.model.model.layers[1].mlp.down_proj.weight.data[0, 0] = torch.nan
    with pytest.raises(BadInput, match=r"from layer 1 \(depth 2\) on"):
        next(stream(loaded, PROMPT, GREEDY))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bytes_are_those_of_the_loaded_weights_and_of_a_full_cache(architecture, tmp_path) -> None:
    folder = tiny_model_folder(tmp_path / "model", architecture)
    loaded = tiny_loaded(architecture)
    with torch.no_grad():
        cache = loaded.model(torch.zeros(1, 64, dtype=torch.long), use_cache=True).past_key_values
    cached = sum(part.nbytes for layer in cache.layers for part in (layer.keys, layer.values))
    exact = sum(parameter.nbytes for parameter in loaded.model.parameters()) + cached
    assert room.bytes_needed(folder) == exact
    assert room.bytes_needed(folder, "bf16") == exact / 2
    (folder / "model.safetensors").unlink()  # config.json alone
    assert room.bytes_needed(folder) == exact


def test_models_are_refused_that_do_not_fit_together(tmp_path, monkeypatch) -> None:
    models = [locate(str(tiny_model_folder(tmp_path / name))) for name in ("a", "b")]
    one = room.bytes_needed(models[0].folder)
    monkeypatch.setattr(room, "free_memory", lambda _device: 1.5 * one)
    room.check_fits(models[:1], "cpu")
    room.check_fits(models, "cpu", "bf16")
    with pytest.raises(BadInput, match="too large for the memory of cpu: 0.0 GiB in fp32.* --dtype bf16"):
        room.check_fits(models, "cpu")
