"""Outputs of networks that were trained elsewhere to a committed run: check, write, count, measure, judge."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from pipelines.config import RunConfig
from pipelines.errors import ConfigError, DatasetError, ModelError, ShapeError
from pipelines.imports.source import OutputSource
from pipelines.progress import Progress, cancel_on_signals
from pipelines.schema import Head
from pipelines.store import Run, RunWriter

__all__ = ["OutputSource", "make_import"]


def make_import(
    config: RunConfig,
    sources: Mapping[Head, Mapping[int, OutputSource]],
    *,
    runs: Path,
    name: str,
    progress: Progress,
    resume: bool = False,
) -> Run:
    """Do all stages and commit. Splits that an interrupted attempt wrote are taken over when resume is set.

    sources: by head and seed; every head has the seeds of config.imported. The caller closes them.
    Raises ConfigError for channels that do not fit the data set's classes, DatasetError for a data set with errors and
    for outputs that are missing, of another size or not what they are said to be, Cancelled (resumable) when a stop
    was asked for, and what sources raise, such as ModelError. Nothing is committed then.
    """
    # Counting loads numba, which takes longer than most commands: only where it is needed.
    from pipelines.imports.outputs import write_outputs
    from pipelines.imports.prepare import prepare
    from pipelines.stages import finish

    with cancel_on_signals(progress), RunWriter.open(runs, name, resume=resume) as writer:
        try:
            prepare(writer.folder, config, sources, progress)
            write_outputs(writer.folder, sources, progress)
        except (ConfigError, DatasetError, ModelError, ShapeError):
            if not resume:  # refused: there is nothing to go on from
                shutil.rmtree(writer.folder, ignore_errors=True)
            raise
        return finish(writer, progress)
