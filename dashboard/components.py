"""Pieces of pages: safe text, figures with their table and download, cards, legends, empty states."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple

import pandas as pd
import streamlit as st

from dashboard.boundary import part  # pages say components.plain and components.problem
from dashboard.boundary import problem as problem
from dashboard.charts import Drawn
from dashboard.displays.base import Display
from dashboard.displays.verdict import Card
from dashboard.elements import png_button
from dashboard.how_to_read import HOW_TO_READ
from dashboard.safe import csv_bytes, escaped
from dashboard.safe import plain as plain
from dashboard.theme import HEAD_TITLES, Theme, words_in
from pipelines.schema import Head
from pipelines.store import Run
from pipelines.verdict import missing_head, only

GUIDE: Final = "app_pages/guide.py"
_JPEG: Final = b"\xff\xd8"
_LINE: Final = 40  # characters of a small table's cell from which on it breaks into lines
CHART: Final[dict[str, Any]] = {
    "displaylogo": False,
    "displayModeBar": "hover",
    "modeBarButtons": [["toImage"]],
    "responsive": True,
}


def style(theme: Theme) -> None:
    """Lines that the theme's settings cannot say: a measure for wide screens, less air above the first line, rows of
    buttons as high as lists, labels on one line, a ring around what has the focus, and text that can be read:
    Streamlit's captions are pale, and on filled buttons it writes in white whatever the colour under it.
    """
    st.html(
        "<style>.stMainBlockContainer{max-width:1360px;padding:3.4rem clamp(1rem,3vw,3rem) 3rem}"
        ".cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,250px),1fr));gap:.9rem}"
        ".card{border:1px solid var(--line);border-radius:10px;padding:.9rem 1rem;color:var(--text)}"
        ".card h3{margin:.35rem 0 .3rem;padding:0;font-size:1rem;font-weight:620;line-height:1.3}"
        ".card p{margin:0;font-size:.9rem;line-height:1.45;color:var(--muted)}"
        ".card .number{font-size:1.25rem;font-weight:600;font-variant-numeric:tabular-nums;margin:.1rem 0 .3rem}"
        ".card .tag{font-size:.78rem;font-weight:600;letter-spacing:.01em}"
        f"[data-testid=stCaptionContainer]{{color:{theme.muted};opacity:1}}"
        "[data-testid=stButtonGroup]>div button{min-height:2.5rem}[data-testid=stWidgetLabel]{min-height:1.5rem}"
        f":is(a,button,summary,[tabindex]):focus-visible{{outline:2px solid {theme.text};outline-offset:2px}}"
        "@media (max-width:480px){[data-testid=stButtonGroup] [role=radio]{padding-inline:.55rem}}"
        f"button[kind=primary],button[kind=primary] *{{color:{theme.surface}}}</style>"
    )


def readable_chips() -> None:
    """One pair of colours for the chips of a multiselect: Streamlit writes in white, whatever the accent under it."""
    st.html(
        "<style>[data-testid=stMultiSelect] [data-tag]{background-color:#44546a!important}"
        "[data-testid=stMultiSelect] [data-tag] *{color:#ffffff!important}</style>"
    )


def picture(file: bytes, *, alt: str, caption: str | None = None) -> None:
    """A picture, a PNG or JPEG file, as wide as its place.

    Streamlit makes a JPEG of every picture whose format it is not told: a file is decoded and encoded anew whenever it
    is shown, and edges of single pixels blur.
    """
    kept: Literal["JPEG", "PNG"] = "JPEG" if file.startswith(_JPEG) else "PNG"
    st.image(file, caption=caption, width="stretch", alt=alt, output_format=kept)


def chart(figure: Drawn, *, key: str, alt: str, name: str = "figure") -> None:
    """A figure in the look it was given, with its picture to download."""
    st.plotly_chart(figure, theme=None, key=key, alt=alt, config=chart_options(name))


def clickable_chart(figure: Drawn, *, key: str, alt: str, name: str = "figure") -> dict[str, Any] | None:
    """A figure whose points can be clicked, and the point that is: its `customdata`, `x`, `y`; None when there is none.

    Heat maps report no clicks: lay a scatter of transparent squares over their cells.
    """
    state: Any = st.plotly_chart(
        figure, theme=None, key=key, alt=alt, config=chart_options(name), on_select="rerun", selection_mode="points"
    )
    points = state["selection"]["points"]
    return dict(points[0]) if points else None


def clicked_point(figure: Drawn, *, key: str, alt: str, name: str = "figure") -> dict[str, Any] | None:
    """A figure whose points can be clicked, and the point that just was, once: the caller takes it and runs again.

    A selection lives as long as its figure stays as it is: the number of clicks in the figure's `meta` ends it.
    """
    clicks = int(st.session_state.get(f"{key}_clicks", 0))
    point = clickable_chart(figure.with_layout(meta=clicks), key=key, alt=alt, name=name)
    if point is not None:
        st.session_state[f"{key}_clicks"] = clicks + 1
    return point


def chart_options(name: str) -> dict[str, Any]:
    """Plotly's settings of a figure; name: of the file that its download button makes, without its ending."""
    return CHART | {"toImageButtonOptions": {"format": "png", "scale": 3, "filename": name}}


