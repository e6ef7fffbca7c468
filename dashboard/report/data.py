"""A run to all its tables by name, each with a line that says what it holds."""

from typing import Any, Final, NamedTuple

import pandas as pd

from dashboard import loaders
from dashboard.panels import Panel
from dashboard.report import describe
from dashboard.report.blocks import Report, Summary
from dashboard.report.html import explained, table_name
from pipelines.schema import TRAINING_SCHEMA
from pipelines.store import Run
from pipelines.verdict import Verdict

INDEX: Final = "index"
_FINDING: Final = ["severity", "code", "message"]


class Table(NamedTuple):
    """A table with what it holds, in a sentence or two."""

    frame: pd.DataFrame
    about: str


def tables_of(run: Run, report: Report) -> dict[str, pd.DataFrame]:
    """Every table of a run by name, `index` first, which lists the others; report: the run's own.

    Names are letters, digits and hyphens. Raises RunError when a file of the run is missing or damaged.
    """
    found = _tables(run, report)
    rows = [(f"{name}.csv", len(table.frame), table.about) for name, table in found.items()]
    index = pd.DataFrame(rows, columns=["file", "rows", "about"])
    return {INDEX: index} | {name: table.frame for name, table in found.items()}


def _tables(run: Run, report: Report) -> dict[str, Table]:
    dataset, facts = loaders.dataset(run), run.facts
    printed = {
        table_name(chapter.key, block.key if isinstance(block, Panel) else block.name): Table(
            block.table, explained(block.how)
        )
        for chapter in report.chapters
        for block in chapter.blocks
        if isinstance(block, Panel | Summary)
    }
    return {
        "verdict": Table(_verdict(report.verdict), "The answer, and the margins it was judged with."),
        "verdict-reasons": Table(
            pd.DataFrame([reason.model_dump() for reason in report.verdict.reasons]),
            "What speaks for which head; value, low and high where a number carries it.",
        ),
        **printed,
        "metrics": Table(
            loaders.metrics(run),
            "metrics.parquet: every metric of every head, seed, split, variant, region and class, with its 95% "
            "interval. Seed -1 averages over the seeds; heads called difference are sigmoid minus softmax.",
        ),
        "image-scores": Table(loaders.image_scores(run), "image_scores.parquet: scores of each image."),
        "training": Table(_training(run), "Loss of every step and validation score of every epoch; empty if loaded."),
        "temperatures": Table(describe.temperatures(facts), "Temperatures fitted on validation."),
        "tuned-thresholds": Table(describe.tuned_thresholds(facts), "Thresholds that were best on validation."),
        "data-classes": Table(pd.DataFrame(dataset["class_facts"]), "The classes in the truth, over all splits."),
        "data-splits": Table(_splits(dataset), "Images and pixels of each split, and pixels of each class in it."),
        "data-findings": Table(
            pd.DataFrame(dataset["findings"], columns=_FINDING), "What the check found in the data set."
        ),
        "output-findings": Table(_outputs(facts), "What is odd about the outputs of the networks (docs/misuse.md)."),
        "facts": Table(
            pd.DataFrame(describe.facts_of(run, dataset), columns=["group", "name", "value"]),
            "What tells this run from another.",
        ),
        "files": Table(pd.DataFrame(run.manifest["files"])[["path", "bytes", "sha256"]], "Every file of the run."),
    }


def _verdict(verdict: Verdict) -> pd.DataFrame:
    """One row a property: name, value."""
    kept = ("answer", "contender", "missing", "headline", "confidence", "images_needed", "split")
    rows = [(name, getattr(verdict, name)) for name in kept]
    rows += [("seeds", ", ".join(map(str, verdict.seeds)))]
    rows += [(f"margin_{name}", value) for name, value in verdict.margin.model_dump().items()]
    rows += [(f"would_change_{number}", line) for number, line in enumerate(verdict.would_change, start=1)]
    return pd.DataFrame(rows, columns=["name", "value"])


def _training(run: Run) -> pd.DataFrame:
    frame = run.training()
    return pd.DataFrame(columns=TRAINING_SCHEMA.names) if frame is None else frame


def _splits(dataset: dict[str, Any]) -> pd.DataFrame:
    """One row a split and class: split, images, groups, valid_pixels, ignored_pixels, class, class_pixels."""
    rows = [
        {name: one[name] for name in ("split", "images", "groups", "valid_pixels", "ignored_pixels")}
        | {"class": name, "class_pixels": pixels}
        for one in dataset["splits"]
        for name, pixels in one["class_pixels"].items()
    ]
    return pd.DataFrame(rows)


def _outputs(facts: dict[str, Any]) -> pd.DataFrame:
    rows = [
        {"split": split, "head": head} | {name: one.get(name) for name in _FINDING}
        for split, by_head in facts.get("findings", {}).items()
        for head, found in by_head.items()
        for one in found
    ]
    return pd.DataFrame(rows, columns=["split", "head", *_FINDING])
