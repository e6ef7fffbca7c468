"""The command `export`: a run to files, without a word from Streamlit about the server that is not there."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pipelines.store import Run
from pipelines.verdict import Margin

# The dashboard's loaders cache through Streamlit, which warns wherever no server runs.
_TALKATIVE: Final = (
    "streamlit.runtime.caching.cache_data_api",
    "streamlit.runtime.scriptrunner_utils.script_run_context",
    "streamlit.runtime.state.session_state_proxy",
)
_UNITS: Final = ("B", "kB", "MB", "GB")


def export_run(
    run: Run,
    folder: Path,
    *,
    html: bool = True,
    csv: bool = True,
    zipped: bool = False,
    force: bool = False,
    margin: Margin | None = None,
) -> Iterator[str]:
    """Write what was asked for; yields a line for each file or folder that was written. Raises as `files.export`."""
    for name in _TALKATIVE:  # a filter stays when Streamlit, on being imported, sets its loggers' levels
        logging.getLogger(name).addFilter(_is_error)
    from dashboard.report.files import export

    for written in export(run, folder, html=html, csv=csv, zipped=zipped, force=force, margin=margin):
        held = f", {written.files} files" if written.files > 1 else ""
        yield f"{written.path}  {size(written.bytes)}{held}"


def size(number: float) -> str:
    """A number of bytes such as "2.5 MB", in powers of a thousand."""
    unit = 0
    while number >= 999.5 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.{0 if unit == 0 or number >= 99.5 else 1}f} {_UNITS[unit]}"


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
