"""Hyper-parameters of unlearning: each is written once, with its default, flag, environment name and folder tag.

A method's settings pick from this vocabulary, in the order in which its run name lists them. Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from brittle.settings import LARGEST_SEED, setting

VOCABULARY: dict[str, dict[str, Any]] = {
    "alpha": dict(
        default=100.0, help="weight of the term that keeps retain activations in place", environment="ALPHA", tag="a",
        minimum=0,
    ),
    "steering_coeff": dict(
        default=20.0, help="length of the random target for forget activations", environment="STEERING_COEFF", tag="sc",
    ),
    "layer_id": dict(
        default=(5, 6, 7), help="blocks whose outputs the loss reads, counted from 0", environment="LAYER_ID", tag="ly",
    ),
    "forget_weight": dict(
        default=1.0, help="weight of gradient ascent on forget texts", environment="FORGET_WEIGHT", tag="fw", minimum=0,
    ),
    "retain_weight": dict(
        default=1.0, help="weight of the retain likelihood", environment="RETAIN_WEIGHT", tag="rw", minimum=0,
    ),
    "lat_eps": dict(
        default=0.1, help="radius of the latent adversary, largest change of any activation entry",
        environment="LAT_EPS", tag="le", above=0,
    ),
    "lat_steps": dict(
        default=5, help="steps of the latent adversary per training step", environment="LAT_STEPS", tag="ls", minimum=1,
        maximum=1000,
    ),
    "lat_radius": dict(
        default="absolute", help="unit of --lat-eps: that of activations, or the root mean square of the block's output at a token",
        tag_if_changed="lra", choices=("absolute", "relative"),
    ),
    "lat_goal": dict(
        default="targeted", help="the latent adversary lowers the forget loss (targeted) or raises the retain loss (untargeted)",
        tag_if_changed="lg", choices=("targeted", "untargeted"),
    ),
    "wt_noise_std": dict(
        default=0.02, help="standard deviation of the Gaussian noise added to every weight", environment="WT_NOISE_STD",
        tag="wn", minimum=0,
    ),
    "beta": dict(
        default=0.1, help="inverse temperature of a preference loss", environment="BETA", tag="b", above=0,
    ),
    "simnpo_beta": dict(default=2.5, help="inverse temperature of the length-normalised preference", tag="sb", above=0),
    "reward_margin": dict(
        default=0.0, help="margin γ that forget texts are to fall below; ascent goes on for longer", tag="rm", minimum=0,
    ),
    "minor_components": dict(
        default=8, help="directions left out: the mean of forget activations and their largest principal components", tag="mc",
        minimum=1, maximum=4096,
    ),
    "gradient_components": dict(
        default=16, help="largest components of each gradient matrix that are pressed down to the smallest of them", tag="gk",
        minimum=1, maximum=4096,
    ),
    "log_probability": dict(
        default="sum", help="log π of a text: the sum over its tokens or their mean", environment="LOG_PROBABILITY",
        tag_if_changed="lp", choices=("sum", "mean"),
    ),
    "wt_reg_lambda": dict(
        default=0.1, help="weight of the squared distance from the pretrained weights", environment="WT_REG_LAMBDA",
        tag="wr", minimum=0,
    ),
    "wt_noise_scale": dict(default=1.0, help="noise relative to each tensor's root mean square", tag="ws", minimum=0),
    "rms_lambda": dict(default=1.0, help="weight of the root mean square distance", tag="rl", minimum=0),
    "update_coeff": dict(default=0.01, help="constant force away from the pretrained weights", tag="uc", minimum=0),
    "rerouting_coeff": dict(
        default=10.0, help="coefficient shared by rerouting and preservation", tag="rc", above=0,
    ),
    "steering_scale": dict(
        default=5.0, help="length of the target relative to the activation's own norm", tag="ss", above=0,
    ),
    "sam_radius": dict(default=0.1, help="radius of the sharpness-aware step in weight space", tag="sr", above=0),
    "undial_strength": dict(default=10.0, help="logits taken from the true next token", tag="us", above=0),
    "wga_exponent": dict(default=1.0, help="exponent of a token's probability in its weight", tag="we", minimum=0),
    "satimp_saturation": dict(default=5.0, help="exponent of a token's probability p", tag="s1", minimum=0),
    "satimp_importance": dict(default=1.0, help="exponent of 1 - p", tag="s2", minimum=0),
    "task_scale": dict(default=1.0, help="how far to go against the task vector", tag="ts", above=0),
    "tar_inner_steps": dict(default=4, help="steps of the simulated attacker", tag="ti", minimum=1, maximum=100),
    "tar_inner_lr": dict(default=1e-4, help="step size of the simulated attacker", tag="tr", above=0),
    "tar_weight": dict(default=1.0, help="weight of the uncertainty after tampering", tag="tw", minimum=0),
}  # fmt: skip


def hyperparameter(name: str) -> Any:
    """The field of that name, for a method's settings dataclass."""
    return setting(**VOCABULARY[name])


