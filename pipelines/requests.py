"""What takes long and can be asked for: values that the command line builds, forms fill, jobs keep and `execute` runs.

    request = RunRequest(dataset="sample_data/cells", training=TrainingConfig(epochs=5))
    request.command_line()       # ["run", "sample_data/cells", "--epochs=5"]
    read_request(json)           # the same from what a job keeps

A field with a description is an option of the command line, with its default and its help; `settings_of` lists them.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias, Union, get_args, get_origin

from pydantic import BeforeValidator, Field, SerializeAsAny, TypeAdapter, field_validator, model_validator
from pydantic.fields import FieldInfo

from pipelines.config import (
    EvaluationConfig,
    Flag,
    Names,
    RunConfig,
    Seed,
    Seeds,
    Settings,
    Size,
    TrainingConfig,
    Written,
)
from pipelines.errors import ConfigError
from pipelines.reading import DataReading, read_reading
from pipelines.schema import HEADS, Head

ROOT: Final = Path(__file__).resolve().parents[1]
SAMPLE_RUN: Final = "sample"
HEAD_WORDS: Final[dict[Head, str]] = {"sigmoid": "sigmoid", "softmax": "softmax", "softmax-powerset": "powerset"}
_HEAD_TITLES: Final[dict[Head, str]] = {
    "sigmoid": "a sigmoid",
    "softmax": "a softmax",
    "softmax-powerset": "a softmax over label sets",
}

Numbers: TypeAlias = Annotated[
    tuple[float, ...],
    Written(
        lambda text: tuple(map(float, text.split(","))),
        lambda numbers: ",".join(map(str, numbers)),
        "one number, or three such as 0.485,0.456,0.406",
    ),
]
Values: TypeAlias = Literal["probabilities", "logits"]
Output: TypeAlias = Literal["logits", "sigmoid", "softmax", "probabilities"]
Normalisation: TypeAlias = Literal["imagenet", "0-1", "-1-1", "0-255"]
_Reading = Annotated[
    Path | None, Field(description="JSON file that says how the data set is read (docs/data-formats.md).")
]
_Format = Annotated[str | None, Field(description="Format of the data set, if it is not the one recognised.")]
_Resume = Annotated[bool, Field(description="Go on with an interrupted attempt.")]
_Margin = Annotated[float | None, Field(description="Dice within which heads count as equal.")]

# Requests ------------------------------------------------------------------------------------------------------------


class Request(Settings):
    """Base of all requests. command: what it is called on the command line."""

    command: str
    makes_run: ClassVar[bool] = False  # its end is a run, or a run that has changed

    @property
    def run_name(self) -> str | None:
        """Name of the run that it makes or changes, once it has one."""
        return None

    @property
    def resumable(self) -> bool:
        """Whether it can go on from what an interrupted attempt has left."""
        return "resume" in type(self).model_fields

    def resumed(self, resume: bool = True) -> Self:
        """The same, going on from what was done, or from nothing; unchanged where it cannot go on."""
        return self.model_copy(update={"resume": resume}) if self.resumable else self

    def command_line(self) -> list[str]:
        """Words after `python -m pipelines` that ask for the same; values are joined to options, so that none becomes
        one. What is as by default is left out.
        """
        words = [self.command]
        for setting in settings_of(type(self)):
            value = setting.of(self)
            if value is None or value == setting.default:
                continue
            if setting.is_argument:
                text = setting.text(value)
                if text.startswith("-"):  # it would be taken for an option
                    text = f"./{text}" if setting.also is None else f"{setting.also}={text}"
                words.append(text)
            elif isinstance(value, bool):
                words.append(setting.flag if value else f"--no-{setting.flag.removeprefix('--')}")
            else:
                words.append(f"{setting.flag}={setting.text(value)}")
        return words

    def paths(self, folder: Path) -> list[Path]:
        """Everything in it that may be a path. folder: where relative ones start."""
        return [folder / Path(text).expanduser() for text in _texts(self.model_dump(mode="json")) if os.sep in text]


class _OnData(Request):
    """What is done with a data set. reading: file that says how it is read; data_format: its format."""

    def data_reading(self, folder: Path | None = None) -> DataReading | None:
        """How the data set is read; None: as its files say. Raises DatasetError."""
        file, data_format = getattr(self, "reading", None), getattr(self, "data_format", None)
        reading = None if file is None else read_reading((folder or Path()) / Path(file).expanduser())
        if data_format is None:
            return reading
        return (reading or DataReading()).model_copy(update={"format": data_format})


class _Training(_OnData):
    """A training, or an estimate of one."""

    dataset: Annotated[str, Flag("DATASET"), Field(description="Folder of the data set.")]
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    models: Annotated[Path | None, Field(description="Run or pair folder to load instead of training.")] = None
    reading: _Reading = None
    data_format: _Format = None

    @property
    def config(self) -> RunConfig:
        """Settings of the run. Raises DatasetError where the file that says how the data set is read cannot be."""
        return RunConfig(
            dataset=str(Path(self.dataset).expanduser().resolve()),
            reading=self.data_reading(),
            training=self.training,
            evaluation=self.evaluation,
        )


class RunRequest(_Training):
    """Train or load a pair on DATASET, predict, measure and judge."""

    command: Literal["run"] = "run"
    makes_run = True
    name: Annotated[str | None, Field(description="Name of the run; default: data set and a number.")] = None
    resume: _Resume = False

    @property
    def run_name(self) -> str | None:
        """Its name."""
        return self.name


class EstimateRequest(_Training):
    """Say how long `run` would take with the same options, and what it would need on disk, from a few real steps."""

    command: Literal["estimate"] = "estimate"


class SampleRequest(Request):
    """Make sure the sample run exists: train the first seed unless it is there, and the others in the background."""

    command: Literal["sample"] = "sample"
    makes_run = True

    @property
    def run_name(self) -> str | None:
        """That of the sample run."""
        return SAMPLE_RUN


class _OfRun(Request):
    makes_run = True
    name: Annotated[str, Flag("RUN", also="--name"), Field(description="Name of a run, or the path of its folder.")]

    @property
    def run_name(self) -> str | None:
        """Its name."""
        return self.name


class AddSeedsRequest(_OfRun):
    """Train more seeds of RUN, with its settings, and measure all of them again. What it replaces goes to the trash."""

    command: Literal["add-seeds"] = "add-seeds"
    seeds: Annotated[Seeds, Field(description="Comma-separated seeds that the run does not have.")]
    resume: _Resume = False


class TrainRequest(_OfRun):
    """Train the networks of a run that was begun and interrupted."""

    command: Literal["train"] = "train"


class PredictRequest(_OfRun):
    """Predict with the networks of a run that was begun and interrupted."""

    command: Literal["predict"] = "predict"


class EvaluateRequest(_OfRun):
    """Count, measure and judge again: an interrupted run, which it completes, or a whole one, which it replaces."""

    command: Literal["evaluate"] = "evaluate"


class CheckRequest(_OnData):
    """Say what is in DATASET, what is wrong with it, and what its truth alone says. Exit 2 if it has errors."""

    command: Literal["check"] = "check"
    dataset: Annotated[str, Flag("DATASET"), Field(description="Folder of the data set.")]
    size: Annotated[Size | None, Field(description="HxW every image is resized to first.")] = None
    reading: _Reading = None
    data_format: _Format = None
    save_reading: Annotated[Path | None, Field(description="Write how it is read to a file for --reading.")] = None
    save_report: Annotated[Path | None, Field(description="Write the report to a file as JSON, print nothing.")] = None
    as_json: Annotated[bool, Flag("--json"), Field(description="Print the report as JSON.")] = False


class ExportRequest(Request):
    """Write RUN as a report in one HTML file, and every table as CSV."""

    command: Literal["export"] = "export"
    name: Annotated[str, Flag("RUN"), Field(description="Name of a run, or the path of its folder.")]
    out: Annotated[Path, Field(description="Folder to write to; made if need be.")] = Path(".")
    html: Annotated[bool, Field(description="RUN-report.html, which opens in any browser.")] = True
    csv: Annotated[bool, Field(description="RUN-tables, every table as CSV.")] = True
    zipped: Annotated[bool, Flag("--zip"), Field(description="The tables as one zip file instead of a folder.")] = False
    force: Annotated[bool, Flag("--force"), Field(description="Replace what an earlier export wrote.")] = False
    margin: _Margin = None


# Imports -------------------------------------------------------------------------------------------------------------


class HeadOutputs(Settings):
    """One head's outputs in files; None where the files say it. classes: name of every channel, in order."""

    together: ClassVar[tuple[tuple[str, ...], ...]] = ()
    path: Annotated[Path, Field(description="File or folder of the outputs of {}.")]
    values: Annotated[Values | None, Field(description="After the last activation, or before it.")] = None
    classes: Annotated[Names | None, Field(description="Comma-separated name of every channel, in order.")] = None
    format: Annotated[str | None, Field(description="Format of the files, if it is not recognised.")] = None


