"""Command line: `python -m pipelines`. Exit status 0 done, 2 bad input, 1 anything else."""

import json
import os
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines import config as settings
from pipelines import estimate_command, jobs_commands, manage_commands
from pipelines.errors import Cancelled, ConfigError, NoSuchRun, PipelineError, RunError
from pipelines.imports import command as import_command
from pipelines.imports.models import command as import_model_command
from pipelines.jobs.foreground import listed, note_command_line
from pipelines.jobs.names import free_name, stem_of
from pipelines.options import RUNS, DataFormat, ReadingFile, Runs, parse_size, reading_of
from pipelines.progress import Progress, cancel_on_signals
from pipelines.reading import write_reading
from pipelines.store import Run, RunWriter, files, list_runs, open_run, scan_runs, staged_attempts
from pipelines.store.files import check_name

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Should the last layer be sigmoid or softmax? Train or load a matched pair, measure both, get a verdict.",
)


class Loss(StrEnum):
    """Loss families, each with a sigmoid and a softmax form."""

    ce = "ce"
    dice = "dice"
    ce_dice = "ce+dice"
    focal = "focal"


class Rule(StrEnum):
    """How a softmax codes overlapping truth."""

    priority = "priority"
    powerset = "powerset"
    both = "both"


class Device(StrEnum):
    """Where networks run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Precision(StrEnum):
    """Arithmetic of training."""

    auto = "auto"
    bf16 = "bf16"
    fp32 = "fp32"


class ReportedHead(StrEnum):
    """Heads of a run."""

    sigmoid = "sigmoid"
    softmax = "softmax"
    powerset = "softmax-powerset"


class Activation(StrEnum):
    """Last layers of outputs that users bring."""

    sigmoid = "sigmoid"
    softmax = "softmax"


class Values(StrEnum):
    """What the numbers in a user's arrays are."""

    probabilities = "probabilities"
    logits = "logits"


DatasetPath = Annotated[str, typer.Argument(metavar="DATASET", help="Folder of the data set.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run, or the path of its folder.")]
StagedName = Annotated[str, typer.Argument(metavar="RUN", help="Name of an interrupted run.")]


