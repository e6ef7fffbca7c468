"""Readings of data sets and the reports of their checks, kept beside the runs so that pages and jobs find them again.

Those of an upload lie in its own folder and are deleted with it; those of other folders in runs/.readings/.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from pipelines.datasets.check import CheckReport
from pipelines.errors import DatasetError
from pipelines.reading import DataReading, read_reading
from pipelines.store import files
from pipelines.uploads.workspace import upload_folder

_FOLDER: Final = ".readings"
_KEY: Final = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Kept:
    """One reading of a data set. key: names it in links; file: for --reading; report_file: where its check is kept."""

    key: str
    file: Path
    report_file: Path

    @property
    def reading(self) -> DataReading:
        """What is said of the data set. Raises DatasetError when the file is gone or damaged."""
        return read_reading(self.file)

    @property
    def report(self) -> CheckReport | None:
        """What the check found; None before it has ended, or where another version wrote it."""
        try:
            return CheckReport.model_validate_json(self.report_file.read_bytes())
        except (OSError, ValidationError):
            return None


def keep(runs: Path, data: Path, reading: DataReading) -> Kept:
    """Keep what is said of a data set, under a name that follows from it."""
    said = json.dumps(reading.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    kept = _kept(runs, data, hashlib.sha256(said.encode()).hexdigest()[:16])
    if not kept.file.exists():
        files.write_text(kept.file, said)
    return kept


def find(runs: Path, data: Path, key: str) -> Kept:
    """A reading of a data set that was kept. Raises DatasetError when there is none."""
    kept = _kept(runs, data, key) if _KEY.fullmatch(key) else None
    if kept is None or not kept.file.is_file():
        raise DatasetError("READING-UNKNOWN: what was said of this data set is not kept here; describe it anew")
    return kept


def _kept(runs: Path, data: Path, key: str) -> Kept:
    upload = upload_folder(data)
    path = str(data.resolve()).encode()
    place = runs.resolve() / _FOLDER / hashlib.sha256(path).hexdigest()[:16] if upload is None else upload / "readings"
    return Kept(key, place / f"{key}.json", place / f"{key}.report.json")