def show(panel: Display, *, run: str, draw: Callable[..., None] = chart) -> None:
    """A panel's figures side by side, how to read them, their table and its download.

    run: its name, for file names. draw: what draws a figure, called as `chart`.
    """
    across = min(panel.columns, len(panel.pictures))
    for start in range(0, len(panel.pictures), across):
        shown = panel.pictures[start : start + across]
        for column, picture in zip(st.columns(across), shown, strict=False):
            with column:
                draw(picture.figure, key=picture.key, alt=picture.alt, name=f"{run}-{picture.key}")
    explain(
        panel.how, panel.table, key=panel.key, name=f"{run}-{panel.key}", percent=panel.percent,
        charts=[picture.key for picture in panel.pictures],
    )  # fmt: skip


def explain(
    how: str,
    table: pd.DataFrame,
    *,
    key: str,
    name: str,
    percent: Sequence[str] = (),
    charts: Sequence[str] = (),
) -> None:
    """How to read the figure above, its table, and both as files.

    percent: columns that are shares. charts: keys of the figures that can be saved as PNG. The table is made when it is
    opened: no step of a slider waits for tables that nobody sees, no page for the 1.5 MB of script that show them. That
    draws the part of the page that the figure belongs to again, from what is cached.
    """
    st.caption(HOW_TO_READ[how])
    with st.container(horizontal=True, vertical_alignment="center", key=f"{key}_foot"):
        with st.container(width="stretch"):
            _table(how, table, key=key, name=name, percent=percent)
        if charts:
            png_button(charts, key=f"{key}_png")
        st.page_link(GUIDE, label="How to read this", query_params=guide_link(how))


@part
def _table(how: str, table: pd.DataFrame, *, key: str, name: str, percent: Sequence[str]) -> None:
    box = st.expander("Table and download", key=f"{key}_table", on_change="rerun")
    if box.open:
        with box:
            table_and_download(table, key=key, name=name, alt=HOW_TO_READ[how], percent=percent)


def guide_link(how: str) -> dict[str, str]:
    """Query of a link to the guide's part on a figure; it keeps the run."""
    kept = {"run": str(st.session_state["run"])} if "run" in st.session_state else {}
    return kept | {"figure": how}


def table_and_download(table: pd.DataFrame, *, key: str, name: str, alt: str, percent: Sequence[str] = ()) -> None:
    """A table and its CSV, made only when the button is pressed."""
    formats = {
        column: st.column_config.NumberColumn(format="percent" if column in percent else "%.4f")
        for column in table.columns
        if pd.api.types.is_float_dtype(table[column])
    }
    st.dataframe(table, hide_index=True, column_config=formats, key=f"{key}_frame", alt=alt)
    download(table, key=f"{key}_csv", name=name)