class HeadModel(Settings):
    """One head's model; None where its file says it. path: a file, a folder, or a name on the Hugging Face hub.

    mean, std: where the normalisation is none of the customary ones. tensor: the output to read, of several.
    """

    together: ClassVar[tuple[tuple[str, ...], ...]] = (("normalisation", "mean", "std"),)  # one head says all of them
    path: Annotated[str, Field(description="Model with {}: file, folder or hub name.")]
    output: Annotated[Output | None, Field(description="What the network gives: before or after which activation.")] = (
        None
    )
    classes: Annotated[Names | None, Field(description="Comma-separated name of every channel, in order.")] = None
    normalisation: Annotated[Normalisation | None, Field(description="How images are prepared.")] = None
    mean: Annotated[
        Numbers | None, Field(description="Subtracted from images. One number or one a band, for images in 0 to 1.")
    ] = None
    std: Annotated[
        Numbers | None, Field(description="Images are divided by it. One number or one a band, for images in 0 to 1.")
    ] = None
    tensor: Annotated[str | None, Field(description="Name of the output to read, of several.")] = None

    @model_validator(mode="after")
    def _prepared_one_way(self) -> Self:
        if self.normalisation is not None and (self.mean is not None or self.std is not None):
            raise ConfigError("--normalisation says mean and std; give either it or --mean and --std")
        return self


