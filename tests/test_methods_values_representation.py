"""Losses made of hidden states of width two, by hand: two forget tokens, three retain tokens, then padding."""

from __future__ import annotations

import math

import pytest
from tiny_step import Attacked, Chosen, terms_of

from brittle.training import adversary

RETAIN = {0: [[1.0, 1.0], [2.0, 2.0], [3.0, 0.0]], 1: [[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]]}
BEFORE = {0: [[1.0, 0.0], [0.0, 2.0], [0.0, 4.0]], 1: [[4.0, 3.0], [1.0, 0.0], [0.0, -1.0]]}
FORGET = {0: [[1.0, 0.0], [0.0, 2.0]], 1: [[0.0, 1.0], [3.0, 4.0]]}
DIRECTIONS = {0: [0.6, 0.8], 1: [0.0, 1.0]}
STATES = {"forget": FORGET, "retain": RETAIN}
# Retain changes: (0, 1), (2, 0), (3, -4) at layer 0; (-1, 1), (0, 0), (0, 3) at layer 1.
SQUARES = (0.5 + 2 + 12.5) / 3 + (1 + 0 + 4.5) / 3
LENGTHS = (1 + 2 + 5) / 3 + (math.sqrt(2) + 0 + 3) / 3
# Retain cosines: 1/√2 twice, then 0, at layer 0; 24/25, 1 and -1 at layer 1.
TURNS = (2 * (1 - math.sqrt(0.5)) + 1) / 3 + (0.04 + 0 + 2) / 3


def test_representation_misdirection() -> None:
    step = Chosen(STATES, {"retain": BEFORE}, DIRECTIONS)
    # forget, layer 0, target 5 (0.6, 0.8) = (3, 4):  ((4 + 16) / 2 + (9 + 4) / 2) / 2 = 8.25
    #         layer 1, target 5 (0, 1) = (0, 5):       ((0 + 16) / 2 + (9 + 1) / 2) / 2 = 6.5
    terms = terms_of("rmu", step, alpha=2.0, steering_coeff=5.0, layer_id=(0, 1))
    assert terms == pytest.approx({"forget": 8.25 + 6.5, "retain": 2 * SQUARES})


def test_representation_misdirection_of_the_paper() -> None:
    step = Chosen(STATES, {"retain": BEFORE}, DIRECTIONS)
    # layer 1 alone, the deepest, as above: 6.5; its retain changes (-1, 1), (0, 0), (0, 3): (1 + 0 + 4.5) / 3
    for layers in ((0, 1), (1, 0), (1,)):
        terms = terms_of("rmu_paper", step, alpha=2.0, steering_coeff=5.0, layer_id=layers)
        assert terms == pytest.approx({"forget": 6.5, "retain": 2 * 5.5 / 3})


def test_misdirection_of_minor_components() -> None:
    step = Chosen(STATES, {"retain": BEFORE}, DIRECTIONS, main={0: [1.0, 0.0], 1: [0.6, 0.8]})
    # layer 0: without the first entry (0, 0) and (0, 2), target 5 (0.6, 0.8) = (3, 4): (25 / 2 + (9 + 4) / 2) / 2 = 9.5
    # layer 1: (0, 1) is 0.8 along (0.6, 0.8), which leaves (-0.48, 0.36); (3, 4) is along it and leaves (0, 0); target (0, 5):
    #          ((0.48² + 4.64²) / 2 + 25 / 2) / 2
    forget = 9.5 + ((0.48**2 + 4.64**2) / 2 + 12.5) / 2
    terms = terms_of("rmu_mcu", step, alpha=2.0, steering_coeff=5.0, minor_components=1, layer_id=(0, 1))
    assert terms == pytest.approx({"forget": forget, "retain": 2 * SQUARES}, rel=1e-5)


def test_adaptive_representation_misdirection() -> None:
    before = {0: [[3.0, 4.0], [0.0, -2.0]], 1: [[0.0, 0.0], [4.0, 3.0]]}
    step = Chosen(STATES, {"forget": before, "retain": BEFORE}, DIRECTIONS)
    # forget, layer 0, lengths 5 and 2, targets 10 (0.6, 0.8) and 4 (0.6, 0.8):
    #             ((25 + 64) / 2 + (2.4² + 1.2²) / 2) / 2 = (44.5 + 3.6) / 2
    #         layer 1, lengths 0 and 5, targets (0, 0) and (0, 10):  ((0 + 1) / 2 + (9 + 36) / 2) / 2 = 11.5
    terms = terms_of("adaptive_rmu", step, alpha=2.0, steering_scale=2.0, layer_id=(0, 1))
    assert terms == pytest.approx({"forget": 24.05 + 11.5, "retain": 2 * SQUARES})


@pytest.mark.parametrize("length", [0.5, 20.0])
def test_circuit_breakers(length) -> None:
    step = Chosen(STATES, {"retain": BEFORE}, DIRECTIONS)
    # forget, layer 0: cosines to (0.6, 0.8) are 0.6 and 0.8;  layer 1: to (0, 1) 1 and 0.8;  the target's length cancels
    terms = terms_of("cb", step, alpha=2.0, steering_coeff=length, layer_id=(0, 1))
    assert terms == pytest.approx({"forget": -(0.7 + 0.9), "retain": 2 * TURNS}, rel=1e-5)


