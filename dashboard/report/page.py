"""A report to one HTML page that needs nothing but a browser: style, script, plotly.js, figures and images inside."""

import base64
import gzip
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Final

from plotly.offline import get_plotlyjs

from dashboard.report.blocks import Report
from dashboard.report.html import Renderer
from dashboard.report.safe import escaped

_HERE: Final = Path(__file__).parent
_NOSCRIPT: Final = "Figures need JavaScript, which is off. Every figure's table stands below it and opens without."


def page(report: Report, *, tables: str) -> str:
    """The whole page. tables: name of the export that holds the whole tables, such as "cells-tables"."""
    style, script = _file("report.css"), _file("report.js")
    packed, plotly_hash = _plotly()
    renderer = Renderer(tables)
    anchors = {chapter.key: renderer.id_of(chapter.key) for chapter in report.chapters}
    links = "".join(
        f'<li><a href="#{anchors[chapter.key]}">{escaped(chapter.title)}</a></li>' for chapter in report.chapters
    )
    chapters = "\n".join(renderer.chapter(chapter, anchors[chapter.key]) for chapter in report.chapters)
    # Nothing may be fetched, and only the two scripts below may run, whatever a name from a file says.
    policy = (
        f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src '{_hash(script)}' "
        f"'{plotly_hash}'; base-uri 'none'; form-action 'none'"
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<title>{escaped(report.cover.run)}: sigmoid or softmax?</title>
<style>{style}</style>
<noscript><style>.plot{{display:none}}</style></noscript>
</head>
<body>
<nav aria-label="Contents"><ol>{links}</ol></nav>
<main>
{renderer.cover(report.cover)}
<noscript><p class="warning">{_NOSCRIPT}</p></noscript>
<p class="warning" id="no-figures" hidden></p>
{chapters}
</main>
<script type="text/plain" id="plotly-gzip">{packed}</script>
<script>{script}</script>
</body>
</html>
"""


@lru_cache(maxsize=1)
def _plotly() -> tuple[str, str]:
    """plotly.js as the base64 of a gzip file, 2.0 MB instead of 4.8, and its hash for the policy."""
    code = get_plotlyjs()
    # Without a time in it, so that a run's report is the same to the byte whenever it is made.
    packed = gzip.compress(code.encode(), compresslevel=9, mtime=0)
    return base64.b64encode(packed).decode("ascii"), _hash(code)


def _hash(code: str) -> str:
    """Source of a script in a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(code.encode()).digest()).decode("ascii")


def _file(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
