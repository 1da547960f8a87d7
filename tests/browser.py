"""A page as a real browser shows it: what it drew, what it fetched, and what it complained of."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium, to look at the page"
)
PROBE = """<script>
window.__errors = [];
addEventListener("error", (e) => __errors.push("error: " + (e.message || (e.target && e.target.tagName))), true);
addEventListener("securitypolicyviolation", (e) => __errors.push("policy: " + e.violatedDirective + e.blockedURI));
const said = console.error; console.error = (...a) => { __errors.push("console: " + a.join(" ")); said(...a); };
const fetched = () =>
  performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith("data:"));
addEventListener("load", () => {
  const report = (() => { %s })();
  const overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const out = document.createElement("pre");
  out.id = "probe";
  out.textContent = JSON.stringify({ errors: __errors, fetched: fetched(), overflow, ...report });
  document.body.appendChild(out);
});
</script>"""
FIGURES = """
  const box = (e) => { const r = e.getBoundingClientRect(); return [r.width, r.height]; };
  return {
    figures: [...document.querySelectorAll("figure > svg")].map(box),
    paths: [...document.querySelectorAll("figure > svg")].map((e) => e.querySelectorAll("path").length),
    images: [...document.images].map((i) => i.complete && i.naturalWidth > 0),
    tables: document.querySelectorAll("table tbody tr").length,
  };
"""


def dumped(address: str, scratch: Path, width: int = 1100, milliseconds: int = 5000) -> str:
    """The page at an address as its script has made it some time after it was loaded; the console has no line then."""
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={scratch / 'profile'}",
        f"--window-size={width},900",
        "--enable-logging=stderr",
        f"--virtual-time-budget={milliseconds}",
        "--dump-dom",
        address,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert "CONSOLE" not in done.stderr, done.stderr[-2000:]
    return done.stdout


def looked_at(page: str, script: str, scratch: Path, width: int = 1100) -> dict[str, Any]:
    """What `script`, the body of a function that returns an object, finds in a page that is opened from the disk.

    The page has no error, not on the console either, fetches nothing, and is no wider than the window.
    """
    probed = scratch / "page.html"
    probed.write_text(page.replace("<head>", "<head>" + PROBE % script, 1), encoding="utf-8")
    dom = dumped(probed.as_uri(), scratch, width)
    found = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    report: dict[str, Any] = json.loads(html.unescape(found[1]))
    assert report["errors"] == [] and report["fetched"] == [] and report["overflow"] <= 0
    return report


def shown(page: Path, scratch: Path) -> dict[str, Any]:
    """What a page of figures shows: the size and paths of each, and the rows of its tables."""
    report = looked_at(page.read_text(), FIGURES, scratch)
    assert all(report["images"])
    assert all(width > 300 and height > 100 for width, height in report["figures"])
    assert all(n > 20 for n in report["paths"])
    return report
