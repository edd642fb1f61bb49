"""Tokens, scores and lenses where tools of this kind were wrong and said nothing: right numbers, or one line."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
import pytest
import torch
import transformers
from tiny_loaded import QUESTIONS, Asked, tiny_loaded
from tiny_models import TEXTS, VOCABULARY, tiny_model_folder
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from brittle.models import tuned_lens
from brittle.models.encoding import encode, encode_beginnings, encode_pieces, front_of
from brittle.models.hidden_states import NonFinite
from brittle.models.likelihood import mean_negative_log_likelihood, negative_log_likelihood, score
from brittle.models.loading import check_same_vocabulary
from brittle.models.observation import observe
from brittle.models.patching import answer_log_probabilities, answer_rows
from brittle.models.perturbation import Plan
from brittle.models.prepared_questions import prepare
from brittle.models.references import locate
from brittle.models.sensitivity import observe_sensitivity
from brittle.settings import BadInput
from brittle.training.batches import read, tokenise

KINDS = ("bpe", "unigram", "wordpiece")
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
WRAPPED = list(itertools.product(KINDS, (False, True), (False, True), (False, True)))
"""Kind of tokenizer, with a space put before texts, with BOS, with EOS."""


@functools.cache
def bare_tokenizer(kind: str, space: bool) -> str:
    """A tokenizer trained on the sentences of these tests, as JSON; once, since training Unigram is not repeatable."""
    if kind == "bpe":
        bare = Tokenizer(models.BPE(unk_token="<unk>"))
        bare.pre_tokenizer, bare.decoder = pre_tokenizers.ByteLevel(add_prefix_space=space), decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )  # fmt: skip
    elif kind == "unigram":
        bare = Tokenizer(models.Unigram())
        bare.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always" if space else "never")
        trainer = trainers.UnigramTrainer(
            vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
        )
    else:
        bare = Tokenizer(models.WordPiece(unk_token="<unk>"))
        bare.normalizer = normalizers.Sequence([normalizers.NFC(), *([normalizers.Prepend(" ")] if space else [])])
        bare.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=SPECIAL, show_progress=False)
    bare.train_from_iterator(TEXTS, trainer)
    return bare.to_str()


def tokenizer_of(kind: str, space: bool = False, bos: bool = False, eos: bool = False):
    """A tokenizer of a kind that wraps texts as asked."""
    bare = Tokenizer.from_str(bare_tokenizer(kind, space))
    template = " ".join(["<s>"] * bos + ["$A"] + ["</s>"] * eos)
    bare.post_processor = processors.TemplateProcessing(single=template, special_tokens=[("<s>", 2), ("</s>", 3)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bare, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


def loaded_with(tokenizer, architecture: str = "gpt_neox", **overrides):
    return dataclasses.replace(tiny_loaded(architecture, **overrides), tokenizer=tokenizer)


def own(tokenizer, text: str) -> list[int]:
    """A text's tokens by the tokenizers library alone, without what is put around them."""
    return tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids


def values_of(loaded, row: list[int]) -> np.ndarray:
    """Log-probabilities of all tokens but the first, by one pass of the whole model."""
    with torch.no_grad():
        logits = loaded.model(input_ids=torch.tensor([row])).logits[0, :-1].double()
    return logits.log_softmax(-1).gather(1, torch.tensor(row)[1:, None])[:, 0].numpy()


