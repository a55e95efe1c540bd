"""Pictures of the real console: `make pictures` runs the demo, signs in by its link, and takes them.

``python -m tests.console.pictures [FOLDER]`` writes them to deploy/console, with `pictures.json`: what stands on each,
so that a test can tell a picture of a page that has changed since.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "console"
WORDS = "pictures.json"
ZONE = "Europe/Berlin"
LONGEST_SECONDS = 300
LONGEST_MS = LONGEST_SECONDS * 1000
#: What of a page is the page itself, and not what happened in the demo: its headings, columns and the rail.
SAID = """() => [...document.querySelectorAll('main h1, main h2, main th, nav.rail a')]
  .map((one) => one.firstChild ? one.firstChild.textContent.trim() : '')"""


@dataclass(frozen=True, slots=True)
class Picture:
    """One of them: of the page at ``path``, or of the one that the first link of ``first`` leads to."""

    name: str
    path: str
    first: str | None = None
    dark: bool = False
    width: int = 1280
    height: int = 860
    language: str = "en-GB"


INVOICE = "tbody tr a[href^='/console/invoices/']"
PICTURES = (
    Picture("overview", "/console/"),
    Picture("overview-dark", "/console/", dark=True),
    Picture("invoices", "/console/invoices"),
    Picture("invoices-dark", "/console/invoices", dark=True),
    Picture("invoice", "/console/invoices?anomaly=late", INVOICE),
    Picture("invoice-dark", "/console/invoices?anomaly=late", INVOICE, dark=True),
    Picture("endpoint", "/console/endpoints", "tbody tr a[href^='/console/endpoints/']"),
    Picture("invoices-phone", "/console/invoices", width=390, height=844, dark=True),
    Picture("invoice-phone", "/console/invoices?anomaly=underpaid", INVOICE, width=390, height=844),
    Picture("overview-german", "/console/", language="de-DE"),
)


@contextlib.contextmanager
def demo(orders: int) -> Iterator[str]:
    """A demo that stays, once it is over: a link that signs in to its console."""
    with tempfile.TemporaryDirectory() as home:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "demo", "--orders", str(orders), "--stay"],
            cwd=ROOT,
            env=environment | {"INVOICES_HOME": home, "TMPDIR": home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            links: list[str] = []
            for line in process.stderr:
                links += re.findall(r"http://\S+/console/link\?key=\S+", line)
                if len(links) == 2:  # the second is told when all orders have ended
                    break
            else:
                raise RuntimeError("the demo ended before it told the link to its console")
            yield links[1]
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LONGEST_SECONDS)


def take(browser: Browser, link: str, folder: Path) -> Mapping[str, list[str]]:
    """All pictures; what stands on each, by name."""
    place = link.partition("/console/")[0]
    signed_in = browser.new_context()
    signed_in.set_default_timeout(LONGEST_MS)
    page = signed_in.new_page()
    page.goto(link)
    page.get_by_role("button").first.click()
    page.wait_for_url(f"{place}/console/**")
    session = signed_in.storage_state()
    said = {}
    for picture in PICTURES:
        context = browser.new_context(
            storage_state=session,
            viewport={"width": picture.width, "height": picture.height},
            color_scheme="dark" if picture.dark else "light",
            timezone_id=ZONE,
            locale=picture.language,
        )
        context.set_default_timeout(LONGEST_MS)
        shown = context.new_page()
        said[picture.name] = _take(shown, place, picture, folder / f"{picture.name}.png")
        context.close()
    signed_in.close()
    return said


def _take(page: Page, place: str, picture: Picture, file: Path) -> list[str]:
    page.goto(place + picture.path)
    if picture.first is not None:
        page.goto(place + (page.locator(picture.first).first.get_attribute("href") or ""))
    page.locator("main h1").wait_for()
    page.screenshot(path=file, animations="disabled", caret="hide")
    found = page.evaluate(SAID)
    return [text for text in dict.fromkeys(found) if text and not re.search(r"[0-9]", text)]


def browser_program() -> str | None:
    """Where the system's browser is."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    program = browser_program()
    if program is None:
        raise SystemExit("pictures need chromium on the PATH: `.ci/engines` installs it on a Debian")
    folder.mkdir(parents=True, exist_ok=True)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with demo(200) as link, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments, timeout=LONGEST_MS)
        said = take(browser, link, folder)
        browser.close()
    (folder / WORDS).write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{len(said)} pictures in {folder}")


if __name__ == "__main__":
    main()