def test_circuit_breakers_with_a_latent_adversary() -> None:
    states = {
        "forget": {0: [[0.6, 0.8], [0.8, -0.6]], 1: [[0.0, 1.0], [3.5, 3.5]], 2: [[0.0, 1.0], [-1.0, 1.0]]},
        "retain": {0: RETAIN[0], 1: RETAIN[1], 2: [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]},
    }
    before = {0: BEFORE[0], 1: BEFORE[1], 2: [[1.0, 0.0], [-2.0, 0.0], [0.0, 5.0]]}
    directions = {0: [0.6, 0.8], 1: [0.0, 1.0], 2: [1.0, 0.0]}
    step = Attacked(states, {"retain": before}, directions)
    terms = terms_of("cb_lat", step, alpha=2.0, steering_coeff=9.0, lat_eps=0.5, lat_steps=2, layer_id=(2, 0, 1))
    # The adversary lowers the likelihood: after two half steps it adds (+0.5, -0.5), from the middle block 1 on.
    # forget, layer 0, clean: cosines to (0.6, 0.8) are 1 and 0.48 - 0.48 = 0;                        mean 0.5
    #         layer 1: (0.5, 0.5) and (4, 3) against (0, 1): 1/√2 and 3/5;                            mean (1/√2 + 3/5) / 2
    #         layer 2: (0.5, 0.5) and (-0.5, 0.5) against (1, 0): 1/√2 and -1/√2;                     mean 0
    forget = -(0.5 + (math.sqrt(0.5) + 0.6) / 2 + 0)
    # retain: at layer 2 the cosines are 1, -1 and 1;  clean, though the forget side is not
    assert terms == pytest.approx({"forget": forget, "retain": 2 * (TURNS + 2 / 3)}, rel=1e-5)


# Before, for rerouting. Forget cosines at layer 0: 1 and -1, which counts as 0.
OLD = {0: [[1.0, 0.0], [0.0, -1.0]], 1: [[1.0, 1.0], [4.0, 3.0]]}


@pytest.mark.parametrize(("number", "forget_weight", "retain_weight"), [(0, 8, 0), (1, 6, 2), (2, 4, 4)])
@pytest.mark.parametrize(("name", "layers"), [("rr", (1, 0)), ("rr_paper", (2, 1))])  # the embeddings are the paper's 0
def test_representation_rerouting(name, layers, number, forget_weight, retain_weight) -> None:
    # α = 8 over two steps: p = number / 4, the weights 8 (1 - p) and 8 p. Each state is nudged by a tenth of the old one's
    # length: layer 0 along (0.6, 0.8): (1.06, 0.08) with (1, 0), and (0.06, 2.08) with (0, -1), which counts as 0;
    # layer 1 along (0, 1): (0, 1 + √2 / 10) with (1, 1) is 1/√2, and (3, 4.5) with (4, 3) is 25.5 / (5 √29.25).
    step = Chosen(STATES, {"forget": OLD, "retain": BEFORE}, DIRECTIONS, number=number, steps=2)
    first = 1.06 / math.hypot(1.06, 0.08) / 2
    second = (math.sqrt(0.5) + 25.5 / (5 * math.sqrt(29.25))) / 2
    forget = (first + second) / 2
    terms = terms_of(name, step, rerouting_coeff=8.0, layer_id=layers)
    assert terms == pytest.approx({"forget": forget_weight * forget, "retain": retain_weight * LENGTHS / 2}, rel=1e-5)


def test_representation_rerouting_with_a_latent_adversary() -> None:
    # The adversary adds (0.5, -0.5) at the middle block 1, which becomes (0.5, 0.5) and (3.5, 3.5); the old states are
    # those without it. Layer 0: 1 and 0; layer 1: (0.5, 0.5) with (1, 1) is 1, (3.5, 3.5) with (4, 3) is 7 / (5 √2).
    step = Attacked(STATES, {"forget": OLD, "retain": BEFORE}, number=1, steps=2)
    forget = (0.5 + (1 + 1.4 * math.sqrt(0.5)) / 2) / 2
    terms = terms_of("rr_lat", step, rerouting_coeff=8.0, lat_eps=0.5, lat_steps=2, layer_id=(1, 0))
    assert terms == pytest.approx({"forget": 6 * forget, "retain": 2 * LENGTHS / 2}, rel=1e-5)


class Entered(Exception):
    """Ends a loss where the adversary begins."""


@pytest.mark.parametrize("name", ["lat", "lat_paper", "cb_lat", "rr_lat"])
def test_the_adversary_enters_at_the_middle_target_block(name, monkeypatch) -> None:
    def enter(_step, *place, **_how):
        raise Entered(*place)

    monkeypatch.setattr(adversary, "helpful_perturbation", enter)
    for layers, middle in {(7, 5, 6): 6, (3,): 3, (2, 9): 9, (20, 1, 3, 4, 2): 3}.items():
        with pytest.raises(Entered) as entered:
            terms_of(name, Chosen(), layer_id=layers, lat_eps=0.25, lat_steps=4)
        assert entered.value.args == (middle, 0.25, 4)