def download(table: pd.DataFrame, *, key: str, name: str, label: str = "Download CSV") -> None:
    """A table's CSV, made only when the button is pressed. name: of the file, without its ending."""
    st.download_button(
        label,
        data=lambda: csv_bytes(table),
        file_name=f"{name}.csv",
        mime="text/csv",
        key=key,
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


def headline(text: str, *, above: str, color: str, theme: Theme, level: int = 2) -> None:
    """A page's one sentence, with a small line above it and a coloured edge; level: 1 where it is the page's title."""
    size = "2rem" if level == 1 else "1.7rem"
    st.html(
        f'<div style="border-left:6px solid {color};padding:.1rem 0 .2rem 1rem;margin:.2rem 0 .4rem">'
        f'<div style="font-size:.85rem;font-weight:600;color:{words_in(color, theme)}">{escaped(above)}</div>'
        f'<div role="heading" aria-level="{level}" style="font-size:clamp(1.35rem,2.4vw,{size});font-weight:650;'
        f'line-height:1.25;color:{theme.text}">{escaped(text)}</div></div>'
    )


def cards(entries: Sequence[Card], theme: Theme) -> None:
    """Cards that flow into as many columns as the window has room for."""
    body = "".join(_card(entry, theme) for entry in entries)
    st.html(f'<div class="cards" style="--line:{theme.line};--text:{theme.text};--muted:{theme.muted}">{body}</div>')


def _card(card: Card, theme: Theme) -> str:
    title = f"<h3>{escaped(card.title)}</h3>" if card.title else ""
    number = f'<div class="number">{escaped(card.number)}</div>' if card.number else ""
    return (
        f'<div class="card" style="border-top:3px solid {card.color}">'
        f'<div class="tag" style="color:{words_in(card.color, theme)}">{escaped(card.tag)}</div>'
        f"{title}{number}<p>{escaped(card.text)}</p></div>"
    )


def empty(title: str, text: str) -> None:
    """Why there is nothing to see, and what to do."""
    st.info(plain(text), title=plain(title), icon=":material/info:")


def notes(*lines: str) -> None:
    """Small sentences on what cannot be shown and why, those that there are."""
    for line in lines:
        if line:
            st.caption(plain(line))


def missing(run: Run, lacks: str) -> bool:
    """One line on what a page cannot show of a run without a pair; returns whether there is none. lacks: what it is."""
    gone = missing_head(run.heads)
    if gone is not None:
        said = f"{only(run.heads)}. Missing: {lacks}; import or train the {gone} head to compare."
        st.info(plain(said), icon=":material/contrast:")
    return gone is not None


def bullets(lines: Sequence[str], theme: Theme) -> None:
    """A plain list."""
    items = "".join(f"<li>{escaped(line)}</li>" for line in lines)
    st.html(f'<ul style="margin:0;padding-left:1.2rem;line-height:1.6;color:{theme.text}">{items}</ul>')


def small_table(head: Sequence[str], rows: Sequence[Sequence[str]], theme: Theme) -> None:
    """A few numbers, the first column on the left and the others on the right; the first row is the heading.

    Numbers stay on one line; long text breaks.
    """
    cell = "padding:.32rem .4rem;border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums"
    broken = ";white-space:normal;min-width:14rem;overflow-wrap:anywhere"
    top = "".join(
        f'<th style="{cell};font-weight:600;text-align:{"left" if at == 0 else "right"}">{escaped(name)}</th>'
        for at, name in enumerate(head)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="{cell};text-align:{"left" if at == 0 else "right"}{broken if len(value) > _LINE else ""}">'
            f"{escaped(value)}</td>"
            for at, value in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    st.html(
        f'<div style="overflow-x:auto" tabindex="0" role="group" aria-label="{escaped(head[0] or "Table")}">'
        f'<table style="--line:{theme.line};color:{theme.text};border-collapse:collapse;'
        f'width:100%;font-size:.84rem;white-space:nowrap"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


class Cell(NamedTuple):
    """A cell of `grouped_table`: what stands in it, what stands small below, and a colour "#rrggbb" for both or ""."""

    text: str
    note: str = ""
    color: str = ""


def grouped_table(
    groups: Sequence[tuple[str, int]], head: Sequence[str], rows: Sequence[Sequence[Cell]], theme: Theme, *, alt: str
) -> None:
    """Numbers with their intervals below them, columns under group headings; the first column on the left.

    groups: (title, how many columns) from the second column on; head: of all columns. Scrolls sideways where it must.
    """
    line, gap = "border-bottom:1px solid var(--line)", "padding:.3rem .4rem"
    above = "".join(
        f'<th colspan="{width}" scope="colgroup" style="{gap};{line};text-align:right">{escaped(title)}</th>'
        for title, width in groups
    )
    names = "".join(
        f'<th scope="col" style="{gap};{line};font-weight:600;text-align:{"right" if at else "left"}">'
        f"{escaped(name)}</th>"
        for at, name in enumerate(head)
    )
    starts = {1 + sum(width for _, width in groups[:at]) for at in range(len(groups))}
    styles = [f"{gap};{line}{';border-left:1px solid var(--line)' if at in starts else ''}" for at in range(len(head))]

    def row_of(row: Sequence[Cell]) -> str:
        cells = (_table_cell(cell, styles[at], first=at == 0) for at, cell in enumerate(row))
        return f"<tr>{''.join(cells)}</tr>"

    body = "".join(map(row_of, rows))
    st.html(
        f'<div style="overflow-x:auto" tabindex="0" role="region" aria-label="{escaped(alt)}"><table style="--line:'
        f"{theme.line};--muted:{theme.muted};--surface:{theme.surface};color:{theme.text};border-collapse:collapse;"
        "width:100%;font-size:.86rem;line-height:1.25;"
        f'white-space:nowrap;font-variant-numeric:tabular-nums"><thead><tr><td></td>{above}</tr><tr>{names}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _table_cell(cell: Cell, style: str, *, first: bool) -> str:
    color = f";color:{cell.color}" if cell.color else ""
    faint = "" if cell.color else ";color:var(--muted)"
    note = f'<div style="font-size:.76rem{faint}">{escaped(cell.note)}</div>' if cell.note else ""
    if first:
        stays = f"{style};position:sticky;left:0;background:var(--surface);font-weight:400;text-align:left"
        return f'<th scope="row" style="{stays}">{escaped(cell.text)}{note}</th>'
    weight = ";font-weight:600" if cell.color else ""
    return f'<td style="{style};text-align:right{color}{weight}">{escaped(cell.text)}{note}</td>'
