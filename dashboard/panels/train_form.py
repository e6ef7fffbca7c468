"""What is known of a data set to settings that make sense for it, and settings to the command line that trains."""

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple, TypeAlias

from pipelines.config import Loss
from pipelines.errors import ConfigError
from pipelines.estimate_data import DataFacts
from pipelines.jobs.start import bytes_of
from pipelines.losses import LOSSES
from pipelines.schema import SoftmaxRule, Split

Size: TypeAlias = tuple[int, int]  # (height, width)

ENCODERS: Final = (
    "tu-mobilenetv3_small_050", "tu-resnet10t", "resnet18", "resnet34", "resnet50", "efficientnet-b0", "mit_b0",
)  # fmt: skip
ARCHITECTURES: Final = ("Unet", "UnetPlusPlus", "FPN", "DeepLabV3Plus", "Segformer", "MAnet", "Linknet", "PSPNet")
LOSS_TITLES: Final[dict[Loss, str]] = {name: loss.title for name, loss in LOSSES.items()}
RULE_TITLES: Final[dict[SoftmaxRule, str]] = {
    "both": "Both softmaxes", "priority": "One label a pixel", "powerset": "Label sets",
}  # fmt: skip
MOST_SEEDS: Final = 10
_SIDES: Final = (64, 96, 128, 192, 256, 384, 512, 768, 1024)  # longer sides that are offered
_STEP: Final = 32  # what most networks need sides to be a multiple of
_SIDE_CPU, _SIDE_GPU = 128, 512
_STEPS_CPU, _STEPS_GPU = 300, 1500  # of one training
_BATCHES: Final = (8, 4, 2)  # images a step
_BATCHES_OF: Final = 8  # steps an epoch should have at least
_RARE: Final = 0.05  # share of pixels below which cross-entropy alone tends to leave a class out
_CROP: Final = 256
_ONE_THREAD: Final = 96 * 96 * 8  # pixels of a batch up to which a second thread gains nothing (docs/adr/0002)
_SPLITS: Final[tuple[Split, ...]] = ("val", "test")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/-]{0,99}")


class Choices(NamedTuple):
    """Settings of a training. size: None for the images' own; losses: each makes a run of its own."""

    size: Size | None
    epochs: int
    batch_size: int
    seeds: tuple[int, ...]
    losses: tuple[Loss, ...]
    rule: SoftmaxRule = "both"
    encoder: str = "tu-resnet10t"
    architecture: str = "Unet"
    weights: str | None = None
    rate: float = 0.002
    augment: bool = True


def suggest(facts: DataFacts, *, gpu: bool) -> Choices:
    """Settings that give a first verdict in minutes. gpu: whether there is one."""
    images = facts.images["train"]
    batch = next((size for size in _BATCHES if images >= _BATCHES_OF * size), _BATCHES[-1])
    steps = -(-images // batch)
    rare = min((share for name, share in facts.shares.items() if name != facts.background), default=1.0) < _RARE
    return Choices(
        size=_usual_size(facts, _SIDE_GPU if gpu else _SIDE_CPU),
        epochs=max(3, min(40, round((_STEPS_GPU if gpu else _STEPS_CPU) / steps))),
        batch_size=batch,
        seeds=(0, 1, 2),
        losses=("ce+dice",) if rare else ("ce",),
        encoder="resnet18" if gpu else "tu-resnet10t",
    )


def own_size(facts: DataFacts) -> Size:
    """The images' usual size."""
    return int(median(height for height, _ in facts.sizes)), int(median(width for _, width in facts.sizes))


def size_options(facts: DataFacts) -> list[Size | None]:
    """Sizes that are offered: None for the images' own, and smaller ones of about their shape, small to large."""
    height, width = own_size(facts)
    longest = max(height, width)
    smaller = [_scaled((height, width), side) for side in _SIDES if side < longest]
    return [*dict.fromkeys(smaller), None]


def size_words(size: Size | None, facts: DataFacts) -> str:
    """A size for a list, width first as pictures are spoken of."""
    if size is not None:
        return f"{size[1]} × {size[0]}"
    height, width = own_size(facts)
    if len(set(facts.sizes)) > 1:
        return f"their own, about {width} × {height}"
    return f"their own, {width} × {height}"


def crop_words(size: Size | None, facts: DataFacts) -> str:
    """What images of their own size are trained on, where that is not the whole of them; else empty."""
    height, width = own_size(facts)
    return f"trained on crops of {_CROP} × {_CROP}" if size is None and max(height, width) > _CROP else ""


def steps_of(choices: Choices, facts: DataFacts) -> int:
    """Steps of one seed's training, about."""
    return -(-facts.images["train"] // choices.batch_size) * choices.epochs


def bytes_needed(choices: Choices, facts: DataFacts, *, parameters: int | None = None) -> int:
    """Bytes on disk that the run of one loss will need at most."""
    height, width = choices.size or own_size(facts)
    images = sum(facts.images[split] for split in _SPLITS)
    return bytes_of(
        images, float(images * height * width), kind=facts.kind, classes=len(facts.classes), seeds=len(choices.seeds),
        rule=choices.rule, parameters=parameters,
    )  # fmt: skip


def arguments_of(
    choices: Choices, facts: DataFacts, *, data: Path, reading: Path | None, loss: Loss, name: str | None = None
) -> list[str]:
    """Command line after `python -m pipelines`. reading: file that says how the data is read; None: as it says itself.

    Values are joined to their options, so that none becomes an option. Raises ConfigError for a word that is none.
    """
    for what, word in (("encoder", choices.encoder), ("architecture", choices.architecture)):
        if not _WORD.fullmatch(word):
            raise ConfigError(f"{word!r} is no {what}; give the name of one, such as {ENCODERS[1]} or Unet")
    said = ["run", str(data)]
    said += [] if reading is None else [f"--reading={reading}"]
    said += [] if name is None else [f"--name={name}"]
    said += [] if choices.size is None else [f"--size={choices.size[0]}x{choices.size[1]}"]
    said += [
        f"--epochs={choices.epochs}", f"--batch-size={choices.batch_size}",
        f"--seeds={','.join(map(str, choices.seeds))}", f"--loss={loss}", f"--lr={choices.rate:g}",
        f"--encoder={choices.encoder}", f"--architecture={choices.architecture}",
    ]  # fmt: skip
    said += [] if choices.weights is None else [f"--encoder-weights={choices.weights}"]
    said += [f"--softmax-rule={choices.rule}"] if facts.kind == "overlapping" else []
    said += [] if choices.augment else ["--no-augment"]
    return said + (["--threads=1"] if _pixels(choices) <= _ONE_THREAD else [])


def run_names(stem: str, losses: Sequence[Loss]) -> list[str]:
    """A name for the run of each loss; stem alone where there is one."""
    return [stem] if len(losses) == 1 else [f"{stem[:55]}-{loss.replace('+', '-')}" for loss in losses]


def _pixels(choices: Choices) -> int:
    height, width = choices.size or (_CROP, _CROP)
    return height * width * choices.batch_size


def _usual_size(facts: DataFacts, longest: int) -> Size | None:
    """Their own size where that is small and one and the same, else a smaller one."""
    height, width = own_size(facts)
    if max(height, width) <= longest and len(set(facts.sizes)) == 1:
        return None
    return _scaled((height, width), min(longest, *(side for side in (_SIDES[-1], max(height, width)))))


def _scaled(own: Size, side: int) -> Size:
    """About the same shape with a longer side of so many pixels, both sides multiples of _STEP."""
    factor = side / max(own)
    height, width = (max(_STEP, round(one * factor / _STEP) * _STEP) for one in own)
    return height, width
