"""Tokens, scores and lenses where tools of this kind were wrong and said nothing: right numbers, or one line."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
import yaml
from tiny_loaded import QUESTIONS, Asked, tiny_loaded
from tiny_models import TEXTS, VOCABULARY, tiny_model_folder
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from brittle import discovery
from brittle.commands.diagnose import DiagnoseSettings, diagnose
from brittle.data.multiple_choice import Question, write_questions
from brittle.diagnostics import layerwise_accuracy
from brittle.evaluation import multiple_choice_accuracy as accuracy
from brittle.evaluation import published_benchmarks
from brittle.evaluation.multiple_choice_accuracy import sample_uniformly
from brittle.evaluation.question_forms import form_of, in_form, lettered
from brittle.models import linear_lens, tuned_lens
from brittle.models.batching import turning_points
from brittle.models.encoding import encode, encode_beginnings, encode_pieces, front_of
from brittle.models.hidden_states import NonFinite, pad
from brittle.models.lenses import score_through_lens
from brittle.models.likelihood import mean_negative_log_likelihood, negative_log_likelihood, score
from brittle.models.loading import check_same_vocabulary, load
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


# --- step 0 asks as lm-evaluation-harness does ---------------------------------------------------------------------

SUBJECTS = ("abstract_algebra", "high_school_world_history", "machine_learning")
MMLU = [
    Question(f" Which {first} runs to the {second}?\n", (first, second, "the lazy dog", "a model"), number % 4, subject)
    for number, (first, second, subject) in enumerate(
        itertools.product(("fox", "river", "amber resin"), ("sea", "cellar", "orchard"), SUBJECTS)
    )
]


@pytest.mark.parametrize("bos", [False, True])
def test_letters_are_asked_and_scored_as_lm_eval_asks_mmlu(tmp_path, bos) -> None:
    """Its own task file for each subject, on rows of ours: the same prompts, and the same answers on all of them."""
    lm_eval = pytest.importorskip("lm_eval")
    import datasets
    from lm_eval.models.huggingface import HFLM

    loaded = loaded_with(tokenizer_of("bpe", bos=bos), max_position_embeddings=512)
    folder = Path(lm_eval.__file__).parent / "tasks" / "mmlu" / "default"
    template = yaml.safe_load((folder / "_default_template_yaml").read_text(encoding="utf-8"))
    known, expected, prompts = published_benchmarks.task_manager(None, False), [], []  # the tasks are given as objects
    for subject in SUBJECTS:
        rows = [dataclasses.asdict(q) | {"choices": list(q.choices)} for q in MMLU if q.subject == subject]
        own_file = yaml.safe_load((folder / f"mmlu_{subject}.yaml").read_text(encoding="utf-8"))
        kept = ("output_type", "doc_to_text", "doc_to_choice", "doc_to_target", "metric_list", "test_split")
        task = {key: template[key] for key in kept} | {
            "task": subject, "description": own_file["description"], "num_fewshot": 0,
            "custom_dataset": lambda rows=rows, **_: {"test": datasets.Dataset.from_list(rows)},
        }  # fmt: skip
        model = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=4)
        found = lm_eval.simple_evaluate(model, tasks=[task], bootstrap_iters=0, log_samples=True, task_manager=known)
        for sample in sorted(found["samples"][subject], key=lambda sample: sample["doc_id"]):
            prompts.append(sample["arguments"]["gen_args_0"]["arg_0"] if isinstance(sample["arguments"], dict)
                           else sample["arguments"][0][0])  # fmt: skip
            expected.append([float(result[0][0]) for result in sample["resps"]])
    asked = [question for subject in SUBJECTS for question in MMLU if question.subject == subject]
    assert [lettered(question).question for question in asked] == prompts
    found = score(loaded, in_form(asked, "letters")).log_probabilities[0]
    (tokens,) = {
        len(own(loaded.tokenizer, f" {letter}")) for letter in "ABCD"
    }  # lm-eval sums, and the mean is over as many
    assert found == pytest.approx(np.array(expected) / tokens, abs=1e-4)
    summary = accuracy.evaluate(loaded, asked, form="letters")
    right = sum(int(np.argmax(values)) == question.answer for values, question in zip(expected, asked))
    assert (summary["format"], summary["correct"], summary["questions"]) == ("letters", right, len(asked))
    assert "Asked zero-shot by letters" in accuracy.summary_markdown(summary)
    assert accuracy.evaluate(loaded, asked)["format"] == "continuation"


def test_every_subject_of_mmlu_has_lm_evals_line() -> None:
    lm_eval = pytest.importorskip("lm_eval")
    files = sorted((Path(lm_eval.__file__).parent / "tasks" / "mmlu" / "default").glob("mmlu_*.yaml"))
    tasks = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in files]
    subjects = {task["dataset_name"]: task["description"] for task in tasks if "dataset_name" in task}
    assert len(subjects) == 57
    for subject, description in subjects.items():
        assert lettered(Question("q", ("a", "b"), 0, subject)).question == f"{description}q\nA. a\nB. b\nAnswer:"


def test_the_form_follows_from_where_questions_come() -> None:
    assert [form_of(name) for name in ("mmlu", "wmdp-bio", "mine.jsonl", None)] == ["letters"] * 2 + [
        "continuation"
    ] * 2
    assert [form_of(name, "letters") for name in ("mmlu", "mine.jsonl", None)] == ["letters"] * 3
    assert form_of("mmlu", "continuation") == "continuation"
    expected = (
        "The following are multiple choice questions (with answers) about biology.\n\nq\nA. a\nB. b\nC. c\nAnswer:"
    )
    asked = lettered(Question("q", ("a", "b", "c"), 2, "wmdp-bio"))
    assert (asked.question, asked.choices, asked.answer) == (expected, ("A", "B", "C"), 2)


def test_step_0_asks_as_many_questions_as_it_is_told_and_its_record_names_the_form(tmp_path) -> None:
    folder = tiny_model_folder(tmp_path / "model")
    write_questions(tmp_path / "mine.jsonl", MMLU)
    write_questions(
        tmp_path / "kept.jsonl", [dataclasses.replace(asked, question=f"{asked.question} Or not?") for asked in MMLU]
    )
    common = {"forget_questions": str(tmp_path / "mine.jsonl"), "retain_questions": str(tmp_path / "kept.jsonl")}
    (tmp_path / "forget.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    common |= {"forget_text": str(tmp_path / "forget.txt"), "retain_text": str(tmp_path / "retain.txt")}
    (tmp_path / "retain.txt").write_text("\n".join(f"{text} Again." for text in TEXTS) + "\n", encoding="utf-8")
    found = {}
    for form in ("auto", "letters"):
        settings = DiagnoseSettings(
            model=str(folder), outroot=str(tmp_path / "out"), device="cpu", num_questions=6, question_format=form, **common
        )  # fmt: skip
        found[form] = json.loads((diagnose("evals", settings, {}) / "summary.json").read_text(encoding="utf-8"))
        assert found[form]["questions"] == 6
        assert {subject: part["questions"] for subject, part in found[form]["subjects"].items()} == dict.fromkeys(
            SUBJECTS, 2
        )
    assert [found[form]["format"] for form in found] == ["continuation", "letters"]
    chosen = sample_uniformly(MMLU, 6, 42)
    loaded = load(locate(str(folder)), "cpu")
    for form, kind in (("auto", "continuation"), ("letters", "letters")):
        assert found[form]["correct"] == accuracy.evaluate(loaded, chosen, form=kind)["correct"]


# --- angles that depend on the longest row -------------------------------------------------------------------------


def long_rope(architecture: str = "phi3"):
    """A tiny model whose positions turn otherwise where the longest row of a batch is beyond 20 tokens."""
    halves = 4
    rope = {
        "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 20, "factor": 4.0,
        "short_factor": [1.0] * halves, "long_factor": [8.0 + place for place in range(halves)],
    }  # fmt: skip
    more = {"original_max_position_embeddings": 20} if architecture == "phi3" else {}
    return tiny_loaded(architecture, rope_parameters=rope, max_position_embeddings=160, **more)


@pytest.mark.parametrize("architecture", ["phi3", "llama"])
def test_batch_size_changes_nothing_where_angles_depend_on_the_longest_row(architecture) -> None:
    loaded = long_rope(architecture)
    assert turning_points(loaded.model.config) == (20,)
    short, long = (torch.tensor([own(loaded.tokenizer, text)]) for text in ("A fox.", TEXTS[0] + TEXTS[1]))
    assert short.shape[1] < 20 < long.shape[1]
    with torch.no_grad():  # the danger is real: the short row beside the long one is not the short row alone
        both, mask = pad([long[0].tolist(), short[0].tolist()], 0)
        together = loaded.model(both, attention_mask=mask).logits[1, : short.shape[1]]
        assert not torch.allclose(together, loaded.model(short).logits[0], atol=1e-3)
    questions = [
        *QUESTIONS,
        Asked(TEXTS[0] + TEXTS[1], ("a", "c"), 0),
        Asked(TEXTS[0] + TEXTS[2], ("the sea", "a fox"), 1),
    ]
    found = [score(loaded, questions, "all", batch_size=size).log_probabilities for size in (1, 8)]
    assert np.allclose(*found, atol=1e-6)
    texts = [*TEXTS, "A fox.", "The river runs", TEXTS[0] + TEXTS[1]]
    found = [negative_log_likelihood(loaded, texts, size, 160) for size in (1, 8)]
    assert np.allclose(*found, atol=1e-6)
    expected = [-values_of(loaded, own(loaded.tokenizer, text)).mean() for text in texts]
    assert found[1] == pytest.approx(expected, abs=1e-5)
    seen: dict[int, dict[int, torch.Tensor]] = {1: {}, 8: {}}
    for size, states in seen.items():
        observe(loaded, None, {"forget": texts}, [Keeping(states)], size, 160)
    assert all(torch.allclose(seen[1][index], seen[8][index], atol=1e-5) for index in range(len(texts)))
    rows = answer_rows(loaded, questions, 160)
    found = [answer_log_probabilities(loaded, None, rows, size) for size in (1, 8)]
    assert np.allclose(*found, atol=1e-6)


class Keeping:
    """Keeps the last hidden states of every text."""

    def __init__(self, states: dict[int, torch.Tensor]) -> None:
        self.states = states

    def update(self, observation) -> None:
        for row, index in enumerate(observation.text_indices):
            self.states[index] = observation.hidden_a[-1][row, : int(observation.mask[row].sum())]


def test_dynamic_scaling_never_begins() -> None:
    """It begins beyond the model's positions, which no row exceeds; whatever was asked before changes nothing."""
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
    loaded = tiny_loaded("llama", rope_parameters=rope)
    long, short = " ".join(TEXTS) * 2, TEXTS[0]
    before = negative_log_likelihood(loaded, [short], 1)
    together = negative_log_likelihood(loaded, [long, short], 8, 512)
    assert together[1] == pytest.approx(before[0], abs=1e-6)
    assert turning_points(loaded.model.config) == ()