@dataclass(frozen=True)
class TrainingSettings:
    """What every method shares. The first three always stand in the run's name; the others when they are changed."""

    epochs: int = setting(
        1,
        "passes over the forget texts (the longer set is drawn from, not truncated)",
        environment="EPOCHS",
        tag="ep",
        minimum=0,
        maximum=1_000_000,
    )
    lr: float = setting(1e-5, "peak learning rate of AdamW with cosine annealing", environment="LR", tag="lr", above=0)
    batch_size: int = setting(
        4, "forget texts and retain texts per micro-batch", environment="BATCH_SIZE", tag="bs", minimum=1
    )
    max_length: int = setting(512, "longest row in tokens", environment="MAX_LENGTH", tag_if_changed="mle", minimum=2)
    long_texts: str = setting(
        "chunk", "texts beyond --max-length: go on in further rows, or are cut", environment="LONG_TEXTS",
        tag_if_changed="lot", choices=("chunk", "cut"),
    )  # fmt: skip
    max_steps: int = setting(
        0,
        "train for this many optimizer steps (0: as many as the epochs give)",
        environment="MAX_STEPS",
        tag_if_changed="ms",
        minimum=0,
        maximum=10**9,
    )
    grad_clip: float = setting(
        1.0, "largest gradient norm (0: no clipping)", environment="GRAD_CLIP", tag_if_changed="gc", minimum=0
    )
    grad_accum_steps: int = setting(
        1, "micro-batches per optimizer step", environment="GRAD_ACCUM_STEPS", tag_if_changed="ga", minimum=1
    )
    weight_decay: float = setting(
        0.01, "decoupled weight decay of AdamW", environment="WEIGHT_DECAY", tag_if_changed="wd", minimum=0
    )
    eval_split: float = setting(
        0.1,
        "share of each file held out for the likelihoods after training",
        environment="EVAL_SPLIT",
        tag_if_changed="es",
        minimum=0,
        below=1,
    )
    eval_interval: int = setting(
        0,
        "optimizer steps between evaluations on the held-out share (0: only at the end)",
        environment="EVAL_INTERVAL",
        minimum=0,
    )
    loss_tokens: str = setting(
        "all",
        "which tokens a likelihood loss covers: whole texts, or what follows the last 'Answer:'",
        environment="LOSS_TOKENS",
        tag_if_changed="lt",
        choices=("all", "answer"),
    )
    train_only: tuple[str, ...] = setting(
        (),
        "train only these weights: qkv, proj, mlp_expand, mlp_contract, with commas between them (default: all)",
        environment="TRAIN_ONLY",
        tag_if_changed="to",
    )
    train_layers: tuple[int, ...] = setting(
        (), "train only these layers, counted from 0 (default: all)", environment="TRAIN_LAYERS", tag_if_changed="tl"
    )
    optimizer: str = setting(
        "adamw",
        "optimizer of the weights",
        environment="OPTIMIZER",
        tag_if_changed="op",
        choices=("adamw", "sgd", "sign_sgd", "lion", "muon", "adafactor"),
    )
    weight_dtype: str = setting(
        "fp32", "number type of the weights that train; bf16 halves their memory and rounds updates stochastically",
        environment="WEIGHT_DTYPE", tag_if_changed="wt", choices=("fp32", "bf16"),
    )  # fmt: skip
    lora_rank: int = setting(
        0, "train low-rank adapters of this rank instead of the weights (0: the weights)", environment="LORA_RANK",
        tag_if_changed="lora", minimum=0,
    )  # fmt: skip
    lora_alpha: float = setting(
        16.0, "scale of the adapters, divided by their rank", environment="LORA_ALPHA", tag_if_changed="loa", above=0
    )
    norm_reg_lambda: float = setting(
        0.0, "weight of keeping activation norms on forget texts where they were, with any method",
        environment="NORM_REG_LAMBDA", tag_if_changed="nrl", minimum=0,
    )  # fmt: skip
    gradient_checkpointing: bool = setting(
        False, "compute activations again instead of keeping them: less memory, more time",
        environment="GRADIENT_CHECKPOINTING",
    )  # fmt: skip
    loss_chunk: int = setting(
        0, "tokens whose logits are held at a time in likelihood losses (0: all); less memory for large vocabularies",
        environment="LOSS_CHUNK", tag_if_changed="lc", minimum=0, maximum=2**31 - 1,
    )  # fmt: skip
    deterministic: bool = setting(
        False,
        "only algorithms that give the same bits every time (slower on GPUs)",
        environment="DETERMINISTIC",
        tag_if_changed="det",
    )
    stop_on_collapse: bool = setting(
        False, "end the training when the held-out retain likelihood collapses (looked at every --eval-interval)",
        environment="STOP_ON_COLLAPSE", tag_if_changed="soc",
    )  # fmt: skip
    seed: int = setting(
        42, "seed of data order, noise, random targets and adapters", environment="SEED", tag_if_changed="sd", minimum=0,
        maximum=LARGEST_SEED,
    )  # fmt: skip
