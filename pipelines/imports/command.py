"""The command `import`: paths of outputs and what is said of them to a run."""

from collections.abc import Iterator
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines import config as settings
from pipelines.errors import ConfigError
from pipelines.imports.asked import Import, names, one_name
from pipelines.options import RUNS, DataFormat, ReadingFile, Runs, parse_size, reading_of
from pipelines.schema import Head

if TYPE_CHECKING:
    from pipelines.imports.readers import Opened

app = typer.Typer()


class Values(StrEnum):
    """What the numbers of outputs are."""

    probabilities = "probabilities"
    logits = "logits"


@app.command("import")
def import_outputs(
    run: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the run to make.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Folder of the data set that holds the truth.")] = None,
    reading: ReadingFile = None,
    data_format: DataFormat = None,
    sigmoid: Annotated[Path | None, typer.Option(help="File or folder of a sigmoid's outputs.")] = None,
    softmax: Annotated[Path | None, typer.Option(help="File or folder of a softmax's outputs.")] = None,
    powerset: Annotated[Path | None, typer.Option(help="The same of a softmax over label sets.")] = None,
    values: Annotated[Values | None, typer.Option(help="After the last activation, or before it.")] = None,
    sigmoid_values: Annotated[Values | None, typer.Option(help="The sigmoid's; default: as --values.")] = None,
    softmax_values: Annotated[Values | None, typer.Option(help="The softmax's; default: as --values.")] = None,
    powerset_values: Annotated[Values | None, typer.Option(help="The label sets'; default: as --values.")] = None,
    classes: Annotated[str | None, typer.Option(help="Comma-separated name of every channel, in order.")] = None,
    sigmoid_classes: Annotated[str | None, typer.Option(help="The sigmoid's; default: as --classes.")] = None,
    softmax_classes: Annotated[str | None, typer.Option(help="The softmax's; default: as --classes.")] = None,
    powerset_classes: Annotated[str | None, typer.Option(help="Label sets, such as background,a,b,a+b.")] = None,
    background: Annotated[str | None, typer.Option(help="The channel that means that nothing is there.")] = None,
    format: Annotated[str | None, typer.Option(help="Format of the files, if it is not recognised.")] = None,
    sigmoid_format: Annotated[str | None, typer.Option(help="The sigmoid's; default: as --format.")] = None,
    softmax_format: Annotated[str | None, typer.Option(help="The softmax's; default: as --format.")] = None,
    powerset_format: Annotated[str | None, typer.Option(help="The label sets'; default: as --format.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of files that lie in no folder seed=N.", min=0)] = None,
    size: Annotated[str | None, typer.Option(help="HxW every image was resized to; default: its own size.")] = None,
    splits: Annotated[str, typer.Option(help="Comma-separated splits to measure.")] = "val,test",
    boundary_width: Annotated[int, typer.Option(help="Pixels to each side of a truth boundary.")] = 3,
    surface_tolerance: Annotated[float, typer.Option(help="Pixels a surface may be off for surface Dice.")] = 2.0,
    cost_false_positive: Annotated[float, typer.Option(help="Cost of a pixel called that is not there.")] = 1.0,
    cost_false_negative: Annotated[float, typer.Option(help="Cost of a pixel missed.")] = 1.0,
    replicates: Annotated[int, typer.Option(help="Bootstrap replicates.")] = 2000,
    name: Annotated[str | None, typer.Option(help="The same as NAME, as jobs give it.", hidden=True)] = None,
    runs: Runs = RUNS,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted import.")] = False,
    record: Annotated[Path | None, typer.Option(help="JSON file to keep the progress in.", hidden=True)] = None,
) -> None:
    """Make a run from outputs of networks that were trained elsewhere, of one head or of both."""
    called = one_name(run, name, command="import")
    if dataset is None:
        raise ConfigError("--dataset is missing; give the folder of the data set that the outputs belong to")
    paths: dict[Head, Path | None] = {"sigmoid": sigmoid, "softmax": softmax, "softmax-powerset": powerset}
    if not any(paths.values()):
        raise ConfigError("there is nothing to import; give --sigmoid, --softmax or --powerset, or several of them")
    of_values: dict[Head, Values | None] = {
        "sigmoid": sigmoid_values, "softmax": softmax_values, "softmax-powerset": powerset_values,
    }  # fmt: skip
    of_classes: dict[Head, str | None] = {
        "sigmoid": sigmoid_classes, "softmax": softmax_classes, "softmax-powerset": powerset_classes,
    }  # fmt: skip
    of_format: dict[Head, str | None] = {
        "sigmoid": sigmoid_format, "softmax": softmax_format, "softmax-powerset": powerset_format,
    }  # fmt: skip
    said = {
        head: {
            "path": path,
            "format": of_format[head] or format,
            "values": of_values[head] or values,
            "classes": of_classes[head] or (None if head == "softmax-powerset" else classes),
        }
        for head, path in paths.items()
        if path is not None
    }
    evaluation = {
        "splits": tuple(splits.split(",")), "boundary_width": boundary_width, "replicates": replicates,
        "surface_tolerance": surface_tolerance, "cost_false_positive": cost_false_positive,
        "cost_false_negative": cost_false_negative,
    }  # fmt: skip
    asked = Import(
        called, dataset, reading_of(reading, data_format), evaluation, runs=runs, resume=resume, record=record
    )  # fmt: skip
    _import(asked, said, background=background, seed=seed, size=parse_size(size))


