"""A run to code that uses one of its heads: network, loss, and how its output becomes labels."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipelines.config import TrainingConfig
from pipelines.counting.grid import STEPS
from pipelines.datasets.bands import RGB, Bands, stored_bands
from pipelines.errors import RunError
from pipelines.heads import HeadSpec
from pipelines.losses import LOSSES, Loss
from pipelines.schema import Head, Variant
from pipelines.sentences import one_line
from pipelines.store.files import models_folder
from pipelines.store.runs import Run

# Ingredients ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ingredients:
    """What the code of one trained network is made of.

    variant: of the probabilities that the thresholds cut. temperature: one number, or one a class for a sigmoid;
    1 where none was fitted. thresholds: one a class, p above it means that the class is there. by_argmax: whether the
    class with the largest p is taken instead, as on exclusive truth. weights: folder of the trained network inside the
    run, None when it is not there. mean, std: input normalisation, None when it is not known. bands: of the images.
    training: None for
    outputs that were imported: the network was trained elsewhere.
    """

    spec: HeadSpec
    seed: int
    seeds: tuple[int, ...]
    training: TrainingConfig | None
    variant: Variant
    temperature: float
    thresholds: tuple[float, ...]
    tuned: bool
    threshold_spread: float
    by_argmax: bool
    ignored: bool
    weights: str | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    bands: Bands = RGB


def ingredients_of(run: Run, head: Head, *, seed: int | None = None) -> Ingredients:
    """What the run knows of one head.

    seed: None for the one with the best score on validation, the first where no score is known.
    Raises RunError when the run has no such head or seed.
    """
    if head not in run.heads or (seed is not None and seed not in run.seeds):
        raise RunError(f"{run.name} has heads {', '.join(run.heads)} and seeds {run.seeds}, not {head} and {seed}")
    notes = {one: run.head_file(head, one) for one in run.seeds}
    if seed is None:
        seed = max(run.seeds, key=lambda one: (_score(notes[one]), -one))
    spec = run.spec(run.splits[0], head, seed)
    facts = run.facts
    temperature = facts["temperature"].get(head, {}).get(str(seed))
    variant: Variant = "raw" if temperature is None else "temperature"
    tuned = facts["thresholds"].get(variant, {}).get(head, {})
    here = tuned.get(str(seed), {})
    note = notes[seed] or {}
    training = run.config["training"]
    return Ingredients(
        spec=spec,
        seed=seed,
        seeds=run.seeds,
        training=None if training is None else TrainingConfig.model_validate(training),
        variant=variant,
        temperature=1.0 if temperature is None else float(temperature),
        thresholds=tuple(float(here.get(name, 0.5)) for name in spec.classes),
        tuned=bool(here),
        threshold_spread=_spread(tuned),
        by_argmax=facts["decision"] == "argmax",
        ignored=bool(run.dataset["ignored_share"]),
        weights=None if notes[seed] is None else models_folder(head, seed).as_posix(),
        mean=tuple(note["mean"]) if note else None,
        std=tuple(note["std"]) if note else None,
        bands=stored_bands(run.dataset),
    )


def _score(notes: dict[str, Any] | None) -> float:
    score = (notes or {}).get("best_score")
    return -1.0 if score is None else float(score)


def _spread(tuned: dict[str, dict[str, float]]) -> float:
    """Largest distance between the thresholds that two seeds take for the same class."""
    rows = list(tuned.values())
    names = rows[0] if rows else {}
    return max((max(row[name] for row in rows) - min(row[name] for row in rows) for name in names), default=0.0)


# Code ----------------------------------------------------------------------------------------------------------------

_WIDTH: Final = 90


def code_of(given: Ingredients) -> dict[str, str]:
    """Python source by title: "Model", "Loss", "Labels", each after the ones before it.

    It defines classes, model, loss(logits, target) and predict(logits), for logits (N, K, H, W). target is (N, C, H, W)
    float of 0 and 1 for a sigmoid, (N, H, W) int64 channel numbers for a softmax; -1 marks an ignored pixel.
    predict gives p and labels, each (N, C, H, W). Of a network that was trained elsewhere neither model nor loss is
    known: the code says so and defines classes and predict only.
    """
    return {"Model": _model(given), "Loss": _loss(given), "Labels": _labels(given)}


def _model(given: Ingredients) -> str:
    """The network; of one that was trained elsewhere its channels, in the order that predict takes."""
    spec, training = given.spec, given.training
    lines = ["import torch", "import torch.nn.functional as F", "", f"classes = {_quoted(spec.classes)}"]
    if spec.channels != spec.classes:
        lines.append(f"channels = {_quoted(spec.channels)}")
    if training is None:
        inverse = "p.log()" if spec.is_softmax else "torch.logit(p)"
        lines += [
            "# The network was trained elsewhere and its outputs were imported: its model is not known here.",
            f"# predict() takes its logits, (N, {len(spec.channels)}, H, W), in the order above. Of probabilities p "
            f"they are {inverse}.",
        ]
        return "\n".join(lines)
    of_timm = training.encoder_weights and training.encoder.startswith("tu-")
    weights = "True" if of_timm else _or_none(training.encoder_weights)
    inputs = "" if given.bands.count == 3 else f"in_channels={given.bands.count}, "
    lines += [
        "# The last layer returns logits: the activation belongs to the loss and to predict().",
        f"model = smp.create_model({json.dumps(training.architecture)}, encoder_name={json.dumps(training.encoder)}, "
        f"encoder_weights={weights}, {inputs}classes={len(spec.channels)})",
    ]
    if given.weights is not None:
        lines.append(
            f'# This run\'s network, seed {given.seed}: smp.from_pretrained(RUN_FOLDER + "/{given.weights}").eval()'
        )
    if given.mean is not None and given.std is not None:
        mean, std = _numbers(given.mean, 4), _numbers(given.std, 4)
        lines += [
            f"mean, std = torch.tensor([{mean}]), torch.tensor([{std}])",
            _input_words(given.bands),
        ]
    return "\n".join(["import segmentation_models_pytorch as smp", *lines])


def _input_words(bands: Bands) -> str:
    """How images go into the network."""
    if bands.are_rgb:
        return "# logits = model((image / 255 - mean[:, None, None]) / std[:, None, None]), images (N, 3, H, W) in RGB"
    names = ", ".join(one_line(name) for name in bands.names)
    return "\n".join(
        [
            f"# logits = model((image - mean[:, None, None]) / std[:, None, None]), images (N, {bands.count}, H, W) of",
            f"# {names}; in 0 to 1, scaled as the data set was read",
        ]
    )


def _loss(given: Ingredients) -> str:
    """The loss that the pair was trained with."""
    if given.training is None:
        return "# The network was trained elsewhere: its loss is not known here."
    loss = LOSSES[given.training.loss]
    body = _softmax_loss(given, loss) if given.spec.is_softmax else _sigmoid_loss(given, loss)
    definition = "" if loss.region is None else loss.region.definition + "\n\n\n"
    return definition + "\n".join(body)


def _sigmoid_loss(given: Ingredients, loss: Loss) -> list[str]:
    lines = ["def loss(logits, target):"]
    if given.ignored:
        lines += [
            "    seen = (target >= 0).all(dim=1, keepdim=True)  # -1 marks pixels that do not count",
            "    y = torch.where(seen, target, 0.0)",
        ]
    y = "y" if given.ignored else "target"
    terms = []
    if loss.pixel is not None:
        lines.append(f'    nll = F.binary_cross_entropy_with_logits(logits, {y}, reduction="none")')
        values = loss.pixel.code
        if given.ignored:
            lines.append(f"    nll = torch.where(seen, {values}, 0.0)")
            terms.append(f"nll.sum() / (seen.sum() * {len(given.spec.classes)}).clamp(min=1)")
        else:
            terms.append("nll.mean()" if values == "nll" else f"({values}).mean()")
    if loss.region is not None:
        p = "torch.where(seen, logits.sigmoid(), 0.0)" if given.ignored else "logits.sigmoid()"
        terms.append(f"soft_{loss.region.name}_loss({p}, {y})")
    return [*lines, f"    return {' + '.join(terms)}"]


def _softmax_loss(given: Ingredients, loss: Loss) -> list[str]:
    lines = [f"def loss(logits, target):  # target: {_target_words(given)}"]
    terms = []
    if loss.pixel is not None:
        values = loss.pixel.code
        if values != "nll" or given.ignored:
            lines.append('    nll = F.cross_entropy(logits, target, ignore_index=-1, reduction="none")')
            total = f"{values}.sum()" if values == "nll" else f"({values}).sum()"
            terms.append(f"{total} / (target >= 0).sum().clamp(min=1)")
        else:
            terms.append("F.cross_entropy(logits, target)")
    if loss.region is not None:
        name = loss.region.name
        lines += [
            "    seen = (target >= 0)[:, None]",
            f"    one_hot = F.one_hot(target.clamp(min=0), {len(given.spec.channels)}).movedim(-1, 1).float()",
            f"    p, y = {_in_classes(given, 'logits.softmax(dim=1)')}, {_in_classes(given, 'one_hot')}",
            f"    {name} = soft_{name}_loss(torch.where(seen, p, 0.0), torch.where(seen, y, 0.0))",
        ]
        terms.append(name)
        lines = [*_to_classes(given), *lines]
    return [*lines, f"    return {' + '.join(terms)}"]


def _target_words(given: Ingredients) -> str:
    spec = given.spec
    if spec.sets:
        return "number of the channel whose label set the pixel has"
    if spec.priority:
        order = " over ".join(repr(spec.classes[index]) for index in spec.priority)
        return f"number of a channel; where labels overlap, {order}"
    return "number of the channel"


def _in_classes(given: Ingredients, channels: str) -> str:
    return channels if given.spec.channels == given.spec.classes else f"to_classes({channels})"


def _to_classes(given: Ingredients) -> list[str]:
    """A function from channels to classes, nothing where they are the same."""
    spec = given.spec
    if spec.channels == spec.classes:
        return []
    if not spec.sets:
        return ["def to_classes(channels):", "    return channels[:, 1:]  # all but the background", "", ""]
    rows = [[float(index in members) for index in range(len(spec.classes))] for members in spec.sets]
    return [
        "def to_classes(channels):",
        f"    members = torch.tensor({rows})  # a row a label set, a column a class",
        '    return torch.einsum("nkhw,kc->nchw", channels, members.to(channels))',
        "",
        "",
    ]


def _labels(given: Ingredients) -> str:
    """From logits to probabilities and labels."""
    spec = given.spec
    there = given.training is not None and LOSSES[given.training.loss].region is not None  # the loss has defined it
    lines = [] if not spec.is_softmax or there else _to_classes(given)
    fitted = given.variant == "temperature"
    scaled = f"logits / {given.temperature:.4g}" if fitted else "logits"
    lines.append("def predict(logits):")
    if fitted:
        lines.append("    # The temperature was fitted on validation: it makes p honest and leaves the order as it is.")
    activated = f"({scaled}).sigmoid()" if fitted else "logits.sigmoid()"
    if spec.is_softmax:
        activated = _in_classes(given, f"({scaled}).softmax(dim=1)" if fitted else "logits.softmax(dim=1)")
    lines.append(f"    p = {activated}")
    if given.by_argmax:
        lines.append("    labels = F.one_hot(p.argmax(dim=1), len(classes)).movedim(-1, 1).bool()")
        return "\n".join([*lines, "    return p, labels"])
    steps = ", ".join(f"{threshold * STEPS:.0f}" for threshold in given.thresholds)
    why = "each the best for Dice on validation" if given.tuned else "not tuned: there was no validation split"
    lines += [
        f"    thresholds = torch.tensor([{steps}]).to(p) / {STEPS}  # {why}",
        "    return p, p > thresholds[:, None, None]",
    ]
    return "\n".join(lines)


def _numbers(values: Sequence[float], digits: int) -> str:
    return ", ".join(f"{value:.{digits}g}" for value in values)


def _quoted(names: Sequence[str]) -> str:
    """A list of strings, over several lines where it is long."""
    texts = [json.dumps(name, ensure_ascii=False) for name in names]
    line = ", ".join(texts)
    if len(line) <= _WIDTH:
        return f"[{line}]"
    rows = [""]
    for text in texts:
        if rows[-1] and len(rows[-1]) + len(text) + 2 > _WIDTH:
            rows.append("")
        rows[-1] += f"{text}, "
    return "[\n" + "\n".join(f"    {row.rstrip()}" for row in rows) + "\n]"


def _or_none(name: str | None) -> str:
    return "None" if name is None else json.dumps(name)