def parse_seeds(text: str) -> tuple[int, ...]:
    """Comma-separated whole numbers. Raises ConfigError on anything else."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--seeds must be whole numbers such as 0,1,2, got {text!r}") from None


def parse_rates(text: str) -> tuple[float, dict[str, float]]:
    """One learning rate, or one a head (sigmoid=0.001,softmax=0.002). Raises ConfigError on anything else.

    The softmax over label sets takes softmax's unless it has its own; heads not named keep the default.
    """
    try:
        return float(text), {}
    except ValueError:
        pass
    try:
        pairs = dict(part.split("=") for part in text.split(","))
        rates = {head: float(rate) for head, rate in pairs.items()}
    except ValueError:
        raise ConfigError(
            f"--lr must be a number or one a head such as sigmoid=0.001,softmax=0.002, got {text!r}"
        ) from None
    if "softmax" in rates:
        rates.setdefault("softmax-powerset", rates["softmax"])
    return settings.TrainingConfig().learning_rate, rates


def _resumable_name(runs: Path, dataset: str) -> str:
    """The newest unfinished attempt on this data set. Raises NoSuchRun when there is none."""
    stem = stem_of(Path(dataset).resolve().name)
    staging = runs / ".staging"
    attempt = re.compile(re.escape(stem) + r"-\d+\.\d+")
    found = [path for path in staging.iterdir() if attempt.fullmatch(path.name)] if staging.is_dir() else []
    if not found:
        raise NoSuchRun(f"there is nothing to resume for {dataset} in {runs}; start it without --resume")
    return max(found, key=lambda path: path.stat().st_mtime).name.rpartition(".")[0]


@app.command()
def run(
    dataset: DatasetPath,
    runs: Runs = RUNS,
    name: Annotated[str | None, typer.Option(help="Name of the run; default: data set and a number.")] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training split.")] = 20,
    size: Annotated[str | None, typer.Option(help="HxW every image is resized to; default: its own size.")] = None,
    crop: Annotated[str, typer.Option(help="HxW of training crops when images keep their size.")] = "256x256",
    seeds: Annotated[str, typer.Option(help="Comma-separated seeds; three or more for a firm verdict.")] = "0",
    loss: Annotated[Loss, typer.Option(help="Loss family, each with its sigmoid and softmax form.")] = Loss.ce,
    architecture: Annotated[str, typer.Option(help="Any architecture of segmentation-models-pytorch.")] = "Unet",
    encoder: Annotated[str, typer.Option(help="Any encoder of segmentation-models-pytorch.")] = "resnet18",
    encoder_weights: Annotated[str | None, typer.Option(help="Pretrained weights such as imagenet.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images in a batch.")] = 8,
    lr: Annotated[str, typer.Option(help="Learning rate, or one a head: sigmoid=0.001,softmax=0.002.")] = "0.001",
    softmax_rule: Annotated[Rule, typer.Option(help="Softmax on overlapping labels.")] = Rule.both,
    priority: Annotated[str | None, typer.Option(help="Class names, first wins; default: smallest wins.")] = None,
    augment: Annotated[bool, typer.Option(help="Flips, small rotations and scalings, brightness.")] = True,
    device: Annotated[Device, typer.Option(help="Where networks run.")] = Device.auto,
    precision: Annotated[Precision, typer.Option(help="Arithmetic of training.")] = Precision.auto,
    workers: Annotated[int, typer.Option(help="Processes that read images; 0: this one.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads of arithmetic on the CPU; 0: one a core.")] = 0,
    splits: Annotated[str, typer.Option(help="Comma-separated splits to predict and measure.")] = "val,test",
    boundary_width: Annotated[int, typer.Option(help="Pixels to each side of a truth boundary.")] = 3,
    surface_tolerance: Annotated[float, typer.Option(help="Pixels a surface may be off for surface Dice.")] = 2.0,
    cost_false_positive: Annotated[float, typer.Option(help="Cost of a pixel called that is not there.")] = 1.0,
    cost_false_negative: Annotated[float, typer.Option(help="Cost of a pixel missed.")] = 1.0,
    replicates: Annotated[int, typer.Option(help="Bootstrap replicates.")] = 2000,
    models: Annotated[Path | None, typer.Option(help="Run or pair folder to load instead of training.")] = None,
    reading: ReadingFile = None,
    data_format: DataFormat = None,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted run.")] = False,
    record: Annotated[Path | None, typer.Option(help="JSON file to keep the progress in.", hidden=True)] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="As the command of that name does.", hidden=True)
    ] = False,
) -> None:
    """Train or load a pair on DATASET, predict, measure and judge."""
    from pipelines.run import make_run  # torch takes seconds to import: only where it is needed

    rate, rates = parse_rates(lr)
    values: dict[str, Any] = {
        "dataset": str(Path(dataset).expanduser().resolve()),
        "reading": reading_of(reading, data_format),
        "training": {
            "architecture": architecture, "encoder": encoder, "encoder_weights": encoder_weights, "loss": loss.value,
            "softmax_rule": softmax_rule.value, "priority": None if priority is None else tuple(priority.split(",")),
            "seeds": parse_seeds(seeds), "epochs": epochs, "batch_size": batch_size, "size": parse_size(size),
            "crop": parse_size(crop), "learning_rate": rate, "learning_rates": rates, "augment": augment,
            "device": device.value, "precision": precision.value, "workers": workers, "threads": threads,
        },
        "evaluation": {
            "splits": tuple(splits.split(",")), "boundary_width": boundary_width, "replicates": replicates,
            "surface_tolerance": surface_tolerance, "cost_false_positive": cost_false_positive,
            "cost_false_negative": cost_false_negative,
        },
    }  # fmt: skip
    config = settings.build(settings.RunConfig, values)
    if estimate:
        return estimate_command.show_estimate(config, runs, record)
    if name is None:
        name = _resumable_name(runs, dataset) if resume else free_name(runs, Path(dataset).resolve().name)
    with listed(runs, name):
        progress = Progress(record=record, stream=sys.stderr)
        done = make_run(config, runs=runs, name=name, progress=progress, models=models, resume=resume)
    _show_verdict(done)
    typer.echo(f"\n{done.folder}\nOpen it with: streamlit run dashboard/app.py")


@app.command()
def sample(runs: Runs = RUNS) -> None:
    """Make sure the sample run exists: train the first seed unless it is there, and the others in the background."""
    from pipelines.jobs import SAMPLE_RUN, sample_arguments, start_later_seeds

    if any(one.name == SAMPLE_RUN for one in list_runs(runs)):
        typer.echo(f"{runs / SAMPLE_RUN} is there")
    else:
        begun = ["--resume"] if staged_attempts(runs, SAMPLE_RUN) else []
        app([*sample_arguments(), "--runs", str(runs), *begun], standalone_mode=False)
    later = start_later_seeds(runs)
    if later is not None:
        typer.echo(f"More seeds are trained in the background (job {later.id}); then they are part of {SAMPLE_RUN}.")


@app.command("add-seeds")
def add_seeds(
    run: RunName,
    seeds: Annotated[str, typer.Option(help="Comma-separated seeds that the run does not have.")],
    runs: Runs = RUNS,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted attempt.")] = False,
    name: Annotated[str | None, typer.Option(help="The same as RUN, as jobs give it.", hidden=True)] = None,
) -> None:
    """Train more seeds of RUN, with its settings, and measure all of them again. What it replaces goes to the trash."""
    from pipelines.run import add_seeds as train_more

    runs, run = _split_path(runs, run)
    with listed(runs, run):
        progress = Progress(stream=sys.stderr)
        _show_verdict(train_more(run, parse_seeds(seeds), runs=runs, progress=progress, resume=resume))


@app.command()
def check(
    dataset: DatasetPath,
    size: Annotated[str | None, typer.Option(help="HxW every image is resized to first.")] = None,
    reading: ReadingFile = None,
    data_format: DataFormat = None,
    save_reading: Annotated[Path | None, typer.Option(help="Write how it is read to a file for --reading.")] = None,
    save_report: Annotated[Path | None, typer.Option(help="Write the report to a file as JSON, print nothing.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Say what is in DATASET, what is wrong with it, and what its truth alone says. Exit 2 if it has errors."""
    from pipelines.datasets import open_dataset, recognised_text
    from pipelines.datasets.check import check_dataset

    progress = Progress(stream=sys.stderr)
    with cancel_on_signals(progress):
        opened = open_dataset(dataset, reading_of(reading, data_format))
        typer.echo(recognised_text(opened), err=True)
        if save_reading is not None:
            write_reading(save_reading, opened.full_spec)
            typer.echo(f"how it is read: {save_reading}; edit it and give it back with --reading", err=True)
        report = check_dataset(opened, size=parse_size(size), progress=progress)
    if save_report is not None:
        files.write_text(save_report, report.model_dump_json())
        return
    typer.echo(report.model_dump_json(indent=1) if as_json else report.text(), nl=as_json)
    if not report.ok:
        raise typer.Exit(2)


