"""A run, a head and a seed to all that its code needs."""

from dataclasses import dataclass
from typing import Any

from pipelines.config import TrainingConfig
from pipelines.errors import RunError
from pipelines.heads import HeadSpec
from pipelines.schema import Head, Variant
from pipelines.storage import Run
from pipelines.storage.places import models_folder


@dataclass(frozen=True)
class Ingredients:
    """What the code of one trained network is made of.

    variant: of the probabilities that the thresholds cut. temperature: one number, or one a class for a sigmoid;
    1 where none was fitted. thresholds: one a class, p above it means that the class is there. by_argmax: whether the
    class with the largest p is taken instead, as on exclusive truth. weights: folder of the trained network inside the
    run, None when it is not there. mean, std: input normalisation, None when it is not known. training: None for
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
    )


def _score(notes: dict[str, Any] | None) -> float:
    score = (notes or {}).get("best_score")
    return -1.0 if score is None else float(score)


def _spread(tuned: dict[str, dict[str, float]]) -> float:
    """Largest distance between the thresholds that two seeds take for the same class."""
    rows = list(tuned.values())
    names = rows[0] if rows else {}
    return max((max(row[name] for row in rows) - min(row[name] for row in rows) for name in names), default=0.0)
