"""Thresholds and costs: which threshold to use, and whether the head still matters once it is tuned."""

from dataclasses import replace
from typing import Any, Final

import streamlit as st

from dashboard import components, state
from dashboard.boundary import callback, guarded, part
from dashboard.displays import base
from dashboard.displays import ranking as curves
from dashboard.displays import threshold_choice as choice
from dashboard.displays import thresholds as panels
from dashboard.displays.threshold_choice import (
    INNER,
    PER,
    Costs,
    Cuts,
    Look,
    Policy,
    cut_text,
    cuts_of_link,
    link_text,
    policies,
)
from dashboard.displays.thresholds import SCALES, Scale
from dashboard.theme import HEAD_SHORT, HEAD_TITLES, Theme
from pipelines.counting.grid import HALF_CELL
from pipelines.schema import Head

_LINK: Final = "thresholds"  # name in the URL of the thresholds of all heads and classes
_KEPT: Final = "_thresholds"
_LEAST_COST, _MOST_COST = 0.001, 1e6


# Thresholds, kept from run to run of the script -----------------------------------------------------------------------


def restore() -> None:
    """Thresholds from the link, or those that were chosen before; 0.5 for a run with other classes."""
    kept = st.session_state.get(_KEPT)
    fresh = kept is None
    if kept is None or kept["classes"] != look.classes:
        kept = {"classes": look.classes, "cuts": {}}
    halves = (HALF_CELL,) * len(look.classes)
    cuts: dict[Head, tuple[int, ...]] = {head: kept["cuts"].get(head, halves) for head in run.heads}
    text = st.query_params.get(_LINK)
    # Thresholds that another run's link still names say nothing of this one.
    if text is not None and (fresh or kept["cuts"]) and text != link_text(cuts):
        cuts |= {head: some for head, some in cuts_of_link(text, classes=len(look.classes)).items() if head in cuts}
    keep(cuts)


def keep(cuts: Cuts) -> None:
    """Note the thresholds, and write them into the link unless all are 0.5."""
    st.session_state[_KEPT] = {"classes": look.classes, "cuts": dict(cuts)}
    text = link_text(cuts)
    if text and st.query_params.get(_LINK) != text:
        st.query_params[_LINK] = text
    elif not text and _LINK in st.query_params:
        del st.query_params[_LINK]


def kept_cuts() -> dict[Head, tuple[int, ...]]:
    """Thresholds of every head of the run."""
    cuts: dict[Head, tuple[int, ...]] = st.session_state[_KEPT]["cuts"]
    return cuts


@callback
def moved(head: Head, key: str) -> None:
    """A slider was moved: of one class, or of all at once."""
    cuts = kept_cuts()
    some = list(cuts[head])
    for index in range(len(some)) if look.index is None else (look.index,):
        some[index] = int(st.session_state[key])
    keep(cuts | {head: tuple(some)})


@callback
def take(cuts: Cuts) -> None:
    """A button was pressed."""
    keep(kept_cuts() | dict(cuts))


def tuning_note() -> str:
    """Which thresholds are called tuned and are not."""
    text = base.untuned_note(run)
    more = "On validation it is cheapest never to call such a class, which says nothing of other images."
    return f"{text} {more}" if text else ""


# Drawing --------------------------------------------------------------------------------------------------------------


def threshold_slider(head: Head) -> None:
    """The threshold of one head for the class shown."""
    cuts = kept_cuts()[head]
    key = f"cut_{head}_{'all' if look.index is None else look.index}"
    shown = look.shown_cut(cuts)
    value = sorted(cuts)[len(cuts) // 2] if shown is None else shown
    if st.session_state.get(key) != value:
        st.session_state[key] = value
    now = "" if shown is not None else f", all classes (now {choice.threshold_said(look, cuts)})"
    st.select_slider(
        f"Threshold of {HEAD_TITLES[head].lower()}{now}", INNER, key=key, format_func=cut_text, on_change=moved,
        args=(head, key), help="A class is called present when its probability is above the threshold.",
    )  # fmt: skip


def threshold_buttons() -> None:
    """Ways to set the thresholds of all classes at once."""
    halves = (HALF_CELL,) * len(look.classes)
    tuned = {head: cuts for head in look.heads if (cuts := look.tuned_cuts[head]) is not None}
    with st.container(horizontal=True):
        st.button(
            "Reset to 0.5", on_click=take, args=(dict.fromkeys(look.heads, halves),), icon=":material/restart_alt:"
        )
        if tuned:
            st.button(
                "Take the tuned ones", on_click=take, args=(tuned,), icon=":material/tune:",
                help="The threshold with the greatest Dice on validation, of every class and head.",
            )  # fmt: skip
        if look.index is not None and len(look.classes) > 1:
            every = {head: (kept_cuts()[head][look.index],) * len(look.classes) for head in look.heads}
            st.button(
                "Use these for all classes", on_click=take, args=(every,), icon=":material/select_all:",
                help="Or choose every class above and move all at once.",
            )  # fmt: skip


@guarded
def draw_scores(cuts: Cuts) -> None:
    """What the chosen thresholds give, as numbers, beside how far p can be taken at its word."""
    numbers, words = st.columns([3, 2])
    with numbers:
        heads = [HEAD_SHORT[head] for head in look.heads]
        rows = choice.score_rows(look, cuts)
        last = "Difference (95% interval)" if len(heads) > 1 else "95% interval"
        components.small_table([look.title, *heads, last], rows, theme)
    with words:
        st.markdown("**Is p calibrated where Dice is best?**")
        components.bullets(calibration, theme)


def choose_costs() -> Costs:
    """What a false positive and a false negative cost."""
    noted = run.facts.get("costs", {})
    first = {name: min(max(float(value), _LEAST_COST), _MOST_COST) for name, value in noted.items()}
    options: dict[str, Any] = {"min_value": _LEAST_COST, "max_value": _MOST_COST, "step": 1.0, "format": "%g"}
    options["bind"] = "query-params"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width=220):
            fp = st.number_input(
                "Cost of a false positive", value=first.get("false_positive", 1.0), key="cost_fp", **options,
                help="A pixel called the class that is not. Only the ratio of the two costs moves a threshold.",
            )  # fmt: skip
        with st.container(width=220):
            fn = st.number_input(
                "Cost of a false negative", value=first.get("false_negative", 1.0), key="cost_fn", **options,
                help="A pixel of the class that is missed.",
            )  # fmt: skip
    return Costs(float(fp), float(fn))


