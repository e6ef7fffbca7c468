"""Blocks of a report to HTML: everything that comes from a file is escaped here and nowhere else."""

import re
from itertools import groupby
from typing import Any, Final

import pandas as pd

from dashboard.figures.theme import LIGHT, words_in
from dashboard.how_to_read import HOW_TO_READ
from dashboard.panels import Panel, Picture
from dashboard.panels.cards import Card
from dashboard.report.blocks import (
    Block,
    Bullets,
    Cards,
    Chapter,
    Commands,
    Cover,
    Facts,
    Gallery,
    LeftOut,
    Legend,
    Photo,
    Summary,
    Text,
)
from dashboard.report.grids import table_html, thinned, written
from dashboard.report.safe import escaped, safe_color, script_json
from dashboard.rounding import count

FONT: Final = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
_NARROW: Final = 6  # columns of a table with intervals that fit on paper in the usual size
_SHORT: Final = 3  # figures that stand on one page with their explanation
_NO_TITLE: Final = 10  # CSS pixels above a figure without a title
_SENTENCES: Final = re.compile(r"(?<=\.) (?=[A-Z])")


def table_name(chapter: str, key: str) -> str:
    """Name of a table's file, without its ending: the chapter first, so that a folder is sorted by chapter."""
    name = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-").removesuffix("-table")
    for start in (chapter, chapter.removesuffix("s")):
        if name == start:
            return chapter
        name = name.removeprefix(f"{start}-")
    return f"{chapter}-{name}"


def figure_json(picture: Picture, *, said: str) -> dict[str, Any]:
    """Data and layout of a figure for plotly.js, in the page's font; a title that the page says above is left out."""
    figure = picture.figure.to_plotly_json()
    layout = {key: value for key, value in figure["layout"].items() if key != "template"}
    title, margin = layout.pop("title", {}), layout.get("margin", {})
    if title.get("text") == said and not title.get("subtitle") and {"t", "b"} <= margin.keys():
        layout |= {"margin": margin | {"t": _NO_TITLE}, "height": layout["height"] + _NO_TITLE - margin["t"]}
    else:
        layout["title"] = title | {"xref": "container"}  # under the text above, with the whole width to itself
    return {"data": figure["data"], "layout": layout | {"font": layout.get("font", {}) | {"family": FONT}}}