class _Import(_OnData):
    """A run of what was made elsewhere."""

    makes_run = True
    name: Annotated[str, Flag("NAME", also="--name"), Field(description="Name of the run to make.")]
    dataset: Annotated[str, Field(description="Folder of the data set that holds images and truth.")]
    reading: _Reading = None
    data_format: _Format = None
    evaluation: EvaluationConfig = EvaluationConfig()
    background: Annotated[str | None, Field(description="The channel that means that nothing is there.")] = None
    resume: _Resume = False

    @property
    def run_name(self) -> str | None:
        """Its name."""
        return self.name

    @property
    def data_folder(self) -> Path:
        """Folder of the data set."""
        return Path(self.dataset).expanduser().resolve()

    @field_validator("heads", check_fields=False)
    @classmethod
    def _something(cls, heads: dict[Head, Any]) -> dict[Head, Any]:
        if not heads:
            raise ConfigError("there is nothing to import; give --sigmoid, --softmax or --powerset, or several of them")
        return {head: heads[head] for head in HEADS if head in heads}


class ImportRequest(_Import):
    """Make a run from outputs of networks that were trained elsewhere, of one head or of both."""

    command: Literal["import"] = "import"
    heads: dict[Head, HeadOutputs]
    seed: Annotated[Seed | None, Field(description="Seed of files that lie in no folder seed=N.")] = None
    size: Annotated[Size | None, Field(description="HxW every image was resized to; default: its own size.")] = None