# --- the plain linear lens -----------------------------------------------------------------------------------------

LENS = layerwise_accuracy.Settings(lens="linear", tuned_lr=1e-2, tuned_epochs=4, tuned_train_frac=0.5, batch_size=2)


def test_a_linear_lens_is_a_plain_map_that_learns_the_next_token() -> None:
    """Trained again by hand, step by step, from the model's own list of hidden states: the same map, and its KL."""
    loaded, texts = tiny_loaded("llama"), [*TEXTS, "A fox.", "The river runs to the sea.", TEXTS[0][5:]]
    found = list(linear_lens.train(loaded, texts, 1e-2, 4, 0.5, 42, batch_size=2))
    assert [each.depth for each in found] == [0, 1, 2] and found[-1].linear is None
    assert (found[-1].divergence, found[-1].divergence_untuned) == (0, 0)
    rows = [own(loaded.tokenizer, text) for text in texts]
    generator = torch.Generator().manual_seed(42)
    order = torch.randperm(6, generator=generator).tolist()
    learning, held = [rows[index] for index in order[:3]], [rows[index] for index in order[3:]]
    with torch.random.fork_rng():
        torch.manual_seed(42)
        by_hand = torch.nn.Linear(32, VOCABULARY)
    adam = torch.optim.Adam(by_hand.parameters(), lr=1e-2)
    number = 0
    for _ in range(4):
        turn = torch.randperm(3, generator=generator).tolist()
        for batch in ([turn[0], turn[1]], [turn[2]]):
            adam.param_groups[0]["lr"] = 1e-2 * (1 - number / 8)
            states, targets = [], []
            for index in batch:
                with torch.no_grad():
                    output = loaded.model(torch.tensor([learning[index]]), output_hidden_states=True)
                states.append(output.hidden_states[1][0, :-1])
                targets.append(torch.tensor(learning[index][1:]))
            adam.zero_grad()
            torch.nn.functional.cross_entropy(by_hand(torch.cat(states)), torch.cat(targets)).backward()
            adam.step()
            number += 1
    assert torch.allclose(found[1].linear.weight, by_hand.weight, atol=1e-4)
    sums, tokens = 0.0, 0
    for row in held:
        with torch.no_grad():
            output = loaded.model(torch.tensor([row]), output_hidden_states=True)
            target, shown = (
                x.double().log_softmax(-1) for x in (output.logits[0], by_hand(output.hidden_states[1][0]))
            )
        sums += float((target.exp() * (target - shown)).sum())
        tokens += len(row)
    assert found[1].divergence == pytest.approx(sums / tokens, rel=1e-3)


