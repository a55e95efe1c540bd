"""The console's style sheets and scripts, as they are served."""

from __future__ import annotations

import hashlib
import re

from workers.web.console.assets import BUNDLED, FOLDER, SHEET, Assets


def _in_page(ground, name):
    """The address by which a page asks for a file."""
    found = re.search(rf"/console/static/{re.escape(name)}\?[0-9a-f]+", ground.get("/console/invoices").text)
    assert found is not None, name
    return found[0]


def test_files_of_others_are_unchanged():
    told = dict(re.findall(r"^\| (\S+\.js) \| ([0-9a-f]{64}) \|$", (FOLDER / "VENDORED.md").read_text(), re.MULTILINE))

    assert told == {
        name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in BUNDLED if name != "live.js"
    }


def test_htmx_its_extensions_and_who_listens_to_them_arrive_together_in_their_order(ground):
    script = ground.get(_in_page(ground, "watch.js")).text

    places = [script.index((FOLDER / name).read_text()) for name in BUNDLED]
    assert places == sorted(places)


def test_what_a_page_asks_for_by_its_content_is_kept_for_good_and_nothing_else_is(ground):
    address = _in_page(ground, SHEET)

    assert "immutable" in ground.get(address).headers["cache-control"]
    assert ground.get(address.partition("?")[0]).headers["cache-control"] == "no-cache"
    assert ground.get(f"/console/static/{SHEET}?another").headers["cache-control"] == "no-cache"


def test_another_content_has_another_address(tmp_path):
    for name in (*BUNDLED, "a.css"):
        (tmp_path / name).write_text(name)
    before = Assets(tmp_path).url(SHEET)
    (tmp_path / "a.css").write_text("body {}")

    assert Assets(tmp_path).url(SHEET) != before


def test_files_are_packed_where_the_browser_takes_that_and_unknown_ones_are_not_there(ground):
    address = _in_page(ground, "console.js")
    assert ground.get(address, headers={"accept-encoding": "gzip"}).headers["content-encoding"] == "gzip"
    assert ground.get(address, headers={"accept-encoding": "identity"}).text == (FOLDER / "console.js").read_text()
    assert ground.get("/console/static/htmx.min.js").status_code == 404
    assert ground.get("/console/static/..%2fassets.py").status_code == 404
