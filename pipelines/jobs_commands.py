"""Commands that list jobs, follow them, start them in the background, stop them and start them again."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from pipelines import jobs
from pipelines.errors import ConfigError
from pipelines.jobs.names import option, without
from pipelines.options import RUNS, Runs
from pipelines.progress import clock
from pipelines.turns import LOG

app = typer.Typer(no_args_is_help=False, help="List jobs, follow them, stop them and start them again.")

Number = Annotated[str, typer.Argument(metavar="JOB", help="Number of a job, as `jobs` lists it.")]
_LOOK: Final = 0.5  # seconds between two looks at a job that is followed
_FIRST: Final = 4_000  # bytes of a log that are shown before it is followed


@app.callback(invoke_without_command=True)
def list_all(
    context: typer.Context,
    runs: Runs = RUNS,
    every: Annotated[bool, typer.Option("--all", help="Also those that ended long ago.")] = False,
) -> None:
    """List jobs, newest first: number, state, what it makes, and how far it is."""
    if context.invoked_subcommand is not None:
        given = context.get_parameter_source("runs")
        if given is not None and given.name == "COMMANDLINE":
            raise ConfigError(f"--runs comes after the command: `jobs {context.invoked_subcommand} … --runs {runs}`")
        return
    jobs.sweep(runs)
    found = jobs.list_jobs(runs)
    for job in found if every else found[:20]:
        typer.echo(f"{job.id:>4}  {_line(job)}")
    if not found:
        typer.echo(f"no jobs in {runs}; start one with `python -m pipelines jobs start run DATASET`", err=True)
    elif len(found) > 20 and not every:
        typer.echo(f"{len(found) - 20} older ones are listed by `python -m pipelines jobs --all`", err=True)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def start(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="Such as: run DATASET --epochs 40")],
    runs: Runs = RUNS,
) -> None:
    """Run a command in the background, after the jobs before it; it goes on when this terminal is closed."""
    given = option(command, "--runs")
    job = jobs.start(without(command, "--runs"), runs if given is None else Path(given))
    typer.echo(f"job {job.id}: {job.title}")
    typer.echo(f"follow it with `python -m pipelines jobs show {job.id} --follow`", err=True)


@app.command()
def show(
    number: Number,
    runs: Runs = RUNS,
    follow: Annotated[bool, typer.Option("--follow", help="Stay and show its log as it grows, until it ends.")] = False,
) -> None:
    """Say where a job stands, with the end of its log. With --follow, exit 1 unless it is done."""
    job = jobs.find_job(runs, number)
    typer.echo(f"job {job.id}: {_line(job)}")
    if job.arguments:
        typer.echo(f"command: python -m pipelines {' '.join(job.arguments)}")
    if not follow:
        typer.echo(job.log(), nl=False)
        return
    for text in _growing(job):
        typer.echo(text, nl=False)
    typer.echo(f"job {job.id}: {_line(job)}")
    if job.state() != "done":
        raise typer.Exit(1)


@app.command()
def cancel(number: Number, runs: Runs = RUNS) -> None:
    """Ask a job to stop at its next safe point, or to leave the line; `resume` goes on from there."""
    job = jobs.find_job(runs, number)
    if not job.alive():
        raise ConfigError(f"job {number} is not at work and not in line: it is {job.state()}")
    job.cancel()
    typer.echo(f"job {number} was asked to stop")


@app.command()
def resume(number: Number, runs: Runs = RUNS) -> None:
    """Put a job in line again that did not come to its end, to go on from what was done."""
    job = jobs.resume(jobs.find_job(runs, number))
    typer.echo(f"job {job.id} is in line again")


@app.command()
def retry(number: Number, runs: Runs = RUNS) -> None:
    """Put a job in line again that did not come to its end, to begin from nothing."""
    job = jobs.retry(jobs.find_job(runs, number))
    typer.echo(f"job {job.id} is in line again, from nothing")


@app.command()
def remove(number: Number, runs: Runs = RUNS) -> None:
    """Take a job that has ended from the list, with its log; its run stays."""
    jobs.find_job(runs, number).remove()
    typer.echo(f"job {number} is gone from the list")


def _line(job: jobs.Job) -> str:
    """State, what it makes, and how far it is."""
    status = job.status()
    parts = [f"{status.state:<10}", f"{(job.arguments or ['?'])[0]:<8}", job.title]
    if status.place is not None:
        parts.append(f"number {status.place} in line")
    if status.at_work:
        share = f": {status.done} of {status.total}" if status.total else ""
        parts.append(f"{status.stage or 'starting'}{share}")
        if status.total_left is not None:
            parts.append(f"{clock(status.total_left)}{' or more' if status.total_is_least else ''} left")
    elif status.message:
        parts.append(status.message)
    return "  ".join(parts)


def _growing(job: jobs.Job) -> Iterator[str]:
    """The end of the log, then what is added to it, until the job ends."""
    attempt = job.attempt
    if attempt is None:
        return
    at = max(0, _size(attempt / LOG) - _FIRST)
    while True:
        alive = job.alive()  # before reading: what was written before the end is shown
        if _size(attempt / LOG) < at:  # its middle was left out
            at = _size(attempt / LOG)
        try:
            with (attempt / LOG).open("rb") as file:
                file.seek(at)
                added = file.read()
        except OSError:
            added = b""
        at += len(added)
        yield added.decode(errors="replace")
        sys.stdout.flush()
        if not alive:
            return
        time.sleep(_LOOK)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
