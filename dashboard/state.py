"""Controls that pages share: their keys are the names in the URL, so that a copied link opens the same view."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeVar

import streamlit as st

from dashboard import queries
from dashboard.displays.base import SPLIT_TITLES, VARIANT_TITLES
from dashboard.theme import HEAD_TITLES, Theme, theme_of
from pipelines.heads import missing_head
from pipelines.schema import Head, Region, Split, Variant
from pipelines.sentences import capitalised
from pipelines.store.files import NAME
from pipelines.store.runs import Run, open_run

RUN: Final = queries.runs.RUN
_MISSING: Final = "missing_run"
BINS: Final = queries.counts.BINS
REGION_TITLES: Final[dict[str, str]] = {
    "all": "All pixels",
    "foreground": "Foreground",
    "boundary": "Boundary band",
    "interior": "Interior",
}
_MARGINS: Final = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1)
_MEAN: Final = "all"
EVERY_CLASS: Final = "every class"

T = TypeVar("T")


def theme() -> Theme:
    """Colours that fit the reader's page background."""
    return theme_of(st.context.theme.type)


def pick_run(names: Sequence[str]) -> None:
    """The run picker. The URL always names the run, so that a link means the same when newer runs are there."""
    wanted = st.query_params.get(RUN)
    if RUN not in st.session_state and wanted in names:
        st.session_state[RUN] = wanted
    elif RUN not in st.session_state and wanted is not None:
        st.session_state[_MISSING] = wanted
    elif RUN in st.session_state and st.session_state[RUN] not in names:  # renamed or deleted elsewhere
        st.session_state[_MISSING] = st.session_state[RUN]
    keep_valid(RUN, names)
    chosen = st.selectbox("Run", names, key=RUN, help="Newest first. The link in the address bar keeps it.")
    st.query_params[RUN] = chosen


def missing_run() -> str | None:
    """Why the run that a link or the session asked for is not shown, as a sentence; told once."""
    missing = st.session_state.pop(_MISSING, None)
    if missing is None:
        return None
    damage = queries.runs.damage_of(str(missing)) if re.fullmatch(NAME, str(missing)) else None
    return f"{capitalised(damage).rstrip('.')}." if damage else f"There is no run {missing} here."


def current_run() -> Run:
    """The run that was picked. Raises RunError when it has gone or is damaged."""
    return open_run(queries.runs.runs_folder(), st.session_state[RUN])


def choose(
    label: str,
    options: Sequence[T],
    *,
    key: str,
    default: T | None = None,
    title: Callable[[T], str] = str,
    help: str | None = None,
) -> T:
    """A row of buttons when there are few options, else a list; nothing to see when there is one."""
    if len(options) == 1:
        return options[0]
    first = default if default is not None and default in options else options[0]
    keep_valid(key, options)
    shared: dict[str, Any] = {"format_func": title, "key": key, "bind": "query-params", "help": help}
    if len(options) <= 4:
        chosen = st.segmented_control(label, options, default=first, required=True, **shared)
    else:
        chosen = st.selectbox(label, options, index=list(options).index(first), **shared)
    return first if chosen is None else chosen


def split_of(run: Run) -> Split:
    """Which images."""
    return choose("Images", run.splits, key="split", title=SPLIT_TITLES.__getitem__)


def seeds_of(run: Run) -> tuple[int, ...]:
    """One seed, or all of them added up."""
    if len(run.seeds) == 1:
        return run.seeds
    names = [_MEAN, *map(str, run.seeds)]
    chosen = choose("Seeds", names, key="seed", help="All adds up the pixels of every trained pair.")
    return run.seeds if chosen == _MEAN else (int(chosen),)


def seed_of(run: Run) -> int:
    """One seed."""
    return int(choose("Seed", [str(seed) for seed in run.seeds], key="pair"))


