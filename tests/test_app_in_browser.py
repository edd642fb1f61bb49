"""The app in a real browser: three texts stream to their ends, the pages open on a screen and on a phone, two sessions do not mix.

Screenshots are kept in ``tests/screenshots``, which git ignores. ``docs/pictures.py`` starts the app and drives the browser.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import reports_tree

sys.path.append(str(Path(__file__).parent.parent / "docs"))
import pictures  # noqa: E402
from pictures import opened, rested, send  # noqa: E402

PICTURES = Path(__file__).parent / "screenshots"
MODELS = [f"laboratory:{name}@tiny-0" for name in ("base", "filtered", "retrained")]
WIDTHS = (1280, 390)

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(pictures.CHROMIUM is None, reason="no chromium is installed: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, brittle_home: Path) -> Iterator[str]:
    """The app on the tiny laboratory and a synthetic output folder."""
    from brittle.runs.laboratory_models import build
    from brittle.suites.laboratory import Laboratory

    build(Laboratory("tiny", 0))
    outputs = reports_tree.build(tmp_path_factory.mktemp("browser") / "outputs")
    reports_tree.more_attacks(outputs / "recovery")
    with pictures.app(outputs, BRITTLE_HOME=str(brittle_home)) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with pictures.browser() as shown:
        yield shown


def picture(page: Any, name: str, width: int) -> None:
    pictures.picture(page, PICTURES / f"{name}_{width}.png", width)


def asked(prompt: str, tokens: int = 12) -> str:
    return "/chat?" + urlencode({"model": MODELS, "prompt": prompt, "tokens": tokens}, doseq=True)


@pytest.mark.parametrize("width", WIDTHS)
def test_three_texts_stream_to_their_ends(address: str, browser: Any, width: int) -> None:
    page = opened(browser, address + asked("<script>document.title = 'broken'</script> **The** source of"), width)
    send(page, 3)
    ends = page.get_by_text("the text ended").count() + page.get_by_text("as many tokens as asked for").count()
    assert ends == 3
    assert page.locator(".said span").count() > 3
    assert page.title() != "broken"
    picture(page, "chat", width)
    page.context.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_experiment_and_sweep_open(address: str, browser: Any, width: int) -> None:
    page = opened(browser, f"{address}/experiment", width)
    page.get_by_text("Is the knowledge gone, or only hidden?").wait_for()
    page.locator("[data-testid=stVegaLiteChart] svg").first.wait_for()
    picture(page, "experiment", width)
    page.context.close()
    facts = opened(browser, f"{address}/experiment?" + urlencode({"part": "Facts: which came back"}), width)
    facts.get_by_text("What became of the facts").wait_for()
    facts.locator("[data-testid=stVegaLiteChart] svg").first.wait_for()
    picture(facts, "facts", width)
    facts.context.close()
    sweep = opened(browser, f"{address}/sweep", width)
    sweep.get_by_text("There is no sweep below").wait_for()
    picture(sweep, "sweep", width)
    sweep.context.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_lens_has_rows_as_high_as_their_numbers(address: str, browser: Any, width: int) -> None:
    page = opened(browser, address + "/lens?" + urlencode({"model": MODELS}, doseq=True), width)
    page.get_by_role("button", name="Read", exact=True).click()
    page.wait_for_function("document.querySelectorAll('[data-testid=stVegaLiteChart] svg').length >= 3")
    rested(page)
    for chart in page.locator("[data-testid=stVegaLiteChart] svg").all():
        number = chart.locator(".mark-text text").first.bounding_box()
        assert chart.locator(".mark-rect path").first.bounding_box()["height"] >= number["height"] >= 6
        title = chart.get_by_text("layer (top").bounding_box()
        whole = chart.bounding_box()
        assert title["y"] >= whole["y"] and title["y"] + title["height"] <= whole["y"] + whole["height"]
    picture(page, "lens", width)
    page.context.close()


def test_two_sessions_do_not_mix(address: str, browser: Any) -> None:
    first, second = opened(browser, address + asked("The source of")), opened(browser, address + asked("A river"))
    for page in (first, second):
        page.get_by_role("button", name="Send", exact=True).click()
    for page in (first, second):
        page.wait_for_function("document.querySelectorAll('[data-testid=stMain] details').length >= 4")
        rested(page)
    texts = [[each.inner_text() for each in page.locator(".said").all()] for page in (first, second)]
    assert texts[0] and texts[1] and texts[0] != texts[1]
    assert first.get_by_label("Prompt", exact=True).input_value() == "The source of"
    assert second.get_by_label("Prompt", exact=True).input_value() == "A river"
    for page in (first, second):
        page.context.close()