def test_questions_through_the_linear_lens_are_read_by_its_map_and_end_at_the_model() -> None:
    loaded = tiny_loaded()
    scores = score_through_lens(loaded, QUESTIONS, TEXTS, LENS)
    maps = list(linear_lens.train(loaded, TEXTS, 1e-2, 4, 0.5, 42, batch_size=2))
    assert scores.depths == (0, 1, 2) and scores.lens_divergences[0] == tuple(each.divergence for each in maps)
    model = score(loaded, QUESTIONS, batch_size=2, normalise=False)
    assert np.array_equal(scores.log_probabilities[-1], model.log_probabilities[0])
    for index, asked in enumerate(QUESTIONS):
        start, values = len(own(loaded.tokenizer, asked.question)), []
        for choice in asked.choices:
            row = own(loaded.tokenizer, f"{asked.question} {choice}")
            with torch.no_grad():
                states = loaded.model(torch.tensor([row]), output_hidden_states=True).hidden_states[1][0]
                logits = maps[1].linear(states)[start - 1 : -1]
            single = all(len(own(loaded.tokenizer, f"{asked.question} {c}")) == start + 1 for c in asked.choices)
            logits = logits if single else logits.log_softmax(-1)  # what one row gives is without its normaliser
            values.append(float(logits.gather(1, torch.tensor(row)[start:, None]).mean()))
        assert scores.log_probabilities[1, index, : len(values)] == pytest.approx(values, abs=1e-3)
    again = score_through_lens(loaded, QUESTIONS, TEXTS, LENS)
    assert np.array_equal(again.log_probabilities, scores.log_probabilities)


