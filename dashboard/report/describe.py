"""What a run says of itself to text: facts, commands, and how its numbers were made."""

import shlex
from pathlib import PurePath
from typing import Any, Final

from dashboard.displays.runs import declared, declared_heads, network_facts
from dashboard.rounding import count
from dashboard.theme import HEAD_TITLES
from pipelines.config import RunConfig
from pipelines.datasets.bands import stored_bands
from pipelines.schema import Split
from pipelines.sentences import KIND_TITLES
from pipelines.store.runs import Run

SPLIT_TITLES: Final[dict[Split, str]] = {"test": "test", "val": "validation", "train": "training"}
_SHOWN_SIZES: Final = 3
_FLAGS: Final = {"learning_rate": "lr", "learning_rates": "lr"}
_NO_OPTION: Final = ("weight_decay", "checkpoint_seconds", "calibration_bins", "bootstrap_seed")


def short_facts(run: Run, dataset: dict[str, Any], split: Split) -> tuple[str, ...]:
    """What a reader must know at first sight: run, data set, kind, classes, images, seeds, network, loss."""
    classes, seeds = len(dataset["classes"]), len(run.seeds)
    images = next(facts["images"] for facts in dataset["splits"] if facts["split"] == split)
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
    named = [(SPLIT_TITLES[facts["split"]], facts) for facts in dataset["splits"]]
    images = [f"{title} {count(facts['images'])}" for title, facts in named]
    groups = [f"{title} {count(facts['groups'])}" for title, facts in named if facts["groups"] is not None]
    return {
        "Data set": str(dataset["name"]),
        "Truth": KIND_TITLES[dataset["kind"]],
        "Classes": ", ".join(map(str, dataset["classes"])),
        "Bands": stored_bands(dataset).text(),
        "Images": f"{count(dataset['images'])}: {', '.join(images)}",
        "Groups": ", ".join(groups) or "none given",
        "Width × height": ", ".join(sizes) + (f" and {more} more" if more > 0 else ""),
    }


def _networks(run: Run) -> dict[str, str]:
    training = run.config["training"]
    facts = {"Heads": ", ".join(HEAD_TITLES[head] for head in run.heads), "Seeds": ", ".join(map(str, run.seeds))}
    if training is None:
        facts["Networks"] = "trained elsewhere; their outputs were imported"
        return facts | {HEAD_TITLES[head]: declared(told) for head, told in declared_heads(run.config).items()}
    facts["Network"] = f"{training['architecture']}, {training['encoder']}"
    facts["Weights"] = training["encoder_weights"] or "random at the start, the same for all heads"
    if run.training() is None:
        return facts | {"Training": "none: the networks were loaded"}
    size, crop = training["size"], training["crop"]
    rates = [f"{training['learning_rate']:g}", *(f"{k} {v:g}" for k, v in training["learning_rates"].items())]
    return facts | {
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
    """Options of the command `run` that differ from their defaults. config: of a run, as JSON."""
    usual = RunConfig(dataset="").model_dump(mode="json")
    options: list[str] = []
    for part in ("training", "evaluation"):
        for name, value in config[part].items():
            if name not in _NO_OPTION and name in usual[part] and value != usual[part][name]:
                options += _option(name, value)
    return options


def _option(name: str, value: Any) -> list[str]:
    flag = f"--{_FLAGS.get(name, name.replace('_', '-'))}"
    match value:
        case False:
            return [f"--no-{name}"]
        case dict():
            return [flag, ",".join(f"{key}={number:g}" for key, number in value.items())]
        case list():
            return [flag, ("x" if name in ("size", "crop") else ",").join(map(str, value))]
        case float():
            return [flag, f"{value:g}"]
    return [flag, str(value)]


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
