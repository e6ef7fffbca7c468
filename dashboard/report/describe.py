"""What a run says of itself to text: facts, commands, and how its numbers were made."""

import shlex
from pathlib import PurePath
from typing import Any, Final

import pandas as pd

from dashboard.figures.theme import HEAD_TITLES
from dashboard.panels.origin import declared, declared_heads, network_facts
from dashboard.rounding import count
from pipelines.config import RunConfig
from pipelines.schema import Split
from pipelines.store import Run

KIND_TITLES: Final = {"exclusive": "one label a pixel", "binary": "one class", "overlapping": "labels may overlap"}
SPLIT_TITLES: Final[dict[Split, str]] = {"test": "test", "val": "validation", "train": "training"}
_SHOWN_SIZES: Final = 3


def short_facts(run: Run, dataset: dict[str, Any], split: Split) -> tuple[str, ...]:
    """What a reader must know at first sight: run, data set, kind, classes, images, seeds, network, loss."""
    classes, images, seeds = len(dataset["classes"]), images_in(dataset, split), len(run.seeds)
    return (
        f"run {run.name}",
        str(dataset["name"]),
        KIND_TITLES[dataset["kind"]],
        f"{classes} classes" if classes > 1 else "",
        plural(images, f"{SPLIT_TITLES[split]} image"),
        plural(seeds, "seed"),
        *network_facts(run.config),
    )


def plural(number: int, name: str) -> str:
    """A number of things, such as "1 seed" or "3 seeds"."""
    return f"{count(number)} {name}{'s' if number != 1 else ''}"


def images_in(dataset: dict[str, Any], split: Split) -> int:
    """Number of images of a split."""
    return int(next(one for one in dataset["splits"] if one["split"] == split)["images"])


