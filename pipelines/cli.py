"""Command line: `python -m pipelines`. Exit status 0 done, 2 bad input, 1 anything else.

Libraries are loaded by the command that needs them, so that help and lists come at once.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from pipelines.errors import Cancelled, ConfigError, PipelineError, RunError
from pipelines.options import RUNS, Runs, add_command, parse
from pipelines.progress import Progress, cancel_on_signals, clock
from pipelines.requests import (
    SAMPLE_RUN,
    AddSeedsRequest,
    CheckRequest,
    EstimateRequest,
    EvaluateRequest,
    ExportRequest,
    ImportRequest,
    ModelImportRequest,
    PredictRequest,
    Request,
    RunRequest,
    TrainRequest,
    sample_request,
)
from pipelines.schema import Head

if TYPE_CHECKING:
    from pipelines import jobs

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Should the last layer be sigmoid or softmax? Train or load a matched pair, measure both, get a verdict.",
)

RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run, or the path of its folder.")]
Name = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def main() -> None:
    """Run the command line; one line on standard error for what a user can mend."""
    try:
        app()
    except Cancelled as error:
        print(f"cancelled: {error}", file=sys.stderr)
        sys.exit(1)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


# What takes long -----------------------------------------------------------------------------------------------------


def _carry_out(request: Request, runs: Path) -> None:
    from pipelines.execute import execute

    done = execute(request, Progress(stream=sys.stderr), runs=runs)
    if done.text:
        typer.echo(done.text)
    if not done.ok:
        raise typer.Exit(2)


def _carry_out_listed(request: Request, runs: Path) -> None:
    """The same, listed among the jobs meanwhile."""
    from pipelines.execute import execute
    from pipelines.jobs import listed

    if isinstance(request, AddSeedsRequest) and os.sep in request.name:
        folder = Path(request.name).resolve()
        runs, request = folder.parent, request.model_copy(update={"name": folder.name})
    with listed(request, runs) as (named, progress):
        done = execute(named, progress, runs=runs)
    typer.echo(done.text)


for _listed_model in (RunRequest, AddSeedsRequest, ImportRequest, ModelImportRequest):
    add_command(app, _listed_model, _carry_out_listed)
for _model in (EstimateRequest, CheckRequest, TrainRequest, PredictRequest, EvaluateRequest, ExportRequest):
    add_command(app, _model, _carry_out)


@app.command()
def sample(runs: Runs = RUNS) -> None:
    """Make sure the sample run exists: train the first seed unless it is there, and the others in the background."""
    from pipelines.jobs import start_later_seeds
    from pipelines.store.manage import staged_attempts
    from pipelines.store.runs import list_runs

    if any(run.name == SAMPLE_RUN for run in list_runs(runs)):
        typer.echo(f"{runs / SAMPLE_RUN} is there")
    else:
        _carry_out_listed(sample_request(resume=bool(staged_attempts(runs, SAMPLE_RUN))), runs)
    later = start_later_seeds(runs)
    if later is not None:
        typer.echo(f"More seeds are trained in the background (job {later.id}); then they are part of {SAMPLE_RUN}.")


@app.command("check-outputs")
def check_outputs(
    outputs: Annotated[list[Path], typer.Argument(metavar="FILE", help=".npy and .npz files of one head.")],
    head: Annotated[Literal["sigmoid", "softmax"], typer.Option(help="Last layer the outputs come from.")],
    values: Annotated[
        Literal["probabilities", "logits"], typer.Option(help="After the last activation, or before it.")
    ],
    classes: Annotated[str | None, typer.Option(help="Comma-separated name of every channel, in order.")] = None,
    background: Annotated[str | None, typer.Option(help="The channel that means that nothing is there.")] = None,
    against: Annotated[list[Path] | None, typer.Option(help="File of the other head; may be repeated.")] = None,
    against_values: Annotated[
        Literal["probabilities", "logits"] | None, typer.Option(help="Its values; default: as --values.")
    ] = None,
    against_classes: Annotated[str | None, typer.Option(help="Its channels; default: as --classes.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare outputs of a network, made elsewhere, with what they are said to be. Exit 2 if results would be wrong."""
    from pipelines.channels import declare
    from pipelines.imports.check import check_files

    heads = [(declare(head, values, classes, background), outputs)]
    if against:
        other: Literal["sigmoid", "softmax"] = "softmax" if head == "sigmoid" else "sigmoid"
        heads.append((declare(other, against_values or values, against_classes or classes, background), against))
    elif against_values or against_classes:
        raise ConfigError("--against-values and --against-classes describe the files of --against; give those too")
    if background is not None and all(declared.background is None for declared, _ in heads):
        raise ConfigError(f"--background {background!r} is none of the channels; name every channel with --classes")
    progress = Progress(stream=sys.stderr)
    with cancel_on_signals(progress):
        report = check_files(heads, progress=progress)
    typer.echo(report.model_dump_json(indent=1) if as_json else report.text())
    if not report.ok:
        raise typer.Exit(2)


# Runs ----------------------------------------------------------------------------------------------------------------