@app.command("check-outputs")
def check_outputs(
    outputs: Annotated[list[Path], typer.Argument(metavar="FILE", help=".npy and .npz files of one head.")],
    head: Annotated[Activation, typer.Option(help="Last layer the outputs come from.")],
    values: Annotated[Values, typer.Option(help="After the last activation, or before it.")],
    classes: Annotated[str | None, typer.Option(help="Comma-separated name of every channel, in order.")] = None,
    background: Annotated[str | None, typer.Option(help="The channel that means that nothing is there.")] = None,
    against: Annotated[list[Path] | None, typer.Option(help="File of the other head; may be repeated.")] = None,
    against_values: Annotated[Values | None, typer.Option(help="Its values; default: as --values.")] = None,
    against_classes: Annotated[str | None, typer.Option(help="Its channels; default: as --classes.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compare outputs of a network, made elsewhere, with what they are said to be. Exit 2 if results would be wrong."""
    from pipelines.channels import declare
    from pipelines.imports.check import check_files

    heads = [(declare(head.value, values.value, classes, background), outputs)]
    if against:
        other = Activation.softmax if head == Activation.sigmoid else Activation.sigmoid
        theirs = declare(other.value, (against_values or values).value, against_classes or classes, background)
        heads.append((theirs, against))
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


def _stage(name: str, runs: Path, stage: str) -> None:
    from pipelines import run as stages
    from pipelines.stages import Plan

    progress = Progress(stream=sys.stderr)
    with cancel_on_signals(progress), RunWriter.open(runs, name, resume=True) as writer:
        plan = Plan(writer.folder)
        plan.check_unchanged()
        getattr(stages, stage)(writer.folder, progress)
        plan.check_unchanged(during=True)
    typer.echo(f"{stage} of {name} is done")


@app.command()
def train(name: StagedName, runs: Runs = RUNS) -> None:
    """Train the networks of a run that was begun and interrupted."""
    _stage(name, runs, "train")


@app.command()
def predict(name: StagedName, runs: Runs = RUNS) -> None:
    """Predict with the networks of a run that was begun and interrupted."""
    _stage(name, runs, "predict")


def _split_path(runs: Path, name: str) -> tuple[Path, str]:
    """The runs folder and the name of a run that may be given as a path."""
    return (Path(name).resolve().parent, Path(name).resolve().name) if os.sep in name else (runs, name)


@app.command()
def evaluate(name: RunName, runs: Runs = RUNS) -> None:
    """Count, measure and judge again: an interrupted run, which it completes, or a whole one, which it replaces."""
    from pipelines.stages import finish

    progress = Progress(stream=sys.stderr)
    runs, name = _split_path(runs, name)
    whole = open_run(runs, name).folder if (runs / check_name(name)).is_dir() else None
    with (
        cancel_on_signals(progress),
        RunWriter.open(runs, name, resume=whole is None, copy_of=whole, recount=True) as writer,
    ):
        _show_verdict(finish(writer, progress, recount=whole is not None))


@app.command()
def verdict(
    name: RunName,
    runs: Runs = RUNS,
    margin: Annotated[float | None, typer.Option(help="Dice within which heads count as equal.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
    code: Annotated[
        ReportedHead | None, typer.Option(help="Print code for this head instead: model, loss, labels.")
    ] = None,
) -> None:
    """Say which last layer RUN speaks for, and why."""
    from pipelines.verdict import Margin, Verdict, decide

    found = open_run(runs, name)
    if code is not None:
        from pipelines.recipe import code_of, ingredients_of

        typer.echo("\n\n\n".join(code_of(ingredients_of(found, code.value)).values()))
        return
    if margin is None:
        with files.reading(found.folder / "verdict.json"):
            judged = Verdict.model_validate(found.verdict)
    else:
        chosen: Margin = settings.build(Margin, {"dice": margin})
        judged = decide(found.dataset, found.metrics(), found.facts, margin=chosen)
    typer.echo(judged.model_dump_json(indent=1) if as_json else judged.text())


@app.command()
def export(
    name: RunName,
    runs: Runs = RUNS,
    out: Annotated[Path, typer.Option(help="Folder to write to; made if need be.")] = Path("."),
    html: Annotated[bool, typer.Option("--html/--no-html", help="RUN-report.html, which opens in any browser.")] = True,
    csv: Annotated[bool, typer.Option("--csv/--no-csv", help="RUN-tables, every table as CSV.")] = True,
    zipped: Annotated[bool, typer.Option("--zip", help="The tables as one zip file instead of a folder.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what an earlier export wrote.")] = False,
    margin: Annotated[float | None, typer.Option(help="Dice within which heads count as equal.")] = None,
) -> None:
    """Write RUN as a report in one HTML file, and every table as CSV."""
    from dashboard.report.files import export as export_run  # of all commands only this one draws, see pyproject.toml
    from pipelines.verdict import Margin

    chosen = None if margin is None else settings.build(Margin, {"dice": margin})
    run = open_run(runs, name)
    for written in export_run(run, out, html=html, csv=csv, zipped=zipped, force=force, margin=chosen):
        typer.echo(written)


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
    from pipelines import comparison
    from pipelines.verdict import Margin

    chosen: Margin = settings.build(Margin, {"dice": margin})
    found = comparison.compare([open_run(runs, name) for name in names])
    if as_json:
        typer.echo(json.dumps(comparison.as_json(found, chosen), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        typer.echo(comparison.text(found, chosen))


@app.command("list")
def list_command(runs: Runs = RUNS) -> None:
    """List the runs, newest first. What is damaged is named on standard error, with what to do."""
    whole, damaged = scan_runs(runs)
    problems = [one.problem for one in damaged]
    for one in whole:
        columns = [one.name, str(one.manifest["created"])]
        try:
            with files.reading(one.folder / "dataset.json"):
                columns.append(str(one.dataset["name"]))
            with files.reading(one.folder / "verdict.json"):
                columns.append(str(one.verdict["answer"]))
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
    problems = open_run(runs, name).verify()
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{name} is whole")


app.add_typer(manage_commands.app)
app.add_typer(jobs_commands.app, name="jobs")
app.add_typer(estimate_command.app)
app.add_typer(import_command.app)
app.add_typer(import_model_command.app)


def _show_verdict(done: Run) -> None:
    from pipelines.verdict import Verdict

    typer.echo(Verdict.model_validate(done.verdict).text())


def main() -> None:
    """Run the command line; one line on standard error for what a user can mend."""
    note_command_line(sys.argv[1:])
    try:
        app()
    except Cancelled as error:
        print(f"cancelled: {error}", file=sys.stderr)
        sys.exit(1)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