def facts_of(run: Run, dataset: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Everything that tells this run from another: (group, name, value)."""
    return [
        *(("Data", name, value) for name, value in _data(dataset).items()),
        *(("Networks", name, value) for name, value in _networks(run).items()),
        *(("Run", name, value) for name, value in _identity(run).items()),
        *(("Software", str(name), str(version)) for name, version in run.manifest["software"].items()),
    ]


def _data(dataset: dict[str, Any]) -> dict[str, str]:
    sizes = [f"{width} × {height} ({count(images)})" for height, width, images in dataset["sizes"][:_SHOWN_SIZES]]
    more = len(dataset["sizes"]) - len(sizes)
    groups = {one["split"]: one["groups"] for one in dataset["splits"] if one["groups"] is not None}
    splits = (f"{SPLIT_TITLES[one['split']]} {count(one['images'])}" for one in dataset["splits"])
    return {
        "Data set": str(dataset["name"]),
        "Truth": KIND_TITLES[dataset["kind"]],
        "Classes": ", ".join(map(str, dataset["classes"])),
        "Images": f"{count(dataset['images'])}: {', '.join(splits)}",
        "Groups": ", ".join(f"{SPLIT_TITLES[split]} {count(some)}" for split, some in groups.items()) or "none given",
        "Width × height": ", ".join(sizes) + (f" and {more} more" if more > 0 else ""),
    }


def _networks(run: Run) -> dict[str, str]:
    training = run.config["training"]
    if training is None:
        return {
            "Heads": ", ".join(HEAD_TITLES[head] for head in run.heads),
            "Seeds": ", ".join(map(str, run.seeds)),
            "Networks": "trained elsewhere; their outputs were imported",
            **{HEAD_TITLES[head]: declared(one) for head, one in declared_heads(run.config).items()},
        }
    size, crop = training["size"], training["crop"]
    rates = [f"{training['learning_rate']:g}", *(f"{k} {v:g}" for k, v in training["learning_rates"].items())]
    found = {
        "Heads": ", ".join(HEAD_TITLES[head] for head in run.heads),
        "Seeds": ", ".join(map(str, run.seeds)),
        "Network": f"{training['architecture']}, {training['encoder']}",
        "Weights": training["encoder_weights"] or "random at the start, the same for all heads",
    }
    if run.training() is None:
        return found | {"Training": "none: the networks were loaded"}
    return found | {
        "Loss": training["loss"],
        "Training": f"{plural(training['epochs'], 'epoch')}, batches of {training['batch_size']}",
        "Learning rate": ", ".join(rates),
        "Images resized to": f"{size[1]} × {size[0]}" if size else f"their own size, crops {crop[1]} × {crop[0]}",
    }


def _identity(run: Run) -> dict[str, str]:
    created = str(run.manifest["created"]).replace("T", " ").replace("Z", " UTC")
    return {
        "Run": run.name,
        "Created": created,
        "Data fingerprint": str(run.manifest.get("data_fingerprint") or "not noted"),
        "Run checksum": run.checksum,
        "Format": f"version {run.manifest['schema_version']}",
    }


def commands(run: Run) -> tuple[str, ...]:
    """The command lines that make such a run and this report; the data set is named by its folder alone."""
    made = ["python", "-m", "pipelines", "run", PurePath(str(run.config["dataset"])).name or "DATASET"]
    lines = [] if run.training() is None else [shlex.join([*made, "--name", run.name, *options_of(run.config)])]
    return (*lines, shlex.join(["python", "-m", "pipelines", "export", run.name]))


def options_of(config: dict[str, Any]) -> list[str]:
    """Options that differ from their defaults."""
    plain = RunConfig(dataset="").model_dump(mode="json")
    found: list[str] = []
    for part in ("training", "evaluation"):
        for name, value in config[part].items():
            if name in plain[part] and value != plain[part][name] and name in _WRITTEN:
                found += _WRITTEN[name](value)
    rates = config["training"]["learning_rates"]
    if rates:
        found += ["--lr", ",".join(f"{head}={rate:g}" for head, rate in rates.items())]
    return found


def _plain(name: str) -> Any:
    return lambda value: [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]


def _listed(name: str) -> Any:
    return lambda value: [f"--{name}", ",".join(map(str, value))]


def _sized(name: str) -> Any:
    return lambda value: [f"--{name}", f"{value[0]}x{value[1]}"]


_WRITTEN: Final[dict[str, Any]] = {
    **{
        name: _plain(name.replace("_", "-"))
        for name in (
            "architecture", "encoder", "encoder_weights", "loss", "softmax_rule", "epochs", "batch_size", "device",
            "precision", "workers", "threads", "boundary_width", "surface_tolerance", "cost_false_positive",
            "cost_false_negative", "replicates",
        )
    },
    **{name: _listed(name) for name in ("seeds", "priority", "splits")},
    **{name: _sized(name) for name in ("size", "crop")},
    "learning_rate": _plain("lr"),
    "augment": lambda _value: ["--no-augment"],
}  # fmt: skip


def methods(run: Run, dataset: dict[str, Any], split: Split) -> tuple[str, ...]:
    """How the numbers were made, in paragraphs."""
    facts, resampling = run.facts, run.facts["resampling"][split]
    unit = {"images": "images", "groups": "groups of images"}.get(str(resampling["unit"]), str(resampling["unit"]))
    decision = (
        "A pixel gets the class with the largest probability (argmax)"
        if dataset["kind"] == "exclusive"
        else "A class is called wherever its probability is above 0.5"
    )
    tuned = (
        " Tuned thresholds are the best of each class on validation, and temperatures are fitted there; both are taken "
        "as known afterwards."
        if facts["temperature"]
        else ""
    )
    same = (
        " and the same for all heads, so that what makes an image hard for both cancels in the difference"
        if len(run.heads) > 1
        else ""
    )
    paired = "paired " if len(run.heads) > 1 else ""
    warning = f" Caution: {resampling['warning']}." if resampling["warning"] else ""
    return (
        f"{_origin(run)} {decision}. All numbers are of the {SPLIT_TITLES[split]} split, over all its valid pixels; "
        f"the mean of the classes leaves out those that do not occur in it.{tuned}",
        f"Intervals are 95% intervals of a {paired}bootstrap: {count(facts['replicates'])} replicates, each of as "
        f"many {unit} as there are ({count(resampling['count'])}), drawn with replacement{same}. Pixels "
        "are never drawn alone. The percentile intervals are stretched by the t distribution, which matters for few "
        f"{unit}; the spread of several seeds is added.{warning}",
        f"Calibration errors use {facts['calibration_bins']} bins of equal width; their intervals are corrected for "
        "the gaps that chance adds, so that a value can lie above its interval. The boundary band holds the pixels "
        f"within {facts['boundary_width']} of a border in the truth; a surface may be off by "
        f"{facts['surface_tolerance']:g} pixels in the surface Dice.",
    )


def _origin(run: Run) -> str:
    """Where the networks come from, and whether they were trained alike."""
    heads = " and ".join(HEAD_TITLES[head].lower() for head in run.heads)
    if run.training() is not None:
        return (
            f"The heads ({heads}) were trained as a matched pair: the same images in the same order, the same "
            "augmentation and the same weights at the start; they differ in the last layer and its form of the loss."
        )
    unknown = "; whether they were trained alike cannot be seen here" if len(run.heads) > 1 else ""
    if run.config["training"] is None:
        return f"Outputs of networks that were trained elsewhere ({heads}) were imported{unknown}."
    return f"The networks ({heads}) were loaded{unknown}."


def temperatures(facts: dict[str, Any]) -> pd.DataFrame:
    """Fitted temperatures: variant, head, seed, class ("all" for one of the whole head), temperature."""
    rows = [
        ("temperature", head, int(seed), "all", value)
        for head, by_seed in facts.get("temperature", {}).items()
        for seed, value in by_seed.items()
    ] + [
        ("temperature-by-class", head, int(seed), name, value)
        for head, by_seed in facts.get("temperature_by_class", {}).items()
        for seed, by_class in by_seed.items()
        for name, value in by_class.items()
    ]
    return pd.DataFrame(rows, columns=["variant", "head", "seed", "class", "temperature"])


def tuned_thresholds(facts: dict[str, Any]) -> pd.DataFrame:
    """Thresholds tuned on validation: variant, head, seed, class, threshold."""
    rows = [
        (variant, head, int(seed), name, value)
        for variant, by_head in facts.get("thresholds", {}).items()
        for head, by_seed in by_head.items()
        for seed, by_class in by_seed.items()
        for name, value in by_class.items()
    ]
    return pd.DataFrame(rows, columns=["variant", "head", "seed", "class", "threshold"])
