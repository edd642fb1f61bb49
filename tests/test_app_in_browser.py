"""The app in a real browser: three texts stream to their ends, the pages open on a screen and on a phone, two sessions do not mix.

Screenshots are kept in ``tests/screenshots``, which git ignores.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import reports_tree

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ROOT = Path(__file__).parent.parent
PICTURES = Path(__file__).parent / "screenshots"
MODELS = [f"laboratory:{name}@tiny-0" for name in ("base", "filtered", "retrained")]
WIDTHS = (1280, 390)
PATIENCE = 180_000
"""Milliseconds for what takes seconds on a machine that has nothing else to do."""

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed: apt-get install chromium"),
]


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("localhost", 0))
        return int(tried.getsockname()[1])


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, brittle_home: Path) -> Iterator[str]:
    """The app on the tiny laboratory and a synthetic output folder, started as documented."""
    from brittle.runs.laboratory_models import build
    from brittle.suites.laboratory import Laboratory

    build(Laboratory("tiny", 0))
    outputs = reports_tree.build(tmp_path_factory.mktemp("browser") / "outputs")
    reports_tree.more_attacks(outputs / "recovery")
    port = free_port()
    environment = os.environ | {"BRITTLE_HOME": str(brittle_home), "OMP_NUM_THREADS": "1"}
    words = [
        sys.executable,
        str(ROOT / "infer" / "run.py"),
        "--port",
        str(port),
        "--outroot",
        str(outputs),
        "--device",
        "cpu",
    ]
    with open(outputs.parent / "app.log", "wb") as log:
        app = subprocess.Popen(words, stdout=log, stderr=log, env=environment, cwd=outputs.parent)
    try:
        found = f"http://localhost:{port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{found}/_stcore/health", timeout=5)
                break
            except OSError:
                assert app.poll() is None, (outputs.parent / "app.log").read_text()
                time.sleep(0.2)
        yield found
    finally:
        app.terminate()
        app.wait(30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        shown = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield shown
        shown.close()


def opened(browser: Any, url: str, width: int = 1280) -> Any:
    """A page in a session of its own, at its first rest."""
    page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    page.wait_for_selector("h1")
    rested(page)
    return page


def rested(page: Any) -> None:
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')")
    page.wait_for_timeout(500)


def picture(page: Any, name: str, width: int) -> None:
    """Keep a screenshot of the whole page; nothing of it may stand beyond the screen's edge."""
    main = "document.querySelector('[data-testid=stMain]')"
    assert page.evaluate(f"{main}.scrollWidth") <= page.evaluate(f"{main}.clientWidth")
    height = page.evaluate(f"{main}.scrollHeight")
    page.set_viewport_size({"width": width, "height": min(height + 60, 6000)})
    page.wait_for_timeout(500)
    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=str(PICTURES / f"{name}_{width}.png"))


def asked(prompt: str, tokens: int = 12) -> str:
    return "/chat?" + urlencode({"model": MODELS, "prompt": prompt, "tokens": tokens}, doseq=True)


@pytest.mark.parametrize("width", WIDTHS)
def test_three_texts_stream_to_their_ends(address: str, browser: Any, width: int) -> None:
    page = opened(browser, address + asked("<script>document.title = 'broken'</script> **The** source of"), width)
    page.get_by_role("button", name="Send", exact=True).click()
    page.wait_for_function(
        "document.querySelectorAll('[data-testid=stMain] details').length >= 4"
    )  # settings, three prompts
    rested(page)
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
    picture(facts, "facts", width)
    facts.context.close()
    sweep = opened(browser, f"{address}/sweep", width)
    sweep.get_by_text("There is no sweep below").wait_for()
    picture(sweep, "sweep", width)
    sweep.context.close()


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