class ModelImportRequest(_Import):
    """Make a run from models that were trained elsewhere: run them over DATASET's images, of one head or of both."""

    command: Literal["import-model"] = "import-model"
    heads: dict[Head, HeadModel]
    channels_order: Annotated[
        Literal["RGB", "BGR", "grey"] | None, Field(description="Of the input; default: RGB.")
    ] = None
    layout: Annotated[
        Literal["NCHW", "NHWC"] | None, Field(description="Of the input; default: as the file says, else NCHW.")
    ] = None
    size: Annotated[Size | None, Field(description="HxW images are resized to; default: the model's, or own.")] = None
    multiple: Annotated[int | None, Field(description="Height and width are padded to it; default: 32.")] = None
    architecture: Annotated[str | None, Field(description="Of the network of a state dict.")] = None
    encoder: Annotated[str | None, Field(description="Of the network of a state dict.")] = None
    seed: Annotated[Seed | None, Field(description="Seed of models that lie in no folder seed=N.")] = None
    trust: Annotated[bool, Flag("--trust"), Field(description="Open files that can run any code of their maker.")] = (
        False
    )
    memory: Annotated[float, Field(description="GiB that a model's process may take.")] = 4.0
    seconds: Annotated[float, Field(description="Seconds that one image may take.")] = 60.0
    opening_seconds: Annotated[float, Field(description="Seconds that a model may take to open.")] = 120.0
    device: Annotated[Literal["cpu", "cuda"], Field(description="Where networks run.")] = "cpu"
    threads: Annotated[int, Field(ge=0, description="Threads of arithmetic; 0: one a core.")] = 0

    @model_validator(mode="after")
    def _activations_fit(self) -> Self:
        for head, model in self.heads.items():
            activation = "sigmoid" if head == "sigmoid" else "softmax"
            if model.output in ("sigmoid", "softmax") and model.output != activation:
                word = HEAD_WORDS[head]
                raise ConfigError(
                    f"--output {model.output} cannot be what a model given with --{word} gives; say "
                    f"--{word}-output {activation}, or logits"
                )
        return self


REQUESTS: Final[tuple[type[Request], ...]] = (
    RunRequest,
    SampleRequest,
    CheckRequest,
    TrainRequest,
    PredictRequest,
    EvaluateRequest,
    AddSeedsRequest,
    ImportRequest,
    ModelImportRequest,
    ExportRequest,
    EstimateRequest,
)


@lru_cache
def _adapter() -> TypeAdapter[Request]:
    any_request = Annotated[Union[REQUESTS], Field(discriminator="command")]  # type: ignore[valid-type]  # noqa: UP007
    return TypeAdapter(any_request)


def read_request(content: str | bytes) -> Request:
    """A request from its JSON. Raises pydantic's ValidationError."""
    return _adapter().validate_json(content)


def _of_any_kind(value: Any) -> Request:
    return value if isinstance(value, Request) else _adapter().validate_python(value)


# A field of a record that holds any request.
AnyRequest: TypeAlias = Annotated[SerializeAsAny[Request], BeforeValidator(_of_any_kind)]


def sample_request(resume: bool = False) -> RunRequest:
    """The sample pair's first seed: small enough for two CPU cores and a few minutes."""
    training = TrainingConfig(
        encoder="tu-resnet10t",
        epochs=5,
        size=(96, 96),
        batch_size=4,
        loss="ce+dice",
        learning_rate=0.002,
        threads=1,
    )
    data = ROOT / "sample_data" / "cells"
    return RunRequest(dataset=str(data), name=SAMPLE_RUN, training=training, resume=resume)


