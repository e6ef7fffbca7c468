"""Validated settings of a run: options in, frozen models out.

A field with a description is an option of the command line too (`pipelines.options`), with its default and its help.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipelines import losses
from pipelines.errors import ConfigError
from pipelines.reading import DataReading
from pipelines.schema import Head, SoftmaxRule, Split

LOSSES: Final = tuple(losses.LOSSES)
if TYPE_CHECKING:
    Loss: TypeAlias = str
else:
    Loss = Literal[LOSSES]  # the table is what can be chosen: a loss is added there alone
Device: TypeAlias = Literal["auto", "cpu", "cuda", "mps"]
Precision: TypeAlias = Literal["auto", "bf16", "fp32"]

# How values are written on a command line ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Flag:
    """The name of a setting on the command line, where it is not that of its field.

    name: of an option, such as "--lr"; capital letters, such as "DATASET", make it an argument. also: a hidden option
    that says the same as the argument.
    """

    name: str
    also: str | None = None


@dataclass(frozen=True)
class Written:
    """A value that is written as one word. read raises ValueError for any other word; expected: what one looks like."""

    read: Callable[[str], Any]
    write: Callable[[Any], str]
    expected: str


def _read_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if match is None:
        raise ValueError(text)
    return int(match[1]), int(match[2])


def _read_rate(text: str) -> float | dict[str, float]:
    try:
        return float(text)
    except ValueError:
        return {head: float(rate) for head, rate in (part.split("=") for part in text.split(","))}


def _write_rate(value: float | dict[str, float]) -> str:
    if isinstance(value, dict):
        return ",".join(f"{head}={rate:g}" for head, rate in value.items())
    return f"{value:g}"


def _write_list(values: tuple[Any, ...]) -> str:
    return ",".join(map(str, values))


_SIZE: Final = Written(_read_size, lambda size: f"{size[0]}x{size[1]}", "HxW in pixels such as 256x320")
_SEEDS: Final = Written(lambda text: tuple(map(int, text.split(","))), _write_list, "whole numbers such as 0,1,2")
_NAMES: Final = Written(
    lambda text: tuple(name.strip() for name in text.split(",")), _write_list, "names between commas such as a,b"
)
_RATE: Final = Written(_read_rate, _write_rate, "a number or one a head such as sigmoid=0.001,softmax=0.002")

Side: TypeAlias = Annotated[int, Field(ge=8, le=16384)]
Size: TypeAlias = Annotated[tuple[Side, Side], _SIZE]  # (height, width)
Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**31)]
Seeds: TypeAlias = Annotated[tuple[Seed, ...], Field(min_length=1), _SEEDS]
Names: TypeAlias = Annotated[tuple[str, ...], _NAMES]

# Settings ------------------------------------------------------------------------------------------------------------


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)  # help is printed without building any


class TrainingConfig(Settings):
    """How the pair is trained. Both heads share every value except, if asked for, the learning rate."""

    architecture: Annotated[str, Field(description="Any architecture of segmentation-models-pytorch.")] = "Unet"
    encoder: Annotated[str, Field(description="Any encoder of segmentation-models-pytorch.")] = "resnet18"
    encoder_weights: Annotated[str | None, Field(description="Pretrained weights such as imagenet.")] = None
    loss: Annotated[Loss, Field(description="Loss family, each with its sigmoid and softmax form.")] = "ce"
    softmax_rule: Annotated[SoftmaxRule, Field(description="Softmax on overlapping labels.")] = "both"
    priority: Annotated[Names | None, Field(description="Class names, first wins; default: smallest wins.")] = None
    seeds: Annotated[Seeds, Field(description="Comma-separated seeds; three or more for a firm verdict.")] = (0,)
    epochs: Annotated[int, Field(ge=1, description="Passes over the training split.")] = 20
    batch_size: Annotated[int, Field(ge=1, description="Images in a batch.")] = 8
    size: Annotated[Size | None, Field(description="HxW every image is resized to; default: its own size.")] = None
    crop: Annotated[Size, Field(description="HxW of training crops when images keep their size.")] = (256, 256)
    learning_rate: Annotated[
        float,
        Flag("--lr"),
        _RATE,
        Field(gt=0, description="Learning rate, or one a head: sigmoid=0.001,softmax=0.002."),
    ] = 1e-3
    learning_rates: dict[Head, Annotated[float, Field(gt=0)]] = {}  # overrides for single heads
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    augment: Annotated[bool, Field(description="Flips, small rotations and scalings, brightness.")] = True
    device: Annotated[Device, Field(description="Where networks run.")] = "auto"
    precision: Annotated[Precision, Field(description="Arithmetic of training.")] = "auto"
    workers: Annotated[int, Field(ge=0, description="Processes that read images; 0: this one.")] = 0
    threads: Annotated[int, Field(ge=0, description="Threads of arithmetic on the CPU; 0: one a core.")] = 0
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 60.0

    @model_validator(mode="before")
    @classmethod
    def _rates_by_head(cls, values: Any) -> Any:
        """A learning rate may be given as one a head; label sets take softmax's unless they have their own."""
        rate = values.get("learning_rate") if isinstance(values, dict) else None
        if not isinstance(rate, dict):
            return values
        rates = rate | ({"softmax-powerset": rate["softmax"]} if "softmax" in rate else {}) | rate
        return {name: value for name, value in values.items() if name != "learning_rate"} | {"learning_rates": rates}

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError(f"seeds must differ, got {','.join(map(str, seeds))}")
        return seeds

    def learning_rate_of(self, head: Head) -> float:
        """Learning rate of one head: its own if one was given, else the common one."""
        return self.learning_rates.get(head, self.learning_rate)


