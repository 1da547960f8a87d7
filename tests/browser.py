"""A page as a real browser shows it: what it drew, what it fetched, and what it complained of."""

from __future__ import annotations

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
const said = console.error; console.error = (...a) => { __errors.push("console: " + a.join(" ")); said(...a); };
addEventListener("load", () => {
  const box = (e) => { const r = e.getBoundingClientRect(); return [r.width, r.height]; };
  const report = {
    errors: __errors,
    figures: [...document.querySelectorAll("figure > svg")].map(box),
    paths: [...document.querySelectorAll("figure > svg")].map((e) => e.querySelectorAll("path").length),
    images: [...document.images].map((i) => i.complete && i.naturalWidth > 0),
    tables: document.querySelectorAll("table tbody tr").length,
    fetched: performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith("data:")),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  };
  const out = document.createElement("pre"); out.id = "probe"; out.textContent = JSON.stringify(report);
  document.body.appendChild(out);
});
</script>"""


def shown(page: Path, scratch: Path) -> dict[str, Any]:
    """What the probe tells of a page, after it was loaded without an error on the console."""
    probed = scratch / "page.html"
    probed.write_text(page.read_text().replace("<head>", "<head>" + PROBE, 1))
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={scratch / 'profile'}",
        "--window-size=1100,900",
        "--enable-logging=stderr",
        "--virtual-time-budget=5000",
        "--dump-dom",
        probed.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    report: dict[str, Any] = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert report["errors"] == [] and "CONSOLE" not in done.stderr.replace("INFO:CONSOLE", "")
    assert report["fetched"] == [] and report["overflow"] <= 0 and all(report["images"])
    assert all(width > 300 and height > 100 for width, height in report["figures"])
    assert all(n > 20 for n in report["paths"])
    return report
