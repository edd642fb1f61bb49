"""Settings of the pipeline: which models, on what, where. What is None was not asked for and has its documented default."""

from __future__ import annotations

from dataclasses import dataclass, fields

from brittle import discovery
from brittle.attacks import relearning
from brittle.commands.options import SHARED, SettingsTypes, of_plugins, shared
from brittle.data.corpora import text_column
from brittle.data.multiple_choice import answers_from
from brittle.evaluation.question_forms import num_questions, question_format, question_template
from brittle.runs.observations import reads_records
from brittle.settings import BadInput, flag_of, setting, without

HUB = "EleutherAI/deep-ignorance-"
DEFAULTS = {
    "base": HUB + "unfiltered", "unlearned": HUB + "unfiltered-cb-lat", "filtered": HUB + "e2e-strong-filter",
    "cb_only": HUB + "unfiltered-cb", "pretrain": HUB + "pretraining-stage-unfiltered",
}  # fmt: skip
"""Models by role, where the user names none."""
OWN = (
    *DEFAULTS, "control", "model_a", "model_b", "forget_text", "retain_text", "benign_text", "forget_questions",
    "retain_questions", "enable_pretrain_comparison", "enable_cb_comparisons",
)  # fmt: skip
"""What the laboratory brings itself."""


@dataclass(frozen=True)
class PipelineSettings:
    """Which models are compared, on what, where."""

    unlearned: str | None = setting(
        None, f"unlearned model, or several with commas between them (default: {DEFAULTS['unlearned']})",
        environment="UNLEARNED",
    )  # fmt: skip
    base: str | None = setting(
        None, f"model that knows everything, the reference of every comparison (default: {DEFAULTS['base']})",
        environment="BASE",
    )  # fmt: skip
    filtered: str | None = shared(
        "filtered", help=f"model that never saw the data, or two trainings with a comma between them; 'none': there is none (default: {DEFAULTS['filtered']})"
    )  # fmt: skip
    control: str = shared(
        "control", help="independent retraining of the base, the control for what two trainings differ by"
    )
    cb_only: str | None = setting(
        None, f"circuit-breaker model of comparisons 4 to 6 (default: {DEFAULTS['cb_only']})", environment="CB_ONLY"
    )
    pretrain: str | None = setting(
        None, f"pretraining checkpoint of comparison 3 (default: {DEFAULTS['pretrain']})", environment="PRETRAIN"
    )
    model_a: str = setting("none", "with --model-b: compare these two models and no others", environment="MODEL_A")
    model_b: str = setting("none", "the model that --model-a is compared with", environment="MODEL_B")
    random_control: bool = shared("random_control")
    outroot: str = shared("outroot", help="folder for everything that is written")
    param_device: str = setting("auto", "device of the weight pass", environment="PARAM_DEVICE")
    param_dtype: str = shared(
        "dtype", help="cast weights to this before they are subtracted (auto: as stored, nothing is lost)",
        environment="PARAM_DTYPE",
    )  # fmt: skip
    activation_device: str = setting(
        "auto", "device of the activation pass and the questions", environment="ACTIVATION_DEVICE"
    )
    activation_dtype: str = shared("dtype", help="number type of the activation pass", environment="ACTIVATION_DTYPE")
    forget_text: str | None = shared("forget_text")
    retain_text: str | None = shared("retain_text")
    text_column: str | None = text_column()
    benign_text: str | None = shared("benign_text")
    forget_questions: str | None = shared("forget_questions")
    retain_questions: str | None = shared("retain_questions")
    question_format: str = question_format()
    question_template: str = question_template()
    answers_from: int | None = answers_from()
    num_questions: int = num_questions()
    max_samples: int = setting(
        500, "texts per split, and hazardous questions of the lens", environment="MAX_SAMPLES", minimum=1
    )
    enable_pretrain_comparison: bool = setting(
        False, "comparison 3: base → pretraining checkpoint", environment="ENABLE_PRETRAIN_COMPARISON"
    )
    enable_cb_comparisons: bool = setting(
        False,
        "comparisons 4 to 6: base → CB, CB → unlearned, unlearned → filtered",
        environment="ENABLE_CB_COMPARISONS",
    )
    enable_attacks: bool = setting(
        False, "relearn T on every model and measure V (always on in the laboratory)", environment="ENABLE_ATTACKS"
    )
    attacks: str = setting(
        relearning.NAME, "the attacks, with commas between them (see: brittle attacks)", environment="ATTACKS"
    )
    attack_eval_questions: int | None = shared("attack_eval_questions")
    laboratory: bool = setting(
        False, "use the embedded laboratory: builds its models and unlearns with --methods", environment="LABORATORY"
    )
    size: str = shared("size")
    world: int = shared("world")
    methods: str = shared("methods", help="unlearning methods in the laboratory, each at its laboratory preset")
    model_seed: int = shared("model_seed")
    layers_to_analyze: tuple[int, ...] = setting(
        (), "layers of the steps that read chosen ones, such as 0,4,8 (default: all)", environment="LAYERS_TO_ANALYZE"
    )
    seeds: str = shared("seeds", help="seeds of the attack and of the diagnostics' intervals")
    force: bool = shared("force", help="run everything again, also what a complete record covers")

    def reference(self, role: str) -> str:
        """The model of a role: as named, or the documented one."""
        return str(getattr(self, role) or DEFAULTS[role])

    def check_laboratory(self) -> None:
        """Refuse what a laboratory would not listen to."""
        ignored = [field for field in fields(self) if field.name in OWN and getattr(self, field.name) != field.default]
        if self.laboratory and ignored:
            names = ", ".join(f"{flag_of(field)} ({field.metadata['environment']})" for field in ignored)
            raise BadInput(
                f"--laboratory makes its own models and asks its own questions, so {names} would change nothing; "
                "leave one or the other out"
            )

    def unread(self) -> dict[str, str]:
        """Flags that were given a value and that nothing reads, each with the flag that would have it read."""
        attacked = self.laboratory or self.enable_attacks
        read_if = {
            "--laboratory": (("size", "world", "methods", "model_seed"), self.laboratory),
            "--enable-attacks": (("attacks", "attack_eval_questions"), attacked),
            "--enable-pretrain-comparison": (("pretrain",), self.enable_pretrain_comparison),
            "--enable-cb-comparisons": (("cb_only",), self.enable_cb_comparisons),
        }
        return {
            flag_of(field): flag
            for flag, (names, read) in read_if.items()
            for field in fields(self)
            if field.name in names and not read and getattr(self, field.name) != field.default
        }


