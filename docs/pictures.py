"""Pictures of the app on the laboratory's real results: ``make pictures``, after ``uv run brittle demo``.

Needs chromium and the development packages. The app is started as documented; a browser opens its pages and keeps what it shows in
``docs/images``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).parent.parent
IMAGES = Path(__file__).parent / "images"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 180_000
"""Milliseconds for what takes seconds on a machine that has nothing else to do."""
MODELS = [f"laboratory:{name}" for name in ("base", "filtered", "retrained")]
WIDTH = 1280


@contextlib.contextmanager
def app(outputs: Path, **environment: str) -> Iterator[str]:
    """The address of the app on an outputs folder, started as documented in the folder above it."""
    with socket.socket() as tried:
        tried.bind(("localhost", 0))
        port = tried.getsockname()[1]
    words = ["--port", str(port), "--outroot", outputs.name, "--device", "cpu"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "infer" / "run.py"), *words], stdout=log, stderr=log, cwd=outputs.parent,
            env=os.environ | {"OMP_NUM_THREADS": "1", **environment},
        )  # fmt: skip
        try:
            _wait(f"http://localhost:{port}/_stcore/health", process, log)
            yield f"http://localhost:{port}"
        finally:
            process.terminate()
            process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Any) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=5)
            return
        if process.poll() is not None:
            break
        time.sleep(0.2)
    log.seek(0)
    raise RuntimeError(f"the app did not start: {log.read()[-3000:]}")


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Chromium, driven by playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        shown = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield shown
        shown.close()


def opened(browser: Any, url: str, width: int = WIDTH) -> Any:
    """A page in a session of its own, at its first rest."""
    page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    page.wait_for_selector("h1")
    rested(page)
    return page


def rested(page: Any) -> None:
    """Wait until nothing is computed for a page."""
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')")
    page.wait_for_timeout(500)


def picture(page: Any, path: Path, width: int = WIDTH) -> None:
    """Keep a screenshot of the whole page; nothing of it may stand beyond the screen's edge."""
    main = "document.querySelector('[data-testid=stMain]')"
    assert page.evaluate(f"{main}.scrollWidth") <= page.evaluate(f"{main}.clientWidth")
    height = page.evaluate(f"{main}.scrollHeight")
    page.set_viewport_size({"width": width, "height": min(height + 60, 6000)})
    page.wait_for_timeout(500)
    path.parent.mkdir(exist_ok=True)
    page.screenshot(path=str(path))


def send(page: Any, models: int) -> None:
    """Send the prompt that stands in a Chat page's address, and wait until every model has said its text."""
    page.get_by_role("button", name="Send", exact=True).click()
    told = (
        "document.querySelectorAll('[data-testid=stMain] details').length"  # the settings, and a prompt for each model
    )
    page.wait_for_function(f"{told} >= {models + 1}")
    rested(page)


def main() -> None:
    """The pages Chat and Experiment, on what the demonstration left."""
    from brittle.suites.laboratory import Laboratory

    outputs = ROOT / "outputs"
    if not (outputs / "comparison.json").is_file():
        sys.exit("there is nothing to show yet; run: uv run brittle demo")
    if CHROMIUM is None:
        sys.exit("no chromium is installed: apt-get install chromium")
    question = Laboratory().questions()["forget"][0]
    asked = {
        "model": MODELS, "prompt": question.question, "choices": "\n".join(each.strip() for each in question.choices), "tokens": 12
    }  # fmt: skip
    with app(outputs) as address, browser() as shown:
        chat = opened(shown, f"{address}/chat?" + urlencode(asked, doseq=True))
        send(chat, len(MODELS))
        picture(chat, IMAGES / "chat.png")
        experiment = opened(shown, f"{address}/experiment")
        experiment.locator("[data-testid=stVegaLiteChart] svg").first.wait_for()
        picture(experiment, IMAGES / "experiment.png")
    print(f"-> {IMAGES / 'chat.png'}\n-> {IMAGES / 'experiment.png'}")


if __name__ == "__main__":
    main()