# --- special tokens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "space", "bos", "eos"), WRAPPED)
def test_one_bos_where_the_tokenizer_adds_it_and_never_an_eos(kind, space, bos, eos) -> None:
    tokenizer, front = tokenizer_of(kind, space, bos, eos), [2] * bos
    assert front_of(tokenizer) == front
    assert tokenizer(TEXTS[0])["input_ids"] == front + own(tokenizer, TEXTS[0]) + [3] * eos, "the tokenizer itself"
    assert encode(tokenizer, [TEXTS[0], ""]) == [front + own(tokenizer, TEXTS[0]), []]
    brought = own(tokenizer, f"<s>{TEXTS[0]}")
    assert brought[0] == 2 and encode(tokenizer, [f"<s>{TEXTS[0]}"]) == [brought], "a text that begins with BOS has one"
    (piece, *rest) = (pieces := encode_pieces(tokenizer, [TEXTS[1]], 7)[0])
    assert rest and all(row[: len(front)] == front and len(row) <= 7 for row in pieces)
    assert [token for row in pieces for token in row[len(front) :]] == own(tokenizer, TEXTS[1])
    assert encode_beginnings(tokenizer, [TEXTS[1]], 7, "texts") == [piece]
    examples = tokenise(tokenizer, [TEXTS[1]], 7)
    assert [list(example.tokens) for example in examples] == pieces
    assert all(example.counted == (False,) + (True,) * (len(example.tokens) - 1) for example in examples)


@pytest.mark.parametrize(("kind", "space", "bos", "eos"), WRAPPED)
def test_choices_are_scored_on_their_own_tokens_after_one_bos(kind, space, bos, eos) -> None:
    loaded = loaded_with(tokenizer_of(kind, space, bos, eos))
    asked = Asked("The quick brown fox jumps over the lazy dog while the", ("river runs", "model reads", "sea"), 0)
    expected = []
    for choice in asked.choices:
        row = [2] * bos + own(loaded.tokenizer, f"{asked.question} {choice}")
        start = len([2] * bos + own(loaded.tokenizer, asked.question))
        expected.append(values_of(loaded, row)[start - 1 :].mean())
    assert score(loaded, [asked]).log_probabilities[0, 0] == pytest.approx(expected, abs=2e-5)
    plain = tokenizer_of(kind, space, bos, False)
    assert score(loaded_with(plain), [asked]).log_probabilities[0, 0] == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_beyond_the_window_keeps_bos(kind) -> None:
    loaded = loaded_with(tokenizer_of(kind, bos=True, eos=True))
    limit, question = loaded.model.config.max_position_embeddings, " ".join(TEXTS) * 3
    rows = [own(loaded.tokenizer, f"{question} {choice}") for choice in ("the sea", "river")]
    excess = 1 + max(map(len, rows)) - limit
    start = 1 + len(own(loaded.tokenizer, question)) - excess
    assert excess > 0
    expected = [values_of(loaded, [2, *row[excess:]])[start - 1 :].mean() for row in rows]
    found = score(loaded, [Asked(question, ("the sea", "river"), 0)])
    assert found.log_probabilities[0, 0] == pytest.approx(expected, abs=2e-5)


def test_a_learned_prompt_is_never_cut() -> None:
    tokenizer = tokenizer_of("bpe", bos=True)
    (question,) = prepare(tokenizer, [Asked(TEXTS[0], ("a", "the sea"), 0)], prefix="fox river ").questions
    front = [2, *own(tokenizer, "fox river ")][: question.kept]
    assert question.kept >= 3 and question.rows[0][: question.kept] == tuple(front)
    short = question.within(question.kept + 4)
    assert (
        all(row[: question.kept] == tuple(front) for row in short.rows)
        and max(map(len, short.rows)) == question.kept + 4
    )
    with pytest.raises(BadInput, match="longer than"):
        question.within(question.kept)


def test_texts_teach_and_are_judged_on_the_same_tokens() -> None:
    """What training minimises on a text is what its likelihood says, EOS or no EOS."""
    for bos, eos in itertools.product((False, True), repeat=2):
        loaded = loaded_with(tokenizer_of("bpe", bos=bos, eos=eos))
        (example,) = tokenise(loaded.tokenizer, [TEXTS[0]], 60)
        expected = -values_of(loaded, list(example.tokens))[list(example.counted[1:])].mean()
        assert negative_log_likelihood(loaded, [TEXTS[0]], max_length=60)[0] == pytest.approx(expected, abs=2e-5)
        assert 3 not in example.tokens


