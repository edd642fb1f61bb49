"""Write what a training made: whole weights or adapters, checked, beside the base's own tokenizer."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from brittle import leases, problems
from brittle.environment import home
from brittle.models.adapters import merged
from brittle.models.checkpoints import unmoved_share
from brittle.models.construction import save
from brittle.models.loading import LoadedModel
from brittle.models.model_files import copy_tokenizer
from brittle.models.weight_files import is_finite
from brittle.places import parents_of, put_in_place
from brittle.records import Draft
from brittle.settings import BadInput

if TYPE_CHECKING:
    from brittle.runs.unlearning_plan import Plan


def save_result(chosen: Plan, loaded: LoadedModel, adapters: Any, draft: Draft) -> None:
    """Write the weights: whole, or the adapters alone, or with ``--merge`` the adapters' update added to the weights.

    Raises:
        BadInput: a weight is not finite; such a model is not saved.
    """
    model, base = loaded.model, chosen.base.folder
    if adapters is not None and chosen.make.merge:
        model = merged(adapters)
    if broken := next((name for name, each in model.named_parameters() if not is_finite(each)), None):
        raise BadInput(f"after the training {broken} has NaN or infinite values; lower --lr or the method's weights")
    if adapters is not None and not chosen.make.merge:
        for configuration in adapters.peft_config.values():
            configuration.base_model_name_or_path = chosen.base.text
        adapters.save_pretrained(draft.folder)
        copy_tokenizer(base, draft.folder)
        return
    draft.note(unmoved_share=unmoved_share(model, base))
    save(model.cpu(), loaded.tokenizer, draft.folder, base)


@contextlib.contextmanager
def rescued(chosen: Plan, loaded: LoadedModel, adapters: Any, draft: Draft) -> Iterator[None]:
    """If what is done inside fails for want of room, the trained weights go to another disk: under ``BRITTLE_HOME``.

    Raises:
        BadInput: with the reason, and where the weights are; if they could not be kept, the first failure as it was.
    """
    try:
        yield
    except Exception as problem:
        if isinstance(problem, BadInput) or (reason := problems.of_the_system(problem)) is None:
            raise
        shutil.rmtree(draft.folder, ignore_errors=True)  # what is half-written takes the last room
        kept = home() / "rescued" / f"{chosen.folder.name}-{chosen.identity.fingerprint[:8]}"
        try:
            with parents_of(kept), leases.temporary(kept) as temporary:
                temporary.mkdir()
                save_result(chosen, loaded, adapters, Draft(temporary))
                put_in_place(temporary, kept, listed=[path.name for path in temporary.iterdir()])
        except Exception:
            raise problem from None
        raise BadInput(
            f"{chosen.folder} could not be written ({reason}); the trained weights, without a record, are in {kept}: "
            "that folder can be named as a model, or make room and run the same command again"
        ) from None