@guarded
def draw_costs(found: list[Policy], price: Costs) -> None:
    """The cost curve beside its points as numbers, and which head is cheaper."""
    figure, numbers = st.columns([3, 2])
    panel = panels.costs(look, theme, found, price, scale=scale)
    with figure:
        components.show(panel, run=run.name)
    with numbers:
        head = [f"Cost per {PER:.0f} pixels", *(HEAD_SHORT[one] for one in look.heads)]
        components.small_table(head, choice.cost_rows(look, found), theme)
        components.bullets([choice.cheaper(look, one) for one in found], theme)


@part
def adjust() -> None:
    """Sliders, and all that follows them."""
    for column, head in zip(st.columns(2), look.heads, strict=False):
        with column:
            threshold_slider(head)
    threshold_buttons()
    cuts = kept_cuts()
    draw_scores(cuts)
    st.space("small")
    components.show(panels.scores(look, theme, cuts=cuts, scale=scale), run=run.name)
    panel = curves.curves(look, theme, cuts=cuts, near=near)
    if panel is not None:
        components.show(panel, run=run.name)
    elif look.index is None:
        st.caption("Choose one class to see its ROC and precision-recall curves with the chosen thresholds on them.")
    st.header("What mistakes cost")
    price = choose_costs()
    draw_costs(policies(look, cuts, price), price)


run = state.current_run()
theme: Theme = state.theme()
st.title("Thresholds and costs")
components.missing(run, "whether the head still matters once thresholds are tuned")
with st.container(horizontal=True, vertical_alignment="bottom"):
    split = state.split_of(run)
    seeds = state.seeds_of(run)
    contender = state.contender_of(run)
    variant = state.variant_of(run)
    scale: Scale = state.choose("Threshold axis", SCALES, key="scale", help="Log-odds spread out p near 0 and 1.")
whole = Look(run, split, seeds, contender, variant)
found = choice.answer(whole)
components.headline(
    found.text, theme=theme,
    above="Does the head still matter?" if len(whole.heads) > 1 else "What are tuned thresholds worth?",
    color=theme.muted if found.winner is None else theme.heads[found.winner],
)  # fmt: skip
components.paragraph(found.more, theme)
components.notes(base.absence_note(run, split) if whole.present.any() else "", tuning_note())
best = panels.choices(whole, theme, scale=scale)
if best is not None:
    components.show(best, run=run.name)

st.header("Move the thresholds")
with st.container(horizontal=True, vertical_alignment="bottom"):
    with st.container(width=340):
        chosen = state.class_of(whole.classes)
    near = (
        chosen != state.EVERY_CLASS
        and state.choose("ROC and precision-recall", ("whole", "near the points"), key="corner", title=str.capitalize)
        == "near the points"
    )
look = whole if chosen == state.EVERY_CLASS else replace(whole, class_name=chosen)
if not look.present.any() or (look.index is not None and not look.present[look.index]):
    components.empty(
        "These images do not have this class" if look.index is not None else "These images have no class",
        "Recall, Dice and curves need true pixels; choose " + ("another class." if whole.present.any() else "others."),
    )
calibration = choice.calibration_said(look, choice.choices(look))
if not calibration:
    calibration = [base.why_no_value(run, split, "Dice", look.class_name)]
restore()
adjust()

if len(look.classes) > 1:
    st.header("How well the heads rank pixels")
    ranked = curves.areas(whole, theme)
    if ranked is not None:
        components.show(ranked, run=run.name)
st.header("Leaving the unsure pixels out")
components.show(curves.selective_prediction(look, theme), run=run.name)