MADE = ("base", "unlearned", "model_a", "model_b", "laboratory", "size", "world", "methods", "model_seed")
"""What the models on the line of ``brittle compare`` decide."""
CompareSettings = without(PipelineSettings, MADE, unread=("filtered",))


@dataclass(frozen=True)
class DemoSettings:
    """The demonstration: the whole pipeline in the laboratory, in one world or several."""

    size: str = shared("size")
    world: int = shared("world")
    worlds: str | None = setting(
        None, "several worlds, with commas between them; results of each go below world-N/seed-S in --outroot (default: --world)"
    )  # fmt: skip
    methods: str = shared("methods")
    model_seeds: str | None = setting(
        None, f"seeds of unlearning: one model of every method for each, likewise below world-N/seed-S (default: {SHARED['model_seed']['default']})"
    )  # fmt: skip
    seeds: str = shared("seeds", help="seeds of the attack and of the diagnostics' intervals", environment=None)
    outroot: str = shared("outroot")
    force: bool = shared("force", help="run everything again")


def pipeline_settings(_only: str | None = None) -> SettingsTypes:
    """The pipeline's settings, and those of the diagnostics that it runs."""
    return [(PipelineSettings, {}), *_of_steps()]


def compare_settings(_only: str | None = None) -> SettingsTypes:
    """The pipeline's settings but for those that the models on the line decide."""
    return [(CompareSettings, {}), *_of_steps()]


def demo_settings(_only: str | None = None) -> SettingsTypes:
    """The demonstration's settings."""
    return [(DemoSettings, {})]


def _of_steps() -> SettingsTypes:
    return of_plugins(
        "diagnostics",
        {name for name, plugin in discovery.plugins("diagnostics").items() if not reads_records(plugin)},
    )
