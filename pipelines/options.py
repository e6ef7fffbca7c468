"""Options that several commands share."""

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from pipelines.errors import ConfigError

Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the runs.", envvar="PIPELINES_RUNS")]
RUNS: Final = Path("runs")


def parse_size(text: str | None) -> tuple[int, int] | None:
    """HxW to (height, width). Raises ConfigError on anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if match is None:
        raise ConfigError(f"--size must be HxW in pixels such as 256x320, got {text!r}")
    return int(match[1]), int(match[2])
