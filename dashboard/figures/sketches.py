"""Single numbers to small pictures in HTML: bars, a thing inside another, stretches of the line from 0 to 1."""

from collections.abc import Sequence
from html import escape
from typing import Final

from dashboard.figures.bars import shown_p
from dashboard.theme import Theme, faded, words_in

STYLE: Final = (
    "<style>.facts{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:.9rem;color:var(--text)}"
    ".fact{border:1px solid var(--line);border-radius:10px;padding:.85rem .95rem;display:flex;flex-direction:column}"
    ".fact .sketch{height:86px;display:flex;flex-direction:column;justify-content:center;margin-bottom:.55rem}"
    ".fact .tag{font-size:.78rem;font-weight:600}.fact h3{margin:.15rem 0 .1rem;padding:0;font-size:1rem;"
    "font-weight:620;line-height:1.3}.fact .number{font-size:1.3rem;font-weight:650;"
    "font-variant-numeric:tabular-nums;line-height:1.25}"
    ".fact .what{font-size:.82rem;color:var(--muted);line-height:1.35;margin-bottom:.45rem}"
    ".fact p{margin:0;font-size:.9rem;line-height:1.45}"
    ".sk-row{display:grid;grid-template-columns:1fr 2.6rem;gap:.5rem;align-items:center;font-size:.78rem;"
    "font-variant-numeric:tabular-nums;margin:.1rem 0}.sk-track{display:block;height:.6rem;border-radius:3px;"
    "background:var(--band);overflow:hidden}.sk-track span{display:block;height:100%}"
    ".sk-stacks{display:grid;grid-template-columns:1fr 1fr;gap:.9rem}.sk-stacks .sk-track{margin:.45rem 0}"
    ".sk-line{position:relative;height:1rem;border-radius:3px;background:var(--band);margin-top:1.1rem}"
    ".sk-line span{position:absolute;top:0;bottom:0;border-radius:3px}"
    ".sk-line b{position:absolute;top:-.25rem;bottom:-.25rem;border-left:2px solid var(--text)}"
    ".sk-line em,.sk-ends{font-style:normal;font-size:.76rem;color:var(--muted)}"
    ".sk-line em{position:absolute;top:-1.35rem;transform:translateX(-50%);white-space:nowrap}"
    ".sk-ends{display:flex;justify-content:space-between;margin-top:.15rem}"
    ".sk-dots{position:relative;height:3.4rem}.sk-dots *{position:absolute}"
    ".sk-dots span{top:0;bottom:0;background:var(--band)}.sk-dots b{top:0;bottom:0;border-left:1px solid var(--muted)}"
    ".sk-dots i{width:.8rem;height:.8rem;margin-left:-.4rem;border-radius:50%;top:calc(50% - .4rem)}"
    ".sk-nest{position:relative;width:84px;height:84px;border-radius:50%}"
    ".sk-nest span{position:absolute;border-radius:50%}"
    "@media (max-width:1000px){.facts{grid-template-columns:repeat(2,minmax(0,1fr))}}"
    "@media (max-width:560px){.facts{grid-template-columns:minmax(0,1fr)}}</style>"
)


def bars(rows: Sequence[tuple[float, str]]) -> str:
    """Horizontal bars with their numbers. rows: (p in [0, 1], "#rrggbb")."""
    return "".join(
        f'<div class="sk-row"><span class="sk-track"><span style="width:{100 * p:.1f}%;background:{color}"></span>'
        f"</span><span>{escape(shown_p(p))}</span></div>"
        for p, color in rows
    )


def stacks(columns: Sequence[tuple[Sequence[float], str]]) -> str:
    """Bars of several heads beside each other. columns: (p of each class, "#rrggbb")."""
    drawn = (
        "".join(
            f'<span class="sk-track"><span style="width:{100 * p:.1f}%;background:{color}"></span></span>'
            for p in values
        )
        for values, color in columns
    )
    return f'<div class="sk-stacks">{"".join(f"<div>{one}</div>" for one in drawn)}</div>'


def line(spans: Sequence[tuple[float, float, str]], marks: Sequence[tuple[float, str]] = ()) -> str:
    """The line from 0 to 1 with stretches (from, to, colour) and marks (where, words)."""
    drawn = "".join(
        f'<span style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%;background:{color}"></span>'
        for low, high, color in spans
    )
    marked = "".join(
        f'<b style="left:{100 * at:.1f}%"></b><em style="left:{100 * at:.1f}%">{escape(words)}</em>'
        for at, words in marks
    )
    return f'<div class="sk-line">{drawn}{marked}</div><div class="sk-ends"><span>0</span><span>1</span></div>'


def scatter(places: Sequence[float], band: tuple[float, float], colors: Sequence[str]) -> str:
    """Dots around a band, without a scale: places and band from 0 to 1 of the width."""
    low, high = band
    dots = "".join(
        f'<i style="left:{100 * at:.1f}%;background:{color}"></i>' for at, color in zip(places, colors, strict=True)
    )
    return (
        f'<div class="sk-dots"><span style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></span>'
        f'<b style="left:{50 * (low + high):.1f}%"></b>{dots}</div>'
    )


def nested(share: float, outer: str, inner: str) -> str:
    """A disc that covers a share of another one's area and lies in it."""
    size = 100 * share**0.5
    at = (100 - size) * 0.62
    return (
        f'<div class="sk-nest" style="background:{faded(outer, 0.45)};box-shadow:inset 0 0 0 2px {outer}">'
        f'<span style="width:{size:.1f}%;height:{size:.1f}%;left:{at:.1f}%;top:{at / 2:.1f}%;'
        f'background:{faded(inner, 0.6)};box-shadow:inset 0 0 0 2px {inner}"></span></div>'
    )


def grid(cards: Sequence[str], theme: Theme) -> str:
    """Cards in four columns, two or one, by the room there is."""
    colors = f"--text:{theme.text};--muted:{theme.muted};--line:{theme.line};--band:{theme.band}"
    return f'<div class="facts" style="{colors}">{"".join(cards)}</div>'


def card(theme: Theme, *, tag: str, color: str, title: str, number: str, what: str, text: str, sketch: str) -> str:
    """A picture with its number, what the number is, and what follows. sketch: HTML made here; the rest is text."""
    return (
        f'<div class="fact" style="border-top:3px solid {color}"><div class="sketch" aria-hidden="true">{sketch}</div>'
        f'<div class="tag" style="color:{words_in(color, theme)}">{escape(tag)}</div><h3>{escape(title)}</h3>'
        f'<div class="number">{escape(number)}</div><div class="what">{escape(what)}</div><p>{escape(text)}</p></div>'
    )