def variant_of(run: Run, *, by_class: bool = False) -> Variant:
    """As trained, or after temperature scaling where it was fitted; by_class: also after one temperature a class."""
    fitted: list[Variant] = ["raw"]
    fitted += ["temperature"] if run.facts.get("temperature") else []
    fitted += ["temperature-by-class"] if by_class and run.facts.get("temperature_by_class") else []
    help_text = "One temperature per head, fitted on validation, divides its logits."
    if by_class:
        help_text = (
            "Temperatures divide a head's logits; fitted on validation. By class: one for each class of sigmoid."
        )
    return choose("Probabilities", fitted, key="variant", title=VARIANT_TITLES.__getitem__, help=help_text)


def soft_of(run: Run) -> bool:
    """Whether probabilities are held against the soft truth, where there is one."""
    truths = ("soft", "hard") if run.facts.get("soft_truth") else ("hard",)
    help_text = "Soft: the share of observers who marked the pixel, or what grey masks say. Hard: yes or no."
    return choose("Truth", truths, key="truth", title=str.capitalize, help=help_text) == "soft"


def scale_of() -> Literal["linear", "log-odds"]:
    """Axes of reliability diagrams."""
    scales: tuple[Literal["linear", "log-odds"], ...] = ("linear", "log-odds")
    help_text = "Log-odds spread what is near 0 and 1, where most pixels are."
    return choose("Axes", scales, key="axes", title=lambda name: name.capitalize(), help=help_text)


def region_of(regions: Sequence[Region], *, width: int) -> Region:
    """Which pixels of an image."""
    help_text = (
        f"Boundary band: within {width} pixels of a border in the truth. Foreground: where a class is there or is "
        "predicted."
    )
    return choose("Pixels", regions, key="region", title=lambda name: REGION_TITLES[name], help=help_text)


def contender_of(run: Run, *, default: Head = "softmax") -> Head:
    """Which softmax is compared with sigmoid; where there is nothing to compare, which head is shown alone."""
    if missing_head(run.heads) is not None:
        return choose("Head", run.heads, key="against", default=default, title=lambda head: HEAD_TITLES[head])
    others = [head for head in run.heads if head != "sigmoid"]
    return choose("Compare sigmoid with", others, key="against", default=default, title=lambda head: HEAD_TITLES[head])


def class_of(names: Sequence[str]) -> str:
    """One class, or EVERY_CLASS."""
    options = [EVERY_CLASS, *names]
    if len(names) == 1:
        return names[0]
    keep_valid("class", options)
    return str(st.selectbox("Class", options, key="class", bind="query-params"))


def image_link(run: Run, split: Split, image: str, *, label: str = "Open the image", seed: int | None = None) -> None:
    """A link that opens one image on the page Images."""
    query = {RUN: run.name, "image": image}
    query |= {"split": SPLIT_TITLES[split]} if len(run.splits) > 1 else {}
    query |= {"pair": str(seed)} if seed is not None and len(run.seeds) > 1 else {}
    st.page_link("app_pages/images.py", label=label, icon=":material/image:", query_params=query)


def margin(label: str) -> float:
    """A margin of practical equivalence in a score, the verdict's own in the link."""
    return float(st.select_slider(label, _MARGINS, value=0.01, key="margin", bind="query-params"))


def threshold() -> float:
    """A threshold on p in steps of 0.02, each a multiple of 1/300."""
    value = st.slider(
        "Threshold on p",
        0.02,
        0.98,
        0.5,
        0.02,
        key="threshold",
        bind="query-params",
        help="A class is called present when its probability is above the threshold.",
    )
    return float(value)


def bins() -> int:
    """Number of equal-width bins."""
    return int(st.select_slider("Bins", BINS, value=15, key="bins", bind="query-params"))


def keep_valid(key: str, options: Sequence[Any]) -> None:
    """Forget a choice that another run made possible and this one does not."""
    if key in st.session_state and st.session_state[key] not in options:
        del st.session_state[key]
