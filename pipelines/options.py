"""Options that several commands share."""

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from pipelines.errors import ConfigError
from pipelines.reading import DataReading, read_reading

Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the runs.", envvar="PIPELINES_RUNS")]
ReadingFile = Annotated[
    Path | None, typer.Option("--reading", help="JSON file that says how the data set is read (docs/data-formats.md).")
]
DataFormat = Annotated[
    str | None, typer.Option("--data-format", help="Format of the data set, if it is not the one recognised.")
]
RUNS: Final = Path("runs")


def reading_of(file: Path | None, data_format: str | None) -> DataReading | None:
    """What is said about a data set: by a file, a format, or both. Raises DatasetError."""
    said = None if file is None else read_reading(file)
    if data_format is None:
        return said
    return (said or DataReading()).model_copy(update={"format": data_format})


def parse_size(text: str | None) -> tuple[int, int] | None:
    """HxW to (height, width). Raises ConfigError on anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if match is None:
        raise ConfigError(f"--size must be HxW in pixels such as 256x320, got {text!r}")
    return int(match[1]), int(match[2])