def _import(
    asked: Import,
    said: dict[Head, dict[str, Any]],
    *,
    background: str | None,
    seed: int | None,
    size: tuple[int, int] | None,
) -> None:
    from pipelines.datasets import open_dataset
    from pipelines.imports.readers import open_outputs
    from pipelines.imports.sources import Said
    from pipelines.uploads import in_use

    dataset = open_dataset(asked.place, asked.reading)
    checked = settings.build(settings.EvaluationConfig, asked.evaluation)
    with ExitStack() as stack:
        for path in (asked.place, *(one["path"] for one in said.values())):
            stack.enter_context(in_use(path))
        opened: dict[Head, Opened] = {}
        for head, one in said.items():
            words = Said(head, one["values"] and one["values"].value, names(one["classes"]), background)
            opened[head] = open_outputs(one["path"], words, dataset, format=one["format"], seed=seed)
            for source in opened[head].sources.values():
                stack.enter_context(source).size = size
        if background is not None and all(declared.background is None for declared in _declarations(opened)):
            raise ConfigError(f"--background {background!r} is none of the channels; name every channel with --classes")
        for line in _told(opened, [image for split in checked.splits for image in dataset.images(split)]):
            typer.echo(line, err=True)
        asked.make({head: one.sources for head, one in opened.items()}, _imported(opened) | {"size": size})


def _declarations(opened: "dict[Head, Opened]") -> Iterator[Any]:
    return (source.declaration for one in opened.values() for source in one.sources.values())


def _imported(opened: "dict[Head, Opened]") -> dict[str, Any]:
    """Values of config.ImportConfig. Raises ConfigError when the heads have different seeds."""
    heads = {}
    for head, one in opened.items():
        declared = next(iter(one.sources.values())).declaration
        heads[head] = {
            "path": str(one.path), "format": one.format, "values": declared.values, "channels": declared.classes,
            "background": declared.background,
        }  # fmt: skip
    seeds = sorted({seed for one in opened.values() for seed in one.sources})
    return {"heads": heads, "seeds": tuple(seeds)}


def _told(opened: "dict[Head, Opened]", names: list[str]) -> Iterator[str]:
    """What was recognised, and what is left aside, a line each."""
    from pipelines.imports.readers import FORMATS
    from pipelines.imports.sources import named

    for head, one in opened.items():
        declared = next(iter(one.sources.values())).declaration
        channels = f"channels {named(declared.classes)}" if declared.classes else "channels not named"
        seeds = f", seeds {', '.join(map(str, one.sources))}" if len(one.sources) > 1 else ""
        yield f"{head}: {FORMATS[one.format].title} ({one.format}), {declared.values}, {channels}{seeds}"
        for seed, source in one.sources.items():
            left = source.surplus(names)
            if left:
                of_seed = f" seed {seed}" if len(one.sources) > 1 else ""
                yield f"{head}{of_seed}: {len(left)} outputs belong to no image of these splits: {named(left)}"