@app.command()
def verdict(
    name: RunName,
    runs: Runs = RUNS,
    margin: Annotated[float | None, typer.Option(help="Dice within which heads count as equal.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
    code: Annotated[Head | None, typer.Option(help="Print code for this head instead: model, loss, labels.")] = None,
) -> None:
    """Say which last layer RUN speaks for, and why."""
    from pipelines.config import build
    from pipelines.judgement import Margin, Verdict
    from pipelines.store import files
    from pipelines.store.runs import open_run
    from pipelines.verdict.rule import decide

    run = open_run(runs, name)
    if code is not None:
        from pipelines.recipe import code_of, ingredients_of

        typer.echo("\n\n\n".join(code_of(ingredients_of(run, code)).values()))
        return
    if margin is None:
        with files.reading(run.folder / "verdict.json"):
            decided = Verdict.model_validate(run.verdict)
    else:
        decided = decide(run.dataset, run.metrics(), run.facts, margin=build(Margin, {"dice": margin}))
    typer.echo(decided.model_dump_json(indent=1) if as_json else decided.text())


@app.command()
def compare(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Names of runs of one data set, or their paths.")
    ],
    runs: Runs = RUNS,
    margin: Annotated[float, typer.Option(help="Dice within which a choice makes no practical difference.")] = 0.01,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Say what moves the results of several RUNs: the loss, the head, the thresholds or the temperature."""
    from pipelines.comparison import compare as comparison
    from pipelines.config import build
    from pipelines.judgement import Margin
    from pipelines.store.runs import open_run

    chosen: Margin = build(Margin, {"dice": margin})
    compared = comparison.compare([open_run(runs, name) for name in names])
    if as_json:
        typer.echo(json.dumps(comparison.as_json(compared, chosen), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        typer.echo(comparison.text(compared, chosen))


@app.command("list")
def list_command(runs: Runs = RUNS) -> None:
    """List the runs, newest first. What is damaged is named on standard error, with what to do."""
    from pipelines.store import files
    from pipelines.store.runs import scan_runs

    whole, damaged = scan_runs(runs)
    problems = [one.problem for one in damaged]
    for run in whole:
        columns = [run.name, str(run.manifest["created"])]
        try:
            with files.reading(run.folder / "dataset.json"):
                columns.append(str(run.dataset["name"]))
            with files.reading(run.folder / "verdict.json"):
                columns.append(str(run.verdict["answer"]))
        except RunError as error:
            problems.append(str(error))
        typer.echo(
            "  ".join(text.ljust(width) for text, width in zip(columns, (32, 20, 32, 24), strict=False)).rstrip()
        )
    for problem in problems:
        typer.echo(f"warning: {problem}", err=True)
    if not whole and not damaged:
        typer.echo(f"no runs in {runs}; make one with `python -m pipelines run DATASET`", err=True)


@app.command()
def verify(name: RunName, runs: Runs = RUNS) -> None:
    """Compare every file of RUN with its manifest. Exit 1 if one has changed."""
    from pipelines.store.runs import open_run

    problems = open_run(runs, name).verify()
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{name} is whole")


@app.command()
def rename(
    name: Name,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    runs: Runs = RUNS,
) -> None:
    """Give RUN another name."""
    from pipelines.store.manage import rename_run

    rename_run(runs, name, new)
    typer.echo(f"{name} is called {new} now")


@app.command()
def delete(name: Name, runs: Runs = RUNS) -> None:
    """Put RUN in the trash, from where `restore` takes it back."""
    from pipelines.store.manage import delete_run

    entry = delete_run(runs, name)
    typer.echo(f"{name} is in the trash; take it back with `python -m pipelines restore {entry}`")


@app.command()
def trash(
    runs: Runs = RUNS,
    empty: Annotated[bool, typer.Option("--empty", help="Remove everything in it for good.")] = False,
) -> None:
    """List what is in the trash, last deleted first, or empty it."""
    from pipelines.sentences import size_in_words
    from pipelines.store.manage import empty_trash, list_trash, trash_bytes

    if empty:
        typer.echo(f"the trash of {runs} is empty; {size_in_words(empty_trash(runs))} are free again")
        return
    entries = list_trash(runs)
    width = max((len(one.entry) for one in entries), default=0)
    for one in entries:
        size, state = size_in_words(one.bytes), "" if one.whole else "  damaged or half removed"
        typer.echo(f"{one.entry.ljust(width)}  {one.deleted:%Y-%m-%dT%H:%M:%SZ}  {size:>7}{state}")
    if entries:
        typer.echo(f"`python -m pipelines trash --empty` gives back {size_in_words(trash_bytes(runs))}", err=True)
    else:
        typer.echo(f"the trash of {runs} is empty", err=True)


@app.command()
def restore(
    entry: Annotated[str, typer.Argument(metavar="ENTRY", help="Entry of the trash, as `trash` lists it.")],
    runs: Runs = RUNS,
    name: Annotated[
        str | None, typer.Option(help="Name to give it; default: its own, with a number if that is taken.")
    ] = None,
) -> None:
    """Take a run out of the trash."""
    from pipelines.store.manage import restore_run

    typer.echo(f"{restore_run(runs, entry, name)} is back in {runs}")


@app.command("app", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def dashboard(context: typer.Context) -> None:
    """Open the dashboard in a browser; options are those of `streamlit run`."""
    script = Path(__file__).resolve().parents[1] / "dashboard" / "app.py"
    raise typer.Exit(subprocess.call([sys.executable, "-m", "streamlit", "run", str(script), *context.args]))


# Jobs ----------------------------------------------------------------------------------------------------------------

jobs_app = typer.Typer(no_args_is_help=False, help="List jobs, follow them, stop them and start them again.")
app.add_typer(jobs_app, name="jobs")

Number = Annotated[str, typer.Argument(metavar="JOB", help="Number of a job, as `jobs` lists it.")]
_LOOK: Final = 0.5  # seconds between two looks at a job that is followed
_FIRST: Final = 4_000  # bytes of a log that are shown before it is followed
_LISTED: Final = 20  # jobs, unless all are asked for


@jobs_app.callback(invoke_without_command=True)
def list_jobs(
    context: typer.Context,
    runs: Runs = RUNS,
    every: Annotated[bool, typer.Option("--all", help="Also those that ended long ago.")] = False,
) -> None:
    """List jobs, newest first: number, state, what it makes, and how far it is."""
    from pipelines import jobs

    if context.invoked_subcommand is not None:
        given = context.get_parameter_source("runs")
        if given is not None and given.name == "COMMANDLINE":
            raise ConfigError(f"--runs comes after the command: `jobs {context.invoked_subcommand} … --runs {runs}`")
        return
    jobs.sweep(runs)
    listed = jobs.list_jobs(runs)
    for job in listed if every else listed[:_LISTED]:
        typer.echo(f"{job.id:>4}  {_line(job)}")
    if not listed:
        typer.echo(f"no jobs in {runs}; start one with `python -m pipelines jobs start run DATASET`", err=True)
    elif len(listed) > _LISTED and not every:
        typer.echo(f"{len(listed) - _LISTED} older ones are listed by `python -m pipelines jobs --all`", err=True)


@jobs_app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def start(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="Such as: run DATASET --epochs 40")],
    runs: Runs = RUNS,
) -> None:
    """Run a command in the background, after the jobs before it; it goes on when this terminal is closed."""
    from pipelines import jobs

    request, given = parse(command)
    job = jobs.start(request, given or runs)
    typer.echo(f"job {job.id}: {job.title}")
    typer.echo(f"follow it with `python -m pipelines jobs show {job.id} --follow`", err=True)


@jobs_app.command()
def show(
    number: Number,
    runs: Runs = RUNS,
    follow: Annotated[bool, typer.Option("--follow", help="Stay and show its log as it grows, until it ends.")] = False,
) -> None:
    """Say where a job stands, with the end of its log. With --follow, exit 1 unless it is done."""
    from pipelines import jobs

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


@jobs_app.command()
def cancel(number: Number, runs: Runs = RUNS) -> None:
    """Ask a job to stop at its next safe point, or to leave the line; `resume` goes on from there."""
    from pipelines import jobs

    job = jobs.find_job(runs, number)
    if not job.alive():
        raise ConfigError(f"job {number} is not at work and not in line: it is {job.state()}")
    job.cancel()
    typer.echo(f"job {number} was asked to stop")


@jobs_app.command()
def resume(number: Number, runs: Runs = RUNS) -> None:
    """Put a job in line again that did not come to its end, to go on from what was done."""
    from pipelines import jobs

    job = jobs.resume(jobs.find_job(runs, number))
    typer.echo(f"job {job.id} is in line again")


@jobs_app.command()
def retry(number: Number, runs: Runs = RUNS) -> None:
    """Put a job in line again that did not come to its end, to begin from nothing."""
    from pipelines import jobs

    job = jobs.retry(jobs.find_job(runs, number))
    typer.echo(f"job {job.id} is in line again, from nothing")


@jobs_app.command()
def remove(number: Number, runs: Runs = RUNS) -> None:
    """Take a job that has ended from the list, with its log; its run stays."""
    from pipelines import jobs

    jobs.find_job(runs, number).remove()
    typer.echo(f"job {number} is gone from the list")


def _line(job: "jobs.Job") -> str:
    """State, what it makes, and how far it is."""
    status = job.status()
    parts = [f"{status.state:<10}", f"{job.command or '?':<8}", job.title]
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


def _growing(job: "jobs.Job") -> Iterator[str]:
    """The end of the log, then what is added to it, until the job ends."""
    from pipelines.job_queue import LOG

    attempt = job.attempt
    if attempt is None:
        return
    log = attempt / LOG
    at = max(0, _size(log) - _FIRST)
    while True:
        alive = job.alive()  # before reading: what was written before the end is shown
        at = min(at, _size(log))  # its middle may have been left out
        try:
            with log.open("rb") as file:
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
    return path.stat().st_size if path.exists() else 0
