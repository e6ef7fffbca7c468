"""Pieces of pages: safe text, figures with their table and download, cards, legends, empty states."""

import html
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard.figures.theme import HEAD_TITLES, Theme
from dashboard.how_to_read import HOW_TO_READ
from pipelines.schema import Head

_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~:$&^=@/])")
CHART: Final[dict[str, Any]] = {
    "displaylogo": False,
    "displayModeBar": "hover",
    "modeBarButtons": [["toImage"]],
    "responsive": True,
}


class Card(NamedTuple):
    """A titled box. tag: a few words above the title; number: may be empty; color: of tag and edge, "#rrggbb"."""

    tag: str
    title: str
    number: str
    text: str
    color: str


def plain(text: object) -> str:
    """Text that Markdown shows as it stands: names come from files and may hold anything."""
    return _MARKDOWN.sub(r"\\\1", str(text))


def style() -> None:
    """Lines that the theme's settings cannot say: a measure for wide screens and less air above the first line."""
    st.html(
        "<style>.stMainBlockContainer{max-width:1360px;padding:3.4rem clamp(1rem,3vw,3rem) 3rem}"
        ".cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,250px),1fr));gap:.9rem}"
        ".card{border:1px solid var(--line);border-radius:10px;padding:.9rem 1rem;color:var(--text)}"
        ".card h4{margin:.35rem 0 .3rem;padding:0;font-size:1rem;font-weight:620;line-height:1.3}"
        ".card p{margin:0;font-size:.9rem;line-height:1.45;color:var(--muted)}"
        ".card .number{font-size:1.25rem;font-weight:600;font-variant-numeric:tabular-nums;margin:.1rem 0 .3rem}"
        ".card .tag{font-size:.78rem;font-weight:600;letter-spacing:.01em}</style>"
    )


def escaped(text: object) -> str:
    """Text that HTML shows as it stands."""
    return html.escape(str(text))


def chart(figure: go.Figure, *, key: str, alt: str, name: str = "figure") -> None:
    """A figure in the look it was given, with its picture to download."""
    options = CHART | {"toImageButtonOptions": {"format": "png", "scale": 3, "filename": name}}
    st.plotly_chart(figure, theme=None, key=key, alt=alt, config=options)


def explain(how: str, table: pd.DataFrame, *, key: str, name: str, percent: Sequence[str] = ()) -> None:
    """How to read the figure above, its table, and the table as CSV. percent: columns that are shares."""
    st.caption(HOW_TO_READ[how])
    with st.expander("Table and download", key=f"{key}_table"):
        table_and_download(table, key=key, name=name, alt=HOW_TO_READ[how], percent=percent)


def table_and_download(table: pd.DataFrame, *, key: str, name: str, alt: str, percent: Sequence[str] = ()) -> None:
    """A table and its CSV, made only when the button is pressed."""
    formats = {
        column: st.column_config.NumberColumn(format="percent" if column in percent else "%.4f")
        for column in table.columns
        if pd.api.types.is_float_dtype(table[column])
    }
    st.dataframe(table, hide_index=True, column_config=formats, key=f"{key}_frame", alt=alt)
    st.download_button(
        "Download CSV",
        data=lambda: table.to_csv(index=False).encode(),
        file_name=f"{name}.csv",
        mime="text/csv",
        key=f"{key}_csv",
        icon=":material/download:",
        on_click="ignore",
    )


def paragraph(text: str, theme: Theme) -> None:
    """Plain running text in a readable measure."""
    st.html(f'<p style="max-width:46rem;line-height:1.55;color:{theme.text};margin:.2rem 0 .8rem">{escaped(text)}</p>')


def legend(entries: Sequence[tuple[str, str]], theme: Theme) -> None:
    """Colour chips with names. entries: (name, "#rrggbb")."""
    chips = "".join(
        f'<span style="display:inline-flex;align-items:center;gap:.4em;margin:0 1.1em .3em 0;white-space:nowrap">'
        f'<span style="width:.8em;height:.8em;border-radius:3px;background:{escaped(color)};'
        f'box-shadow:0 0 0 1px {theme.line}"></span>{escaped(name)}</span>'
        for name, color in entries
    )
    st.html(f'<div style="font-size:.88rem;line-height:1.5;color:{theme.text}">{chips}</div>')


