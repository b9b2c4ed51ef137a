"""A real browser without a network, for tests of pages: the fixture `open_page`.

A test's module asks for it with `pytest_plugins = ["tests.browser"]` and imports nothing from here.

It is the one that HSC_BROWSER names, or Chromium or Chrome from the PATH. Without one the tests are
skipped.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--no-sandbox",  # as root in a container there is no other way
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_browser() -> str | None:
    """The browser's program."""
    chosen = os.environ.get("HSC_BROWSER")
    return chosen or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless browser (Playwright's `Browser`)."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install playwright)"
    )
    program = find_browser()
    if program is None:
        pytest.skip(f"no browser: set HSC_BROWSER, or put one of {', '.join(NAMES)} on the PATH")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        yield started
        started.close()


@dataclass(frozen=True)
class Opened:
    """A page in the browser, and everything that it said or asked for."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def open_page(browser: Any) -> Callable[..., AbstractContextManager[Opened]]:
    """Open a file: `with open_page(path, width=400, scheme="dark") as opened: ...`.

    Offline; every request but the one for the file itself is refused and noted.
    """
    return partial(_open, browser)


@contextmanager
def _open(browser: Any, path: Path, width: int = 1280, scheme: str = "light") -> Iterator[Opened]:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    address = path.resolve().as_uri()
    shown = Opened(context.new_page())

    def decide(route: Any) -> None:
        if route.request.url == address:
            route.continue_()
        else:
            shown.requests.append(route.request.url)
            route.abort()

    context.route("**/*", decide)
    shown.page.on("console", lambda message: shown.errors.append(f"{message.type}: {message.text}"))
    shown.page.on("pageerror", lambda error: shown.errors.append(str(error)))
    shown.page.goto(address)
    try:
        yield shown
    finally:
        context.close()
