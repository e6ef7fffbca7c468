"""What a user says of models, and what their files say, to words, to a trial and to the command that imports."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipelines.channels import Values
from pipelines.config import build
from pipelines.imports.models.command import NORMALISATIONS, Normalisation
from pipelines.imports.models.opening import Inspection
from pipelines.imports.models.process import Limits
from pipelines.imports.models.settings import Described, Facts, Order
from pipelines.imports.trial import AskedModel, AskedModels, Looked
from pipelines.reading import DataReading
from pipelines.schema import HEADS, Head, Split

_FLAGS: Final[dict[Head, str]] = {"sigmoid": "sigmoid", "softmax": "softmax", "softmax-powerset": "powerset"}
LIMITS: Final = Limits(memory=2 * 2**30, seconds=30, opening=60, threads=1)  # while somebody looks at the page

NORMALISATION_TITLES: Final[dict[Normalisation, str]] = {
    Normalisation.imagenet: "ImageNet: mean 0.485, 0.456, 0.406; std 0.229, 0.224, 0.225",
    Normalisation.unit: "0 to 1, nothing else (ToTensor)",
    Normalisation.symmetric: "−1 to 1: mean 0.5, std 0.5",
    Normalisation.bytes: "0 to 255, bytes as they are",
}

_OPTIONS: Final = (
    ("leave --size out, or export", "do not resize, or export"),
    ("give more with --memory, or", "use the command line, or"),
    ("or give more with --memory", "or use the command line, where it may take more"),
    ("smaller images with --size", "smaller images"),
    ("choose one with --tensor", "choose one"),
    ("choose one of these with --tensor", "choose one of these"),
    ("choose another output with --tensor", "choose another output"),
    ("give it more with --opening-seconds, or", "use the command line, where it may take longer, or"),
    ("give it more with --seconds, or", "use the command line, where it may take longer, or"),
    ("but --output says", "but you say"),
    ("with --classes", "in the table"),
    ("with --powerset-classes", "in the table"),
    ("but was given with --", "but was given as "),
    ("give it with --", "give it as "),
)


@dataclass(frozen=True)
class SaidModel:
    """What was said of one head's model; None where its file says it. channels: names in order. mean, std: where the
    normalisation is none of the customary ones.
    """

    path: Path
    output: Values | None = None
    channels: tuple[str, ...] | None = None
    normalisation: Normalisation | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    tensor: str | None = None


@dataclass(frozen=True)
class SaidModels:
    """Everything that was said. reading: how the data set is read; None: as its files say; reading_file: the same, kept
    for the command line. size: (height, width) images are resized to. order: of the colours.
    """

    dataset: Path
    heads: Mapping[Head, SaidModel] = field(default_factory=dict)
    background: str | None = None
    size: tuple[int, int] | None = None
    order: Order | None = None
    splits: tuple[Split, ...] = ("val", "test")
    reading: DataReading | None = None
    reading_file: Path | None = None

    def asked(self) -> AskedModels:
        """The same, for a trial on the first images. Raises ConfigError for what makes no sense."""
        heads = {}
        for head, one in self.heads.items():
            prepared = {"mean": one.mean, "std": one.std} if one.normalisation is None else (
                NORMALISATIONS[one.normalisation]
            )  # fmt: skip
            described = build(
                Described,
                prepared | {
                    "values": one.output, "classes": one.channels, "order": self.order, "size": self.size,
                    "background": self.background,
                },
            )  # fmt: skip
            heads[head] = AskedModel(path=str(one.path), described=described, tensor=one.tensor)
        return AskedModels(
            dataset=str(self.dataset), reading=self.reading, heads=heads, splits=self.splits, limits=LIMITS
        )

    def arguments(self, name: str) -> list[str]:
        """The command line after `python -m pipelines`; values are joined to options, so that none becomes one.

        Never with --trust: what can run code is opened on the command line only.
        """
        words = ["import-model", f"--name={name}", f"--dataset={self.dataset}", f"--splits={','.join(self.splits)}"]
        for head in HEADS:
            if head not in self.heads:
                continue
            one, flag = self.heads[head], _FLAGS[head]
            given: dict[str, Any] = {"": one.path, "-output": one.output, "-tensor": one.tensor}
            given["-classes"] = ",".join(one.channels) if one.channels else None
            given["-normalisation"] = None if one.normalisation is None else one.normalisation.value
            for part, numbers in (("-mean", one.mean), ("-std", one.std)):
                given[part] = None if numbers is None else ",".join(map(str, numbers))
            words += [f"--{flag}{part}={value}" for part, value in given.items() if value is not None]
        size = None if self.size is None else f"{self.size[0]}x{self.size[1]}"
        rest = {
            "reading": self.reading_file, "background": self.background, "size": size, "channels-order": self.order,
        }  # fmt: skip
        return words + [f"--{option}={value}" for option, value in rest.items() if value is not None]


def model_facts(found: Inspection) -> list[str]:
    """What was found in a model's file, for people."""
    facts = found.facts
    count = f"{found.channels} channel{'s' if found.channels != 1 else ''}" if found.channels else ""
    between = "" if found.low is None or found.high is None else f"{found.low:.3g} to {found.high:.3g} on a black image"
    return [
        f"recognised: {found.kind.title}", _input(facts), count, between.replace("-", "−"),
        f"the file says: {facts.read.values}" if facts.read.values else "",
    ]  # fmt: skip


def _input(facts: Facts) -> str:
    channels, height, width = facts.axes
    colours = {None: "", 1: "grey ", 3: "colour "}.get(channels, f"{channels}-channel ")
    size = f"{width}×{height} pixels only" if height and width else "any size"
    return f"takes {colours}images of {size}"


def says_its_size(facts: Facts) -> bool:
    """Whether a model takes images of one size only, or says at which it was trained."""
    return facts.read.size not in (None, "own") or None not in facts.axes[1:]


def lacking(head: Head, found: Inspection, said: SaidModel, *, binary: bool) -> str | None:
    """What has yet to be said of a model before it can be tried, as the end of "say …"; None when all is said."""
    read = found.facts.read
    if len(found.facts.outputs) > 1 and said.tensor is None:
        return "which of its outputs is meant"
    if said.output is None and read.values is None:
        return "whether it ends with its activation"
    given = said.normalisation is not None or (said.mean is not None and said.std is not None)
    prepared = given or (read.mean is not None and read.std is not None)
    if not prepared and found.facts.dtype != "uint8":
        return "how images were prepared in its training"
    alone = head == "sigmoid" and binary and found.channels == 1
    if not (said.channels and all(said.channels)) and not read.classes and not alone:
        return "what each channel is"
    return None


def for_model_page(message: str) -> str:
    """A message of the command line in the words of the page, which has fields and no options."""
    for option, words in _OPTIONS:
        message = message.replace(option, words)
    return message


def in_page_words(looked: Looked) -> Looked:
    """What a trial found, with every problem in the words of the page."""
    heads = {
        head: seen if seen.problem is None else seen.model_copy(update={"problem": for_model_page(seen.problem)})
        for head, seen in looked.heads.items()
    }
    problem = None if looked.problem is None else for_model_page(looked.problem)
    return looked.model_copy(update={"heads": heads, "problem": problem})


def numbers(text: str) -> tuple[float, ...] | None:
    """One or three numbers that were typed; None when it is anything else."""
    try:
        found = tuple(float(part) for part in text.replace(" ", ",").split(",") if part)
    except ValueError:
        return None
    return found if len(found) in (1, 3) and all(map(math.isfinite, found)) else None
