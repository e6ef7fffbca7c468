"""A run to its report and tables as files: all of it or nothing, and nothing is replaced unless asked for.

A report has the figures of every page, so its modules are imported when one is made: the first page has the buttons.
"""

import contextlib
import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from dashboard.safe import csv_bytes
from pipelines.errors import ConfigError, RunError
from pipelines.judgement import Margin
from pipelines.sentences import size_in_words
from pipelines.store.files import sync_file, sync_folder
from pipelines.store.runs import Run

if TYPE_CHECKING:
    from dashboard.report.contents import Report

_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)  # of a zip entry
_READABLE: Final = 0o644 << 16


def report_name(run: Run) -> str:
    """File name of the report."""
    return f"{run.name}-report.html"


def tables_name(run: Run) -> str:
    """Name of the folder of tables."""
    return f"{run.name}-tables"


# In memory ---------------------------------------------------------------------------------------------------------


def html_bytes(run: Run, report: "Report") -> bytes:
    """The report as a self-contained HTML page."""
    from dashboard.report.page import page

    return page(report, tables=tables_name(run)).encode("utf-8", "replace")


def table_files(run: Run, report: "Report") -> dict[str, bytes]:
    """All tables as CSV by file name."""
    from dashboard.report.contents import tables_of

    return {f"{name}.csv": csv_bytes(table) for name, table in tables_of(run, report).items()}


def tables_zip(run: Run, report: "Report") -> bytes:
    """All tables as CSV in a zip, under one folder."""
    return zip_bytes({f"{tables_name(run)}/{name}": content for name, content in table_files(run, report).items()})


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """Files by their path in the zip, the same bytes for the same files whenever and wherever it is made."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, _EARLIEST)
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, _READABLE
            archive.writestr(entry, content)
    return buffer.getvalue()


# On disk -----------------------------------------------------------------------------------------------------------


class Written(NamedTuple):
    """A file or folder that was written. bytes: of all that is in it; files: how many are in it."""

    path: Path
    bytes: int
    files: int

    def __str__(self) -> str:
        """A line for the terminal."""
        return f"{self.path}  {size_in_words(self.bytes)}{f', {self.files} files' if self.files > 1 else ''}"


def export(
    run: Run,
    folder: Path,
    *,
    html: bool = True,
    csv: bool = True,
    zipped: bool = False,
    force: bool = False,
    margin: Margin | None = None,
) -> list[Written]:
    """Write the report, the folder (or zip) of tables, or both, into a folder, which is made if need be.

    Raises ConfigError when one is there already and `force` is not set, before anything is written, RunError when the
    run is damaged or the disk refuses. Each appears under its name only when it is whole.
    """
    from dashboard.report.contents import report_of

    page_path = folder / report_name(run)
    tables_path = folder / (f"{tables_name(run)}.zip" if zipped else tables_name(run))
    targets = [path for path, chosen in ((page_path, html), (tables_path, csv)) if chosen]
    _refuse(folder, targets, force=force)
    report, written = report_of(run, margin=margin), []
    if html:
        content = html_bytes(run, report)
        replace_file(page_path, content)
        written.append(Written(page_path, len(content), 1))
    if csv and zipped:
        content = tables_zip(run, report)
        replace_file(tables_path, content)
        written.append(Written(tables_path, len(content), 1))
    elif csv:
        contents = table_files(run, report)
        replace_folder(tables_path, contents)
        written.append(Written(tables_path, sum(map(len, contents.values())), len(contents)))
    return written


def _refuse(folder: Path, targets: list[Path], *, force: bool) -> None:
    if not targets:
        raise ConfigError("there is nothing to export with both --no-html and --no-csv; leave one of them out")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out must be a folder, {folder} is a file; choose another place")
    there = [path.name for path in targets if path.exists() or path.is_symlink()]
    if there and not force:
        raise ConfigError(
            f"{' and '.join(there)} {'is' if len(there) == 1 else 'are'} in {folder} already; "
            "add --force to replace, or choose another --out"
        )
    for path in filter(Path.is_dir, targets):  # replacing a folder of tables would delete what no export wrote
        strangers = sorted(entry.name for entry in path.iterdir() if entry.is_dir() or entry.suffix != ".csv")
        if strangers:
            raise ConfigError(f"{path} holds {strangers[0]}, which no export wrote; move it away first")


def replace_file(path: Path, content: bytes) -> None:
    """Write a file beside its place, make it durable, then rename it over what is there."""
    with _staged(path) as staged:
        staged.write_bytes(content)
        sync_file(staged)
        os.replace(staged, path)
        sync_folder(path.parent)


def replace_folder(path: Path, contents: dict[str, bytes]) -> None:
    """The same for a folder of files; an old one is set aside, and put back if the new one cannot be placed."""
    with _staged(path) as staged:
        staged.mkdir()
        for name, content in contents.items():
            (staged / name).write_bytes(content)
            sync_file(staged / name)
        sync_folder(staged)
        old = staged.with_name("old")
        if path.is_dir() and not path.is_symlink():
            os.replace(path, old)
        try:
            os.replace(staged, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise
        sync_folder(path.parent)


@contextlib.contextmanager
def _staged(path: Path) -> Iterator[Path]:
    """A place on the same disk to write to, gone afterwards. Raises RunError when the disk refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            yield work / "new"
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise RunError(
            f"{path.name} could not be written ({error.strerror}); free some space or choose another --out"
        ) from None
