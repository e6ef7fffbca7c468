"""Explanations to HTML: cards with an address of their own, and the one that was asked for."""

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

from dashboard.theme import Theme

STYLE: Final = (
    "<style>.entries{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:.9rem;color:var(--text)}"
    ".entry{border:1px solid var(--line);border-radius:10px;padding:.8rem 1rem .9rem}"
    ".entry.marked{border-color:var(--text);box-shadow:inset 4px 0 0 var(--text)}"
    ".entry h4{margin:0 0 .3rem;padding:0;font-size:1rem;font-weight:620;line-height:1.3}"
    ".entry h4 a{color:var(--muted);font-weight:400;margin-left:.45em;text-decoration:none}"
    ".entry h4 a:hover,.entry h4 a:focus-visible{color:var(--text);text-decoration:underline}"
    ".entry p{margin:0;font-size:.93rem;line-height:1.5;max-width:46rem}"
    ".asked{color:var(--text);padding:.1rem 0 .2rem}.asked .from{font-size:.85rem;font-weight:600;color:var(--muted)}"
    ".asked h2{margin:.1rem 0 .4rem;padding:0;font-size:1.4rem;font-weight:650;line-height:1.25}"
    ".asked p{margin:0;font-size:1.02rem;line-height:1.55;max-width:46rem}"
    ".answer{border-left:5px solid var(--side);padding:.05rem 0 .1rem .8rem;color:var(--text);min-height:5.2rem}"
    ".answer strong{display:block;font-size:1.15rem;font-weight:650;line-height:1.3;color:var(--side)}"
    ".answer span{font-size:.92rem;line-height:1.45}"
    "@media (max-width:800px){.entries{grid-template-columns:minmax(0,1fr)}}</style>"
)


class Entry(NamedTuple):
    """An explained figure. name: part of its anchor, "figure-<name>"; link: an address that opens the page on it."""

    name: str
    title: str
    text: str
    link: str


def entries_html(entries: Sequence[Entry], theme: Theme, *, marked: str | None = None) -> str:
    """Cards in two columns or one; marked: name of the one that stands out."""
    cards = "".join(_card(entry, entry.name == marked) for entry in entries)
    colors = f"--text:{theme.text};--muted:{theme.muted};--line:{theme.line}"
    return f'<div class="entries" style="{colors}">{cards}</div>'


def asked_html(title: str, page: str, text: str, theme: Theme) -> str:
    """The explanation that was asked for; page: where its figure is, may be empty."""
    origin = f'<div class="from">A figure of the page {escape(page)}</div>' if page else ""
    return (
        f'<div class="asked" style="--text:{theme.text};--muted:{theme.muted}">{origin}<h2>{escape(title)}</h2>'
        f"<p>{escape(text)}</p></div>"
    )


def answer_html(answer: str, why: str, color: str, theme: Theme) -> str:
    """A word in a colour, with the reason; it is read aloud when it changes."""
    return (
        f'<div class="answer" role="status" style="--side:{color};--text:{theme.text}">'
        f"<strong>{escape(answer)}</strong><span>{escape(why)}</span></div>"
    )


def _card(entry: Entry, marked: bool) -> str:
    label = f"Link to the explanation of {entry.title}"
    return (
        f'<article class="entry{" marked" if marked else ""}" id="figure-{escape(entry.name)}">'
        f'<h4>{escape(entry.title)}<a href="{escape(entry.link)}" aria-label="{escape(label)}" '
        f'title="{escape(label)}">#</a></h4><p>{escape(entry.text)}</p></article>'
    )
