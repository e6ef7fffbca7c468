"""Validated settings of a run: options in, frozen models out."""

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

Size: TypeAlias = tuple[Annotated[int, Field(ge=8, le=16384)], Annotated[int, Field(ge=8, le=16384)]]


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainingConfig(Settings):
    """How the pair is trained. Both heads share every value except, if asked for, the learning rate."""

    architecture: str = "Unet"
    encoder: str = "resnet18"
    encoder_weights: str | None = None
    loss: Loss = "ce"
    softmax_rule: SoftmaxRule = "both"
    priority: tuple[str, ...] | None = None  # class names, first wins; None: the smallest class wins
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1)] = (0,)
    epochs: Annotated[int, Field(ge=1)] = 20
    batch_size: Annotated[int, Field(ge=1)] = 8
    size: Size | None = None  # (height, width) every image is resized to; None: its own size
    crop: Size = (256, 256)  # training crop when images keep their own size
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    learning_rates: dict[Head, Annotated[float, Field(gt=0)]] = {}  # overrides for single heads
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    augment: bool = True
    device: Device = "auto"
    precision: Precision = "auto"
    workers: Annotated[int, Field(ge=0)] = 0
    threads: Annotated[int, Field(ge=0)] = 0  # of arithmetic on the CPU; 0: one a core
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 60.0

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
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1)] = (0,)
    size: Size | None = None


class EvaluationConfig(Settings):
    """What is counted and how uncertainty is computed."""

    splits: Annotated[tuple[Split, ...], Field(min_length=1)] = ("val", "test")
    boundary_width: Annotated[int, Field(ge=1, le=64)] = 3  # pixels to each side of a truth boundary
    surface_tolerance: Annotated[float, Field(ge=0, le=64)] = 2.0  # pixels a surface may be off for the surface Dice
    cost_false_positive: Annotated[float, Field(gt=0)] = 1.0  # of one pixel; only their ratio matters
    cost_false_negative: Annotated[float, Field(gt=0)] = 1.0
    calibration_bins: Annotated[int, Field(ge=2, le=300)] = 15
    replicates: Annotated[int, Field(ge=100)] = 2000
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