def test_a_pair_whose_tokenizers_differ_in_bos_alone_is_refused(tmp_path) -> None:
    folders = [tiny_model_folder(tmp_path / name) for name in ("a", "b", "c", "d")]
    for folder, (bos, eos, space) in zip(folders, ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))):
        tokenizer = tokenizer_of("bpe", False, bool(bos), bool(eos))
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=bool(space))
        tokenizer.save_pretrained(folder)
    a, b, c, d = (locate(str(folder)) for folder in folders)
    check_same_vocabulary(a, c)  # an EOS that nobody reads makes no difference
    with pytest.raises(BadInput, match="one puts nothing before every text and the other <s>"):
        check_same_vocabulary(a, b)
    with pytest.raises(BadInput, match="is not the same tokens to both"):
        check_same_vocabulary(a, d)


def test_bos_alone_is_no_text() -> None:
    loaded, seen = loaded_with(tokenizer_of("bpe", bos=True)), []
    listener = type("Listener", (), {"update": lambda self, observation: seen.append(observation)})()
    observe(loaded, None, {"forget": ["", TEXTS[0]]}, [listener])
    assert [observation.text_indices for observation in seen] == [(1,)]
    with pytest.raises(BadInput, match="no forget text"):
        observe(loaded, None, {"forget": [""]}, [listener])


# --- long texts ----------------------------------------------------------------------------------------------------


def test_long_texts_are_read_to_their_end_and_counted(capsys) -> None:
    loaded = tiny_loaded()
    long, limit = " ".join(TEXTS) * 2, loaded.model.config.max_position_embeddings
    tokens = own(loaded.tokenizer, long)
    assert len(tokens) > 2 * limit
    pieces = [tokens[start : start + limit] for start in range(0, len(tokens), limit)]
    values = np.concatenate([values_of(loaded, piece) for piece in pieces if len(piece) > 1])
    assert negative_log_likelihood(loaded, [long])[0] == pytest.approx(-values.mean(), abs=2e-5)
    examples, reading = read(loaded.tokenizer, [long, TEXTS[0]], limit)
    assert [list(example.tokens) for example in examples[: len(pieces)]] == pieces
    short = len(own(loaded.tokenizer, TEXTS[0]))
    assert dataclasses.astuple(reading) == (2, len(examples), len(tokens) + short, 0, 0)
    assert capsys.readouterr().err == ""
    examples = tokenise(loaded.tokenizer, [long, TEXTS[0]], limit, long_texts="cut", what="forget texts")
    assert len(examples) == 2 and list(examples[0].tokens) == tokens[:limit]
    assert f"forget texts: {len(tokens) - limit:,} of {len(tokens) + short:,} tokens" in capsys.readouterr().err


def test_an_answer_beyond_the_limit_is_learned_in_its_piece_or_reported(capsys) -> None:
    tokenizer = tiny_loaded().tokenizer
    long = " ".join(TEXTS) + " Answer: the amber resin"
    (example,) = tokenise(tokenizer, [long], 40, "answer")
    counted = [token for token, counts in zip(example.tokens, example.counted) if counts]
    assert tokenizer.decode(counted) == " the amber resin"
    assert len(tokenise(tokenizer, [long, TEXTS[1]], 60, "answer", long_texts="cut", what="forget texts")) == 1
    assert "forget texts: 1 of 2 have no token to predict within 60 tokens" in capsys.readouterr().err


@pytest.mark.parametrize("architecture", ["gpt2", "opt"])
def test_nothing_reads_beyond_learned_positions(architecture) -> None:
    loaded = tiny_loaded(architecture)
    long = " ".join(TEXTS) * 2
    assert len(own(loaded.tokenizer, long)) > loaded.model.config.max_position_embeddings
    seen = []
    listener = type("Listener", (), {"update": lambda self, observation: seen.append(observation.mask.shape[1])})()
    observe(loaded, None, {"forget": [long]}, [listener], max_length=512)
    assert seen == [loaded.model.config.max_position_embeddings]
    assert np.isfinite(negative_log_likelihood(loaded, [long], max_length=512)).all()
    asked = Asked(long, ("a", "the sea"), 0)
    found = [score(loaded, [asked], max_length=length).log_probabilities for length in (512, None)]
    assert np.isfinite(found[0]).all() and np.array_equal(*found)


