"""Pieces of pages: safe text, figures with their table and download, cards, legends, empty states."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar

import pandas as pd
import streamlit as st

from dashboard.boundary import part  # pages say components.plain and components.problem
from dashboard.boundary import problem as problem
from dashboard.charts import Drawn
from dashboard.displays.base import Display, Picture
from dashboard.displays.verdict import Card
from dashboard.elements import png_button
from dashboard.how_to_read import HOW_TO_READ
from dashboard.safe import csv_bytes, template
from dashboard.safe import plain as plain
from dashboard.theme import HEAD_TITLES, Theme, words_in
from pipelines.heads import missing_head, only
from pipelines.schema import Head
from pipelines.store.runs import Run

T = TypeVar("T")
GUIDE: Final = "app_pages/guide.py"
_JPEG: Final = b"\xff\xd8"
CHART: Final[dict[str, Any]] = {
    "displaylogo": False,
    "displayModeBar": "hover",
    "modeBarButtons": [["toImage"]],
    "responsive": True,
}


def style(theme: Theme) -> None:
    """Style of the app that the theme's settings cannot say."""
    _write("style", theme)


def _write(macro: str, *values: Any) -> None:
    """HTML of a macro of `components.html`, which escapes what it is given."""
    st.html(str(getattr(_macros(), macro)(*values)))


@lru_cache(maxsize=1)
def _macros() -> Any:
    return template(Path(__file__).with_suffix(".html"), ink=words_in).module


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


def clickable(picture: Picture, *, run: str) -> dict[str, Any] | None:
    """A figure whose points can be clicked, and the point that is: its `customdata`, `x`, `y`; None when there is none.

    run: its name, for file names. Heat maps report no clicks: lay a scatter of transparent squares over their cells.
    """
    options: dict[str, Any] = {"key": picture.key, "alt": picture.alt, "config": chart_options(f"{run}-{picture.key}")}
    state: Any = st.plotly_chart(picture.figure, theme=None, on_select="rerun", selection_mode="points", **options)
    points = state["selection"]["points"]
    return dict(points[0]) if points else None


def clicked(picture: Picture, *, run: str) -> dict[str, Any] | None:
    """A figure whose points can be clicked, and the point that just was, once: the caller takes it and runs again.

    A selection lives as long as its figure stays as it is: the number of clicks in the figure's `meta` ends it.
    """
    key = f"{picture.key}_clicks"
    clicks = int(st.session_state.get(key, 0))
    point = clickable(picture._replace(figure=picture.figure.with_layout(meta=clicks)), run=run)
    if point is not None:
        st.session_state[key] = clicks + 1
    return point


def chart_options(name: str) -> dict[str, Any]:
    """Plotly's settings of a figure; name: of the file that its download button makes, without its ending."""
    return CHART | {"toImageButtonOptions": {"format": "png", "scale": 3, "filename": name}}


def show(display: Display, *, run: str, draw: Callable[..., None] = chart) -> None:
    """A display's figures side by side, how to read them, their table and its download.

    run: its name, for file names. draw: what draws a figure, called as `chart`.
    """
    for column, picture in in_rows(display.pictures, max(1, min(display.columns, len(display.pictures)))):
        with column:
            draw(picture.figure, key=picture.key, alt=picture.alt, name=f"{run}-{picture.key}")
    foot(display, run=run)


def in_rows(items: Sequence[T], across: int) -> Iterator[tuple[Any, T]]:
    """Each item with a column for it, `across` of them side by side."""
    for start in range(0, len(items), across):
        yield from zip(st.columns(across), items[start : start + across], strict=False)


def foot(display: Display, *, run: str) -> None:
    """What stands below a display's figures. run: its name, for file names."""
    explain(
        display.how,
        display.table,
        key=display.key,
        name=f"{run}-{display.key}",
        percent=display.percent,
        charts=[picture.key for picture in display.pictures],
    )


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
    _write("paragraph", text, theme)


def legend(entries: Sequence[tuple[str, str]], theme: Theme) -> None:
    """Colour chips with names. entries: (name, "#rrggbb")."""
    _write("legend", entries, theme)


def head_legend(heads: Sequence[Head], theme: Theme) -> None:
    """The heads in their colours."""
    legend([(HEAD_TITLES[head], theme.heads[head]) for head in heads], theme)


def facts_line(parts: Sequence[str], theme: Theme) -> None:
    """Small facts in a row, such as the data set and its size."""
    _write("facts_line", parts, theme)


def headline(text: str, *, above: str, color: str, theme: Theme, level: int = 2) -> None:
    """A page's one sentence, with a small line above it and a coloured edge; level: 1 where it is the page's title."""
    _write("headline", text, above, color, theme, level)


def cards(entries: Sequence[Card], theme: Theme) -> None:
    """Cards that flow into as many columns as the window has room for."""
    _write("cards", entries, theme)


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
        line = f"{only(run.heads)}. Missing: {lacks}; import or train the {gone} head to compare."
        st.info(plain(line), icon=":material/contrast:")
    return gone is not None


def bullets(lines: Sequence[str], theme: Theme) -> None:
    """A plain list."""
    _write("bullets", lines, theme)


def small_table(head: Sequence[str], rows: Sequence[Sequence[str]], theme: Theme) -> None:
    """A few numbers, the first column on the left and the others on the right; the first row is the heading."""
    _write("small_table", head, rows, theme)


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
    edges = [1 + sum(width for _, width in groups[:at]) for at in range(len(groups))]
    _write("grouped_table", groups, head, rows, edges, theme, alt)
