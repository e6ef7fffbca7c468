"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Final

import typer

Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the runs.", envvar="PIPELINES_RUNS")]
RUNS: Final = Path("runs")