def test_the_linear_lens_has_a_folder_of_its_own_and_a_lens_that_is_none_is_refused(tmp_path) -> None:
    folder = tiny_model_folder(tmp_path / "model")
    write_questions(tmp_path / "mine.jsonl", MMLU)
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    write_questions(
        tmp_path / "kept.jsonl", [dataclasses.replace(asked, question=f"{asked.question} Or not?") for asked in MMLU]
    )
    (tmp_path / "others.txt").write_text("\n".join(f"{text} Again." for text in TEXTS) + "\n", encoding="utf-8")
    mine, texts = str(tmp_path / "mine.jsonl"), str(tmp_path / "texts.txt")
    kept, others = str(tmp_path / "kept.jsonl"), str(tmp_path / "others.txt")
    settings = DiagnoseSettings(
        model=str(folder), outroot=str(tmp_path / "out"), device="cpu", forget_questions=mine,
        retain_questions=kept, forget_text=texts, retain_text=others,
    )  # fmt: skip
    place = diagnose("wmdp_logit_lens", settings, {"lens": "linear"})
    assert place.name == "wmdp_linear_lens"
    summary = json.loads((place / "summary.json").read_text(encoding="utf-8"))
    assert (summary["lens"], summary["questions"]) == ("linear", len(MMLU))
    with pytest.raises(BadInput, match="--lens: 'foo' is not one of logit, tuned, linear"):
        diagnose("wmdp_logit_lens", settings, {"lens": "foo"})
    assert discovery.plugins("diagnostics")["wmdp_linear_lens"].on_request
