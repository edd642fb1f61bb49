"""Which run this is: its identity, its folder's name, and how it differs from the record that stands there.

Everything that changes weights, whatever way it was chosen (flag, environment, preset, default), is in the identity, and
stands in the folder's name: as a tag, or in a short hash where no tag could say it. What changes none is in neither.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from brittle import source
from brittle.models.references import Located
from brittle.records import Identity, digest_of_text, fingerprint
from brittle.settings import as_dictionary, folder_tags
from brittle.training.hyperparameters import TrainingSettings

TRAINING = (
    "brittle.training.loop", "brittle.training.norms", "brittle.training.pulls", "brittle.training.reference",
    "brittle.models.adapters", "brittle.models.likelihood",
)  # fmt: skip
"""The code besides the method's own that decides which weights come out and what is measured of them."""
CARRIED_OUT = (
    "brittle.runs.unlearning_preparation", "brittle.runs.unlearning_steps", "brittle.runs.unlearning_training",
)  # fmt: skip
"""Likewise, without what these import."""
WITHOUT_EFFECT = ("eval_interval", "gradient_checkpointing")
"""Settings of a training that leave every bit of the weights as it is (the first unless it can stop the training)."""
LONGEST_NAME = 180
"""Bytes of a folder's name: file systems take 255, and the names of checkpoints and leases beside it are longer."""
WORDS = {
    "base": "the base model's files", "forget": "the forget texts", "retain": "the retain texts", "source": "Brittle's code",
}  # fmt: skip


def processes() -> int:
    """How many processes ``torchrun`` or ``accelerate launch`` started to share each optimizer step."""
    return int(os.environ.get("WORLD_SIZE", 1))


@dataclasses.dataclass(frozen=True)
class Texts:
    """Forget and retain texts, and which of them are of files that the documented name does not imply."""

    splits: Mapping[str, Sequence[str]]
    named: tuple[str, ...] = ()

    @functools.cached_property
    def digests(self) -> dict[str, str]:
        """The content hash of each split's texts; hundreds of runs may share the texts."""
        return {split: fingerprint(texts) for split, texts in self.splits.items()}


def identity_of(
    method: str, module: Any, base: Located, texts: Texts, own: TrainingSettings, chosen: Any, merge: bool, dtype: str
) -> Identity:
    """The identity of a run whose settings are resolved; ``dtype`` is the number type that computes."""
    inputs = {
        "base": base.digest, "forget": texts.digests["forget"], "retain": texts.digests["retain"],
        "source": source.digest_of(module.__name__, *TRAINING, files=CARRIED_OUT),
    }  # fmt: skip
    settings = as_dictionary(own) | as_dictionary(chosen)
    for name in WITHOUT_EFFECT:
        if not (name == "eval_interval" and own.stop_on_collapse):
            del settings[name]
    more = {"method": method, "merge": merge, "dtype": dtype, "processes": processes()}
    return Identity("unlearned model", inputs, settings | more)


def folder_name(
    method: str, base: Located, texts: Texts, own: TrainingSettings, chosen: Any, merge: bool, dtype: str | None
) -> str:
    """``<model>__<method>__<tags>``, as documented for documented runs; ``dtype`` where it is not what ``auto`` gives."""
    tags = [folder_tags(own, chosen)]
    if own.stop_on_collapse:
        tags.append(f"ei{own.eval_interval}")
    if merge:
        tags.append("merged")
    if dtype:
        tags.append(f"dt{dtype}")
    if processes() > 1:
        tags.append(f"pr{processes()}")
    if texts.named:
        tags.append("data" + fingerprint({name: texts.splits[name] for name in texts.named})[:6])
    rest = shortened(f"__{method}__{'_'.join(tags)}", LONGEST_NAME - 60)
    return shortened(base.name, LONGEST_NAME - len(rest.encode())) + rest


def shortened(text: str, longest: int) -> str:
    """The text, or where it has more bytes than that its beginning and eight digits of a hash of the whole."""
    if len(text.encode()) <= longest:
        return text
    return text.encode()[: longest - 9].decode(errors="ignore") + "-" + digest_of_text(text)[:8]


def differences(record: Mapping[str, Any], identity: Identity) -> list[str]:
    """How the run of a record differs from this one, in words; the code that made it comes last."""
    there, here = record.get("inputs"), identity.inputs
    settings, own = record.get("settings"), as_plain(identity.settings)
    if record.get("kind") != identity.kind or not isinstance(there, dict) or not isinstance(settings, dict):
        return ["it is no unlearned model, or of another version"]
    found = [
        f"{name.replace('_', '-')} {settings.get(name, 'unknown')} there and {own.get(name, 'unknown')} here"
        for name in sorted({*settings, *own})
        if settings.get(name) != own.get(name)
    ]
    return found + [words for name, words in WORDS.items() if there.get(name) != here[name]]


def as_plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a record's JSON gives them back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