class ImportedHead(Settings):
    """Where one head's outputs came from, and what they were said to be.

    path: file or folder, or name of a model, as it was given. format: how it was read (docs/imports.md).
    channels: name of every channel in the order of the files; background: the one that means "nothing here".
    notes: what else was said, such as the input normalisation of a network.
    """

    path: str
    format: str
    values: Literal["probabilities", "logits"]
    channels: tuple[str, ...]
    background: str | None = None
    notes: dict[str, str] = {}


class ImportConfig(Settings):
    """Outputs of networks that were trained elsewhere. size: (height, width) images are read at; None: their own."""

    origin: Literal["predictions", "models"] = "predictions"
    heads: Annotated[dict[Head, ImportedHead], Field(min_length=1)]
    seeds: Seeds = (0,)
    size: Size | None = None


class EvaluationConfig(Settings):
    """What is counted and how uncertainty is computed."""

    splits: Annotated[
        tuple[Split, ...], _NAMES, Field(min_length=1, description="Comma-separated splits to measure.")
    ] = ("val", "test")
    boundary_width: Annotated[int, Field(ge=1, le=64, description="Pixels to each side of a truth boundary.")] = 3
    surface_tolerance: Annotated[
        float, Field(ge=0, le=64, description="Pixels a surface may be off for surface Dice.")
    ] = 2.0
    # Of one pixel; only the ratio of the two matters.
    cost_false_positive: Annotated[float, Field(gt=0, description="Cost of a pixel called that is not there.")] = 1.0
    cost_false_negative: Annotated[float, Field(gt=0, description="Cost of a pixel missed.")] = 1.0
    calibration_bins: Annotated[int, Field(ge=2, le=300)] = 15
    replicates: Annotated[int, Field(ge=100, description="Bootstrap replicates.")] = 2000
    bootstrap_seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("calibration_bins")
    @classmethod
    def _on_the_grid(cls, bins: int) -> int:
        if 300 % bins:
            raise ValueError(f"bins must divide 300 (10, 12, 15, 20, 25, 30, 50, …), got {bins}")
        return bins


class RunConfig(Settings):
    """Everything that decides the content of a run: networks are trained (or loaded) by us, or outputs are imported."""

    dataset: str
    reading: DataReading | None = None  # how it is read; None: as its files say
    training: TrainingConfig | None = TrainingConfig()
    imported: ImportConfig | None = None
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.training is None) == (self.imported is None):
            raise ValueError("a run either has training settings or says what was imported, one of the two")
        return self

    @property
    def trained(self) -> TrainingConfig:
        """Settings of the training. Raises ConfigError for an import, whose networks were trained elsewhere."""
        if self.training is None:
            raise ConfigError("this run was imported; the settings its networks were trained with are not known here")
        return self.training

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the run, ascending."""
        known = self.imported.seeds if self.imported is not None else self.trained.seeds
        return tuple(sorted(known))


def build(model: type[BaseModel], values: dict[str, Any]) -> Any:
    """Validate values as a settings model; the first problem becomes one ConfigError line."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        raise ConfigError(f"{where}: {first['msg']} (got {first.get('input')!r}); correct it and run again") from None
