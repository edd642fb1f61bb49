"""A hub that cannot be reached is asked once: no half minute of retries, and a message that says what is the matter."""

from __future__ import annotations

import datasets
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _http

from brittle import hub
from brittle.data.corpora import hub_rows
from brittle.settings import BadInput


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Online, but nothing listens where the hub should be; every pause that its library makes."""
    pauses: list[float] = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(_http.time, "sleep", pauses.append)
    return pauses


def test_a_data_set_is_refused_at_once(nowhere: list[float], tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    with pytest.raises(BadInput, match="the hub cannot be reached, and what is needed is not in its cache"):
        hub_rows("cais/wmdp", "wmdp-bio", "test")
    assert nowhere == []
    assert (constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE) == (False, False)


def test_only_a_hub_that_answers_is_waited_for(nowhere: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    with hub.without_waiting() as reached:
        assert not reached and constants.HF_HUB_OFFLINE and datasets.config.HF_HUB_OFFLINE
    monkeypatch.setattr(hub, "reachable", lambda: True)
    with hub.without_waiting() as reached:
        assert reached and not constants.HF_HUB_OFFLINE