def head_legend(heads: Sequence[Head], theme: Theme) -> None:
    """The heads in their colours."""
    legend([(HEAD_TITLES[head], theme.heads[head]) for head in heads], theme)


def facts_line(parts: Sequence[str], theme: Theme) -> None:
    """Small facts in a row, such as the data set and its size."""
    joined = '<span style="opacity:.5;margin:0 .55em">·</span>'.join(escaped(part) for part in parts if part)
    st.html(f'<div style="color:{theme.muted};font-size:.92rem;margin:-.4rem 0 .4rem">{joined}</div>')


def headline(text: str, *, above: str, color: str, theme: Theme) -> None:
    """The page's one sentence, with a small line above it and a coloured edge."""
    st.html(
        f'<div style="border-left:6px solid {color};padding:.1rem 0 .2rem 1rem;margin:.2rem 0 .4rem">'
        f'<div style="font-size:.85rem;font-weight:600;color:{color}">{escaped(above)}</div>'
        f'<div role="heading" aria-level="1" style="font-size:clamp(1.35rem,2.4vw,2rem);font-weight:650;'
        f'line-height:1.25;color:{theme.text}">{escaped(text)}</div></div>'
    )


def cards(entries: Sequence[Card], theme: Theme) -> None:
    """Cards that flow into as many columns as the window has room for."""
    body = "".join(_card(entry) for entry in entries)
    st.html(f'<div class="cards" style="--line:{theme.line};--text:{theme.text};--muted:{theme.muted}">{body}</div>')


def _card(card: Card) -> str:
    number = f'<div class="number">{escaped(card.number)}</div>' if card.number else ""
    return (
        f'<div class="card" style="border-top:3px solid {card.color}">'
        f'<div class="tag" style="color:{card.color}">{escaped(card.tag)}</div>'
        f"<h4>{escaped(card.title)}</h4>{number}<p>{escaped(card.text)}</p></div>"
    )


def problem(message: str) -> None:
    """One clear line about something that went wrong."""
    st.error(plain(message), icon=":material/error:")


def empty(title: str, text: str) -> None:
    """Why there is nothing to see, and what to do."""
    st.info(plain(text), title=plain(title), icon=":material/info:")


def bullets(lines: Sequence[str], theme: Theme) -> None:
    """A plain list."""
    items = "".join(f"<li>{escaped(line)}</li>" for line in lines)
    st.html(f'<ul style="margin:0;padding-left:1.2rem;line-height:1.6;color:{theme.text}">{items}</ul>')


def scale_legend(gradient: str, low: str, high: str, theme: Theme) -> None:
    """A colour scale with its ends. gradient: a CSS gradient from left to right."""
    st.html(
        f'<div style="display:flex;align-items:center;gap:.5rem;font-size:.82rem;color:{theme.muted}">{escaped(low)}'
        f'<span style="flex:1;height:.55rem;border-radius:3px;background:{gradient}"></span>{escaped(high)}</div>'
    )


def small_table(head: Sequence[str], rows: Sequence[Sequence[str]], theme: Theme) -> None:
    """A few numbers, the first column on the left and the others on the right; the first row is the heading."""
    cell = "padding:.32rem .4rem;border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums"
    top = "".join(
        f'<th style="{cell};font-weight:600;text-align:{"left" if at == 0 else "right"}">{escaped(name)}</th>'
        for at, name in enumerate(head)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="{cell};text-align:{"left" if at == 0 else "right"}">{escaped(value)}</td>'
            for at, value in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    st.html(
        f'<div style="overflow-x:auto"><table style="--line:{theme.line};color:{theme.text};border-collapse:collapse;'
        f'width:100%;font-size:.84rem;white-space:nowrap"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )
