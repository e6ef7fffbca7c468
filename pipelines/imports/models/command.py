"""The command `import-model`: models and what is said of them to a run."""

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from pipelines import config as settings
from pipelines.errors import ConfigError
from pipelines.imports.asked import Import, names, one_name
from pipelines.options import RUNS, DataFormat, ReadingFile, Runs, parse_size, reading_of
from pipelines.schema import HEADS, Head

if TYPE_CHECKING:
    from pipelines.imports.models.opening import Wanted

app = typer.Typer()


class Output(StrEnum):
    """What a network gives."""

    logits = "logits"
    sigmoid = "sigmoid"
    softmax = "softmax"
    probabilities = "probabilities"


class Normalisation(StrEnum):
    """Customary ways to prepare images."""

    imagenet = "imagenet"
    unit = "0-1"
    symmetric = "-1-1"
    bytes = "0-255"


class Order(StrEnum):
    """Order of the colours."""

    rgb = "RGB"
    bgr = "BGR"
    grey = "grey"


class Layout(StrEnum):
    """Axes of the input."""

    first = "NCHW"
    last = "NHWC"


class Hardware(StrEnum):
    """Where networks run."""

    cpu = "cpu"
    cuda = "cuda"


# The network sees (scale · image - mean) / std with images in [0, 1].
NORMALISATIONS: Final[dict[Normalisation, dict[str, Any]]] = {
    Normalisation.imagenet: {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "scale": 1},
    Normalisation.unit: {"mean": (0.0,), "std": (1.0,), "scale": 1},
    Normalisation.symmetric: {"mean": (0.5,), "std": (0.5,), "scale": 1},
    Normalisation.bytes: {"mean": (0.0,), "std": (1.0,), "scale": 255},
}
_OUTPUT: Final = "What the network gives: before or after which activation."
_CLASSES: Final = "Comma-separated name of every channel, in order."
_NUMBERS: Final = "One number or one a colour, for images in 0 to 1."


class _Said(NamedTuple):
    """One head's options; None where the common one holds."""

    path: str | None
    output: Output | None
    classes: str | None
    normalisation: Normalisation | None
    mean: str | None
    std: str | None
    tensor: str | None


@app.command("import-model")
def import_model(
    run: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the run to make.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Folder of the data set that holds images and truth.")] = None,
    sigmoid: Annotated[str | None, typer.Option(help="Model with a sigmoid: file, folder or hub name.")] = None,
    softmax: Annotated[str | None, typer.Option(help="Model with a softmax.")] = None,
    powerset: Annotated[str | None, typer.Option(help="Model with a softmax over label sets.")] = None,
    output: Annotated[Output | None, typer.Option(help=_OUTPUT)] = None,
    sigmoid_output: Annotated[Output | None, typer.Option(help="The sigmoid's; default: as --output.")] = None,
    softmax_output: Annotated[Output | None, typer.Option(help="The softmax's; default: as --output.")] = None,
    powerset_output: Annotated[Output | None, typer.Option(help="The label sets'; default: as --output.")] = None,
    classes: Annotated[str | None, typer.Option(help=_CLASSES)] = None,
    sigmoid_classes: Annotated[str | None, typer.Option(help="The sigmoid's; default: as --classes.")] = None,
    softmax_classes: Annotated[str | None, typer.Option(help="The softmax's; default: as --classes.")] = None,
    powerset_classes: Annotated[str | None, typer.Option(help="Label sets, such as background,a,b,a+b.")] = None,
    background: Annotated[str | None, typer.Option(help="The channel that means that nothing is there.")] = None,
    normalisation: Annotated[Normalisation | None, typer.Option(help="How images are prepared.")] = None,
    sigmoid_normalisation: Annotated[Normalisation | None, typer.Option(help="The sigmoid's.")] = None,
    softmax_normalisation: Annotated[Normalisation | None, typer.Option(help="The softmax's.")] = None,
    powerset_normalisation: Annotated[Normalisation | None, typer.Option(help="The label sets'.")] = None,
    mean: Annotated[str | None, typer.Option(help=f"Subtracted from images. {_NUMBERS}")] = None,
    sigmoid_mean: Annotated[str | None, typer.Option(help="The sigmoid's.")] = None,
    softmax_mean: Annotated[str | None, typer.Option(help="The softmax's.")] = None,
    powerset_mean: Annotated[str | None, typer.Option(help="The label sets'.")] = None,
    std: Annotated[str | None, typer.Option(help=f"Images are divided by it. {_NUMBERS}")] = None,
    sigmoid_std: Annotated[str | None, typer.Option(help="The sigmoid's.")] = None,
    softmax_std: Annotated[str | None, typer.Option(help="The softmax's.")] = None,
    powerset_std: Annotated[str | None, typer.Option(help="The label sets'.")] = None,
    channels_order: Annotated[Order | None, typer.Option(help="Of the input; default: RGB.")] = None,
    layout: Annotated[Layout | None, typer.Option(help="Of the input; default: as the file says, else NCHW.")] = None,
    size: Annotated[str | None, typer.Option(help="HxW images are resized to; default: the model's, or own.")] = None,
    multiple: Annotated[int | None, typer.Option(help="Height and width are padded to it; default: 32.")] = None,
    tensor: Annotated[str | None, typer.Option(help="Name of the output to read, of several.")] = None,
    sigmoid_tensor: Annotated[str | None, typer.Option(help="The sigmoid's; default: as --tensor.")] = None,
    softmax_tensor: Annotated[str | None, typer.Option(help="The softmax's; default: as --tensor.")] = None,
    powerset_tensor: Annotated[str | None, typer.Option(help="The label sets'; default: as --tensor.")] = None,
    architecture: Annotated[str | None, typer.Option(help="Of the network of a state dict.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Of the network of a state dict.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of models that lie in no folder seed=N.", min=0)] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Open files that can run any code of their maker.")] = False,
    memory: Annotated[float, typer.Option(help="GiB that a model's process may take.")] = 4.0,
    seconds: Annotated[float, typer.Option(help="Seconds that one image may take.")] = 60.0,
    opening_seconds: Annotated[float, typer.Option(help="Seconds that a model may take to open.")] = 120.0,
    device: Annotated[Hardware, typer.Option(help="Where networks run.")] = Hardware.cpu,
    threads: Annotated[int, typer.Option(help="Threads of arithmetic; 0: one a core.", min=0)] = 0,
    splits: Annotated[str, typer.Option(help="Comma-separated splits to measure.")] = "val,test",
    boundary_width: Annotated[int, typer.Option(help="Pixels to each side of a truth boundary.")] = 3,
    surface_tolerance: Annotated[float, typer.Option(help="Pixels a surface may be off for surface Dice.")] = 2.0,
    cost_false_positive: Annotated[float, typer.Option(help="Cost of a pixel called that is not there.")] = 1.0,
    cost_false_negative: Annotated[float, typer.Option(help="Cost of a pixel missed.")] = 1.0,
    replicates: Annotated[int, typer.Option(help="Bootstrap replicates.")] = 2000,
    name: Annotated[str | None, typer.Option(help="The same as NAME, as jobs give it.", hidden=True)] = None,
    reading: ReadingFile = None,
    data_format: DataFormat = None,
    runs: Runs = RUNS,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted import.")] = False,
    record: Annotated[Path | None, typer.Option(help="JSON file to keep the progress in.", hidden=True)] = None,
) -> None:
    """Make a run from models that were trained elsewhere: run them over DATASET's images, of one head or of both."""
    called = one_name(run, name, command="import-model")
    if dataset is None:
        raise ConfigError("--dataset is missing; give the folder of the data set that the models are to be measured on")
    common = _Said(None, output, classes, normalisation, mean, std, tensor)
    said: dict[Head, _Said] = {
        "sigmoid": _Said(sigmoid, sigmoid_output, sigmoid_classes, sigmoid_normalisation, sigmoid_mean, sigmoid_std,
                         sigmoid_tensor),
        "softmax": _Said(softmax, softmax_output, softmax_classes, softmax_normalisation, softmax_mean, softmax_std,
                         softmax_tensor),
        "softmax-powerset": _Said(powerset, powerset_output, powerset_classes, powerset_normalisation, powerset_mean,
                                  powerset_std, powerset_tensor),
    }  # fmt: skip
    if not any(one.path for one in said.values()):
        raise ConfigError("there is nothing to import; give --sigmoid, --softmax or --powerset, or several of them")
    shared: dict[str, Any] = {
        "order": channels_order, "layout": layout, "size": parse_size(size), "multiple": multiple,
        "background": background,
    }  # fmt: skip
    network = {"architecture": architecture, "encoder": encoder, "seed": seed}
    wanted = {head: _wanted(head, said[head], common, shared, network) for head in HEADS if said[head].path}
    limits = {
        "memory": int(memory * 2**30), "seconds": seconds, "opening": opening_seconds, "threads": threads,
    }  # fmt: skip
    evaluation = {
        "splits": tuple(splits.split(",")), "boundary_width": boundary_width, "replicates": replicates,
        "surface_tolerance": surface_tolerance, "cost_false_positive": cost_false_positive,
        "cost_false_negative": cost_false_negative,
    }  # fmt: skip
    asked = Import(
        called, dataset, reading_of(reading, data_format), evaluation, runs=runs, resume=resume, record=record
    )  # fmt: skip
    _import(asked, wanted, limits=limits, trust=trust, hardware=device.value)