# Settings of requests ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """One option or argument of a command.

    path: of the field in the request, such as ("training", "epochs"). flag: "--epochs", or "DATASET" for an argument.
    kind: type of one value; written: how it is written as a word, where it is none by itself.
    """

    path: tuple[str, ...]
    flag: str
    kind: Any
    written: Written | None
    default: Any
    required: bool
    help: str
    also: str | None = None

    @property
    def is_argument(self) -> bool:
        """Whether it has its place and no name on the command line."""
        return not self.flag.startswith("--")

    def of(self, request: Request) -> Any:
        """Its value in a request; None where there is none."""
        value: Any = request
        for part in self.path:
            value = value.get(part) if isinstance(value, dict) else getattr(value, part, None)
        if self.path[-1] == "learning_rate" and isinstance(request, _Training):
            return request.training.learning_rates or value
        return value

    def text(self, value: Any) -> str:
        """A value as one word."""
        return str(value) if self.written is None else self.written.write(value)


@lru_cache
def settings_of(model: type[Request]) -> tuple[Setting, ...]:
    """Options and arguments of a command, in the order of the model's fields."""
    return tuple(_settings(model, ()))


def common_settings(model: type[Request]) -> tuple[Setting, ...]:
    """Options that hold for every head that does not have its own: of `heads`, all but the path."""
    if "heads" not in model.model_fields:
        return ()
    return tuple(one for one in _settings(_head_model(model), ("*",)) if one.path[-1] != "path")


def with_common(heads: dict[Head, dict[str, Any]], common: dict[str, Any], model: type[Request]) -> dict[Head, Any]:
    """Values of each head that has a path, with the common ones where it has none of its own.

    Settings that belong together are all its own once one of them is. Label sets always name their own channels.
    """
    groups = _head_model(model).together
    filled = {}
    for head, own in heads.items():
        if own.get("path") is None:
            continue
        values = dict(own)
        for name, value in common.items():
            group = next((group for group in groups if name in group), (name,))
            is_own = any(own.get(part) is not None for part in group)
            if not is_own and not (name == "classes" and head == "softmax-powerset"):
                values[name] = value
        filled[head] = values
    return filled


def _settings(model: type[Settings], path: tuple[str, ...]) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        if name == "heads":
            for head, word in HEAD_WORDS.items():
                yield from _head_settings(_head_model(model), head, word)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from _settings(field.annotation, (*path, name))
        elif field.description:
            yield _setting(field, (*path, name))


def _head_model(model: type[Settings]) -> type[HeadOutputs] | type[HeadModel]:
    kind: type[HeadOutputs] | type[HeadModel] = get_args(model.model_fields["heads"].annotation)[1]
    return kind


def _head_settings(model: type[Settings], head: Head, word: str) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        if name == "path":
            text, flag = (field.description or "").format(_HEAD_TITLES[head]), f"--{word}"
        elif name == "classes" and head == "softmax-powerset":
            text, flag = "Label sets, such as background,a,b,a+b.", f"--{word}-{name}"
        else:
            text, flag = f"That of {_HEAD_TITLES[head]}; default: as --{name}.", f"--{word}-{name}"
        yield _setting(field, ("heads", head, name), flag=flag, help=text)


def _setting(field: FieldInfo, path: tuple[str, ...], *, flag: str | None = None, help: str = "") -> Setting:
    marks = [mark for mark in field.metadata if isinstance(mark, Flag)]
    kind, written = _kind(field.annotation, field.metadata)
    return Setting(
        path=path,
        flag=flag or (marks[0].name if marks else f"--{path[-1].replace('_', '-')}"),
        kind=kind,
        written=written,
        default=None if field.is_required() else field.default,
        required=field.is_required(),
        help=help or field.description or "",
        also=marks[0].also if marks else None,
    )


def _kind(annotation: Any, metadata: list[Any]) -> tuple[Any, Written | None]:
    """The type of a value without None and marks, and how it is written."""
    written = next((mark for mark in metadata if isinstance(mark, Written)), None)
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _kind(arguments[0], [*metadata, *arguments[1:]])
    if NoneType in arguments:
        (kind,) = (part for part in arguments if part is not NoneType)
        return _kind(kind, metadata)
    return annotation, written


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
