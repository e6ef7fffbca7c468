"""Tables to CSV files that spreadsheets open without running anything, alone or in one zip that is always the same."""

import io
import re
import zipfile
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

# What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection), the full-width forms included.
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)  # of a zip entry
_READABLE: Final = 0o644 << 16


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A table as CSV by RFC 4180: UTF-8, commas, CRLF, quotes where needed, a header row; no value is an empty field.

    Text that a spreadsheet would take for a formula gets an apostrophe before it; numbers stay as they are. What
    begins with apostrophes and then such a character gets one more, so that taking one away gives every text back.
    """
    safe = pd.DataFrame({number: _column(table.iloc[:, number]) for number in range(table.shape[1])}, index=table.index)
    safe.columns = [harmless(str(name)) for name in table.columns]
    text: str = safe.to_csv(index=False, lineterminator="\r\n")
    return text.encode("utf-8", "replace")


def _column(column: pd.Series) -> Any:
    if pd.api.types.is_numeric_dtype(column):
        return column
    return column.map(lambda value: harmless(value) if isinstance(value, str) else value)


def harmless(text: str) -> str:
    """Text with an apostrophe before it where a spreadsheet would take it for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """Files by their path in the zip, the same bytes for the same files whenever and wherever it is made."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, _EARLIEST)
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, _READABLE
            archive.writestr(entry, content)
    return buffer.getvalue()
