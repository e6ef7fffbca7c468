"""What a report is made of: chapters of text, cards, tables, pictures and panels, with no HTML in them yet."""

from typing import NamedTuple, TypeAlias

import pandas as pd

from dashboard.panels import Panel
from dashboard.panels.cards import Card
from pipelines.verdict import Verdict


class Text(NamedTuple):
    """Paragraphs of running text."""

    paragraphs: tuple[str, ...]


class LeftOut(NamedTuple):
    """Parts that this run cannot have. parts: (title, reason)."""

    parts: tuple[tuple[str, str], ...]


class Bullets(NamedTuple):
    """A list under a small title."""

    title: str
    lines: tuple[str, ...]


class Cards(NamedTuple):
    """Boxes that flow into as many columns as there is room for."""

    title: str
    cards: tuple[Card, ...]


class Facts(NamedTuple):
    """Names and values in two columns. title: may be empty."""

    title: str
    rows: tuple[tuple[str, str], ...]


class Commands(NamedTuple):
    """Lines of a program or for a terminal, with what they do."""

    title: str
    lines: tuple[str, ...]


class Summary(NamedTuple):
    """A small table that is read, as text, and the whole one behind it. name: of its CSV file; how: of HOW_TO_READ."""

    title: str
    readable: pd.DataFrame
    name: str
    table: pd.DataFrame
    how: str


class Legend(NamedTuple):
    """Colours with their names. entries: (name, "#rrggbb")."""

    entries: tuple[tuple[str, str], ...]


class Photo(NamedTuple):
    """A picture as a data URI. caption: shown under it; alt: what it shows."""

    uri: str
    caption: str
    alt: str


class Gallery(NamedTuple):
    """Pictures in rows, a title for each row. note: how to read them."""

    rows: tuple[tuple[str, tuple[Photo, ...]], ...]
    note: str


Block: TypeAlias = Text | LeftOut | Bullets | Cards | Facts | Commands | Summary | Legend | Gallery | Panel


class Chapter(NamedTuple):
    """A titled part. key: its anchor in the page; lead: a sentence that says what it answers."""

    key: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


class Cover(NamedTuple):
    """The top of a report. above: of the headline, such as "Verdict, tentative"; color: "#rrggbb" of its edge."""

    run: str
    above: str
    headline: str
    color: str
    facts: tuple[str, ...]


class Report(NamedTuple):
    """A whole report. verdict: the one it was made with."""

    cover: Cover
    verdict: Verdict
    chapters: tuple[Chapter, ...]
