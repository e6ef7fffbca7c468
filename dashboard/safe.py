"""Text, colours, JSON and tables from files to HTML, Markdown and CSV that they cannot break out of."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import jinja2
import pandas as pd
from markupsafe import Markup

_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~:$&^=@/])")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")
# What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection), the full-width forms included.
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")


def plain(text: object) -> str:
    r"""Text that Markdown shows as it stands: names come from files and may hold anything.

    >>> print(plain("a_b"))
    a\_b
    """
    return _MARKDOWN.sub(r"\\\1", str(text))


def escaped(text: object) -> str:
    """Text that HTML shows as it stands, in elements and in quoted attributes; what it cannot hold becomes "\ufffd".

    >>> escaped("<b> & more")
    '&lt;b&gt; &amp; more'
    """
    return html.escape(without_controls(str(text)), quote=True)


def without_controls(text: str) -> str:
    """Text in which "\ufffd" stands for each character that HTML cannot hold."""
    return _CONTROL.sub("\ufffd", text)


def safe_color(color: str) -> str:
    """A colour of the form "#rrggbb"; grey for anything else, since it comes from a file."""
    return color if _COLOR.fullmatch(color) else "#888888"


def script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in, whatever its strings say."""
    from plotly.utils import PlotlyJSONEncoder  # not needed before the first report

    text = json.dumps(value, cls=PlotlyJSONEncoder, separators=(",", ":"), ensure_ascii=False)
    # In JSON these stand only inside strings; U+2028 and U+2029 end a line in old JavaScript.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return without_controls(text)


def template(path: Path, **filters: Callable[..., Any]) -> jinja2.Template:
    """A Jinja template, and through its `module` the macros in it, that escapes whatever it is given.

    filters: by name; only what they return as Markup is written as it stands.
    """

    def visible(value: Any) -> Any:
        return value if isinstance(value, Markup) else without_controls(str(value))

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(path.parent),
        autoescape=True,
        finalize=visible,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= filters
    return environment.get_template(path.name)


def harmless(text: str) -> str:
    """Text with an apostrophe before it where a spreadsheet would take it for a formula.

    >>> harmless("=1+1"), harmless("h=i")
    ("'=1+1", 'h=i')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A table as CSV by RFC 4180: UTF-8, commas, CRLF, quotes where needed, a header row; no value is an empty field.

    Text that a spreadsheet would take for a formula gets an apostrophe before it; numbers stay as they are. What
    begins with apostrophes and then such a character gets one more, so that taking one away gives every text back.
    """
    safe = pd.DataFrame({at: _harmless_column(table.iloc[:, at]) for at in range(table.shape[1])}, index=table.index)
    safe.columns = [harmless(str(name)) for name in table.columns]
    text: str = safe.to_csv(index=False, lineterminator="\r\n")
    return text.encode("utf-8", "replace")


def _harmless_column(column: pd.Series) -> Any:
    if pd.api.types.is_numeric_dtype(column):
        return column
    return column.map(lambda value: harmless(value) if isinstance(value, str) else value)