def _wanted(head: Head, own: _Said, common: _Said, shared: dict[str, Any], network: dict[str, Any]) -> "Wanted":
    """One head's options, and the common ones where it has none of its own."""
    from pipelines.imports.models.opening import Wanted
    from pipelines.imports.models.settings import Described

    activation = "sigmoid" if head == "sigmoid" else "softmax"
    output = own.output or common.output
    if output in (Output.sigmoid, Output.softmax) and output.value != activation:
        raise ConfigError(
            f"--output {output.value} cannot be what a model given with --{head.removeprefix('softmax-')} gives; say "
            f"--{head.removeprefix('softmax-')}-output {activation}, or logits"
        )
    classes = own.classes or (None if head == "softmax-powerset" else common.classes)
    values = None if output is None else "logits" if output is Output.logits else "probabilities"
    described = shared | _normalised(own, common) | {"values": values, "classes": names(classes)}
    return Wanted(
        path=str(own.path),
        described=settings.build(Described, described),
        tensor=own.tensor or common.tensor,
        **network,
    )


def _normalised(own: _Said, common: _Said) -> dict[str, Any]:
    """mean, std and scale as one head's options say them, else the common ones. Raises ConfigError."""
    for one in (own, common):
        numbers = {"mean": _numbers("--mean", one.mean), "std": _numbers("--std", one.std)}
        if one.normalisation is not None:
            if one.mean is not None or one.std is not None:
                raise ConfigError("--normalisation says mean and std; give either it or --mean and --std")
            return NORMALISATIONS[one.normalisation]
        if one.mean is not None or one.std is not None:
            return {key: value for key, value in numbers.items() if value is not None}
    return {}


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option} must be one number, or three such as 0.485,0.456,0.406, got {text!r}") from None


def _import(asked: Import, wanted: "dict[Head, Wanted]", *, limits: dict[str, Any], trust: bool, hardware: Any) -> None:
    from pipelines.datasets import open_dataset
    from pipelines.imports.models.opening import open_models
    from pipelines.imports.models.process import Limits
    from pipelines.uploads import in_use

    dataset = open_dataset(asked.place, asked.reading)
    checked = settings.build(settings.EvaluationConfig, asked.evaluation)
    with ExitStack() as stack:
        for path in (asked.place, *(Path(one.path) for one in wanted.values())):
            stack.enter_context(in_use(path))
        opened = open_models(
            wanted, dataset, checked.splits, stack,
            limits=settings.build(Limits, limits), trust=trust, hardware=hardware,
        )  # fmt: skip
        sources = {head: one.sources for head, one in opened.items()}
        every = [source for some in sources.values() for source in some.values()]
        said = next(iter(wanted.values())).described.background
        if said is not None and all(source.declaration.background is None for source in every):
            raise ConfigError(f"--background {said!r} is none of the channels; name every channel with --classes")
        for head, one in opened.items():
            for line in one.lines(head):
                typer.echo(line, err=True)
        imported = {
            "origin": "models", "heads": {head: one.imported() for head, one in opened.items()},
            "seeds": sorted({seed for some in sources.values() for seed in some}), "size": every[0].size,
        }  # fmt: skip
        asked.make(sources, imported)