class Renderer:
    """Blocks to HTML with ids that no two elements share. tables: the name of the export that holds whole tables."""

    def __init__(self, tables: str) -> None:
        self._tables = tables
        self._chapter = ""
        self._ids: set[str] = set()

    def id_of(self, key: str) -> str:
        """An id made of a key: letters, digits and hyphens, with a number where it is taken."""
        stem = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-") or "part"
        number, name = 1, stem
        while name in self._ids:
            number += 1
            name = f"{stem}-{number}"
        self._ids.add(name)
        return name

    def cover(self, cover: Cover) -> str:
        """The report's heading with its one sentence."""
        facts = "".join(f"<li>{escaped(fact)}</li>" for fact in cover.facts if fact)
        return (
            f'<header class="cover" style="border-color:{safe_color(cover.color)}">'
            f'<p class="above" style="color:{words_in(safe_color(cover.color), LIGHT)}">{escaped(cover.above)}</p>'
            f'<h1>{escaped(cover.headline)}</h1><ul class="facts-line">{facts}</ul></header>'
        )

    def chapter(self, chapter: Chapter, anchor: str) -> str:
        """A chapter under its anchor."""
        self._chapter = chapter.key
        lead = f'<p class="lead">{escaped(chapter.lead)}</p>' if chapter.lead else ""
        body = "\n".join(
            self._side_by_side(list(blocks)) if small else "\n".join(map(self.block, blocks))
            for small, blocks in groupby(chapter.blocks, _is_small)
        )
        return f'<section id="{anchor}" class="chapter"><h2>{escaped(chapter.title)}</h2>{lead}\n{body}\n</section>'

    def _side_by_side(self, blocks: list[Block]) -> str:
        """Panels of one figure each, two in a row where there is room."""
        shown = "\n".join(map(self.block, blocks))
        return f'<div class="beside">{shown}</div>' if len(blocks) > 1 else shown

    def block(self, block: Block) -> str:
        """One block."""
        match block:
            case Text(paragraphs):
                return "".join(f"<p>{escaped(one)}</p>" for one in paragraphs)
            case LeftOut(parts):
                lines = "".join(f"<li><strong>{escaped(a)}:</strong> {escaped(b)}.</li>" for a, b in parts)
                return f'<div class="left-out"><p>Left out for this run</p><ul>{lines}</ul></div>'
            case Bullets(title, lines):
                items = "".join(f"<li>{escaped(line)}</li>" for line in lines)
                return f'<div class="part">{_title(title)}<ul class="bullets">{items}</ul></div>'
            case Cards(title, cards):
                return f'{_title(title)}<div class="cards">{"".join(map(_card, cards))}</div>'
            case Facts(title, rows):
                pairs = "".join(f"<div><dt>{escaped(a)}</dt><dd>{escaped(b)}</dd></div>" for a, b in rows)
                return f'{_title(title)}<dl class="facts">{pairs}</dl>'
            case Commands(title, lines):
                return f'<div class="part">{_title(title)}<pre>{escaped(chr(10).join(lines))}</pre></div>'
            case Legend(entries):
                return _legend(entries)
            case Gallery(rows, note):
                shown = "".join(_photos(title, photos) for title, photos in rows)
                return f'<div class="gallery">{shown}</div><p class="how">{escaped(note)}</p>'
            case Summary():
                return self._summary(block)
            case Panel():
                return self._panel(block)

    def _panel(self, panel: Panel) -> str:
        across = max(1, min(panel.columns, len(panel.pictures)))
        pictures = "".join(self._picture(picture, said=panel.title) for picture in panel.pictures)
        own = self.id_of(f"panel-{panel.key}")
        # The explanation is the grid's last cell: it fills the place that an odd number of figures leaves.
        kind = "panel short" if len(panel.pictures) <= _SHORT else "panel"
        return (
            f'<section class="{kind}" id="{own}" aria-label="{escaped(panel.title)}">{_title(panel.title)}'
            f'<div class="figures across-{min(across, 3)}">{pictures}<p class="how">{escaped(explained(panel.how))}'
            f"</p></div>{self._details(panel.table, key=panel.key, percents=panel.percent)}</section>"
        )

    def _picture(self, picture: Picture, *, said: str) -> str:
        own = self.id_of(f"figure-{picture.key}")
        content = figure_json(picture, said=said)
        height = round(float(content["layout"].get("height") or 360))
        return (
            f'<figure class="figure"><div class="plot" id="{own}" role="img" aria-label="{escaped(picture.alt)}" '
            f'style="height:{height}px"></div><noscript><p class="how">{escaped(picture.alt)}</p></noscript>'
            f'<script type="application/json" id="{own}-data" data-figure="{escaped(picture.key)}">'
            f"{script_json(content)}</script></figure>"
        )

    def _summary(self, summary: Summary) -> str:
        shown = summary.readable
        kind = "numbers readable wide" if shown.shape[1] > _NARROW else "numbers readable"
        return (
            f'<section class="panel" id="{self.id_of(f"panel-{summary.name}")}">{_title(summary.title)}'
            f'<div class="scroll">{table_html(shown, [list(row) for row in shown.to_numpy()], kind)}</div>'
            f'<p class="how">{escaped(explained(summary.how))}</p>'
            f"{self._details(summary.table, key=summary.name)}</section>"
        )

    def _details(self, table: pd.DataFrame, *, key: str, percents: tuple[str, ...] = ()) -> str:
        """The table behind a figure, closed until it is wanted; long ones are thinned out evenly."""
        shown = thinned(table)
        said = f"{count(len(table))} row{'s' if len(table) != 1 else ''}"
        note = (
            f'<p class="note">{count(len(shown))} of {said}, evenly spaced. All of them are in '
            f"<code>{escaped(f'{self._tables}/{table_name(self._chapter, key)}.csv')}</code>.</p>"
            if len(shown) < len(table)
            else ""
        )
        columns = [[written(value, share=name in percents) for value in shown[name]] for name in shown.columns]
        rows = [list(row) for row in zip(*columns, strict=True)]
        return (
            f'<details class="table"><summary>Table, {said}</summary>{note}'
            f'<div class="scroll">{table_html(shown, rows, "numbers")}</div></details>'
        )


def explained(how: str) -> str:
    """How to read a figure, without the sentences on clicking: that works in the app only."""
    return " ".join(one for one in _SENTENCES.split(HOW_TO_READ[how]) if "click" not in one.lower())


def _is_small(block: Block) -> bool:
    return isinstance(block, Panel) and len(block.pictures) == 1


def _title(title: str) -> str:
    return f"<h3>{escaped(title)}</h3>" if title else ""


def _card(card: Card) -> str:
    title = f"<h4>{escaped(card.title)}</h4>" if card.title else ""
    number = f'<p class="number">{escaped(card.number)}</p>' if card.number else ""
    color = safe_color(card.color)
    return (
        f'<article class="card" style="border-top-color:{color}"><p class="tag" style="color:{words_in(color, LIGHT)}">'
        f"{escaped(card.tag)}</p>{title}{number}<p>{escaped(card.text)}</p></article>"
    )


def _legend(entries: tuple[tuple[str, str], ...]) -> str:
    chips = "".join(
        f'<li><span class="chip" style="background:{safe_color(color)}"></span>{escaped(name)}</li>'
        for name, color in entries
    )
    return f'<ul class="legend">{chips}</ul>'


def _photos(title: str, photos: tuple[Photo, ...]) -> str:
    shown = "".join(
        f'<figure class="photo"><img src="{escaped(photo.uri)}" alt="{escaped(photo.alt)}">'
        f"<figcaption>{escaped(photo.caption)}</figcaption></figure>"
        for photo in photos
    )
    return f'<div class="photos"><h4>{escaped(title)}</h4><div class="row">{shown}</div></div>'