def test_texts_with_nothing_to_predict_are_left_out_and_never_all() -> None:
    loaded = tiny_loaded()
    mean, read_of_them = mean_negative_log_likelihood(loaded, [TEXTS[0], "", "a", TEXTS[2]])
    expected = np.mean([-values_of(loaded, own(loaded.tokenizer, text)).mean() for text in (TEXTS[0], TEXTS[2])])
    assert (mean, read_of_them) == (pytest.approx(expected, abs=2e-5), 2)
    with pytest.raises(BadInput, match="none of the 2 held-out texts has two tokens"):
        mean_negative_log_likelihood(loaded, ["", "a"], what="held-out texts")


# --- numbers that are none -----------------------------------------------------------------------------------------


def overflowing(dtype=torch.float16, layers: int = 3):
    """A model whose second block's output overflows, and the first depth whose hidden states are not finite."""
    loaded = tiny_loaded(num_hidden_layers=layers)
    loaded.model.to(dtype)
    factor = 6e4 if dtype == torch.float16 else 3e38
    with torch.no_grad():
        loaded.anatomy.blocks(loaded.model)[1].mlp.dense_4h_to_h.weight.mul_(factor)
        ids = torch.tensor([own(loaded.tokenizer, TEXTS[0])])
        states = loaded.model(ids, output_hidden_states=True).hidden_states[:-1]
    return loaded, next(depth for depth, state in enumerate(states) if not state.isfinite().all())


def test_overflow_is_no_answer_but_one_line_with_layer_and_type() -> None:
    loaded, depth = overflowing()
    assert depth == 2
    said = r"gpt_neox-0 gives NaN or infinite numbers from layer 1 \(depth 2\) on, in fp16; use --dtype fp32"
    healthy = tiny_loaded(num_hidden_layers=3)
    single, spelled = (
        [q for q in QUESTIONS if all(len(c) == 1 for c in q.choices) is single] for single in (True, False)
    )
    for questions in (single, spelled):
        for depths in ("last", "all"):
            for normalise in (True, False):
                with pytest.raises(NonFinite, match=said):
                    score(loaded, questions, depths, normalise=normalise)
    rows = answer_rows(healthy, QUESTIONS, 512)
    for work in (
        lambda: negative_log_likelihood(loaded, TEXTS),
        lambda: observe(loaded, None, {"forget": TEXTS}, []),
        lambda: observe(healthy, loaded, {"forget": TEXTS}, []),
        lambda: answer_log_probabilities(healthy, loaded, rows, 2),
        lambda: answer_log_probabilities(loaded, healthy, rows, 2),
        lambda: tuned_lens.train(loaded, TEXTS),
    ):
        with pytest.raises(NonFinite, match=said):
            work()
    observe(loaded, None, {"forget": TEXTS}, [], last_depth=1)  # what is read is finite


def test_overflow_of_the_output_head_alone_and_in_float32() -> None:
    loaded = tiny_loaded()
    loaded.model.half()
    with torch.no_grad():
        loaded.anatomy.unembedding(loaded.model).weight.mul_(6e4)
    with pytest.raises(NonFinite, match="from the output head at depth 2 on, in fp16"):
        negative_log_likelihood(loaded, TEXTS)
    observe(loaded, None, {"forget": TEXTS}, [])
    loaded, _ = overflowing(torch.float32)
    plan = Plan(0.01, (0,), 2, 1, 1, 1, 2, 1, 2, 64)
    for work in (
        lambda: score(loaded, QUESTIONS),
        lambda: observe_sensitivity(loaded, None, {"forget": TEXTS}, [], plan),
    ):
        with pytest.raises(NonFinite, match=r"layer 1 \(depth 2\) on, in fp32; use another checkpoint"):
            work()


def test_a_missing_choice_is_still_minus_infinity_and_never_the_answer() -> None:
    scores = score(tiny_loaded(), QUESTIONS)
    assert np.isneginf(scores.log_probabilities).any() and not np.isnan(scores.log_probabilities).any()
    assert all(prediction < len(asked.choices) for prediction, asked in zip(scores.predictions[0], QUESTIONS))
