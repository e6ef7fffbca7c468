"""The command `estimate`: a command line of `run` to what it would take."""

import sys
from pathlib import Path

import typer

from pipelines.config import RunConfig
from pipelines.progress import Progress, keep_result

app = typer.Typer()


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def estimate(context: typer.Context) -> None:
    """Say how long `run` would take with the same options, and what it would need on disk, from a few real steps."""
    context.find_root().command.main(["run", *context.args, "--estimate"], standalone_mode=False)


def show_estimate(config: RunConfig, runs: Path, record: Path | None) -> None:
    """Estimate a run and print it; a job leaves it for others too."""
    from pipelines.estimate import estimate_run

    found = estimate_run(config, runs=runs, progress=Progress(record=record, stream=sys.stderr))
    keep_result(found.model_dump(mode="json"))
    typer.echo(found.text())
