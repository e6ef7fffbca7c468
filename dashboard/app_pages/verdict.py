"""Verdict: which last layer, why, and what would change the answer."""

from typing import Final, cast

import streamlit as st

from dashboard import components, manage, queries, state
from dashboard.boundary import guarded
from dashboard.displays import base
from dashboard.displays import verdict as displays
from dashboard.elements import forest_plot, python_code
from dashboard.report.describe import short_facts
from dashboard.rounding import typeset
from dashboard.theme import HEAD_TITLES
from pipelines.heads import missing_head
from pipelines.judgement import Margin, Verdict
from pipelines.recipe import Ingredients, code_of
from pipelines.schema import Head, Split
from pipelines.verdict.reasons import FEWEST_SEEDS
from pipelines.verdict.rule import judge

_ECE: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
_BRIER: Final = (0.01, 0.02, 0.05, 0.1, 0.2)


def choose_margin() -> Margin:
    """The margins of practical equivalence."""
    dice, other = st.columns([3, 1], vertical_alignment="bottom")
    with dice:
        chosen = state.margin("Smallest difference in Dice that matters")
    with other, st.popover("More margins", width="stretch"):
        ece = st.select_slider("Classwise ECE", _ECE, value=0.01, key="margin_ece", bind="query-params")
        brier = st.select_slider(
            "Brier score, as a share of it", _BRIER, value=0.05, key="margin_brier", bind="query-params"
        )
    return Margin(dice=chosen, classwise_ece=ece, brier_relative=brier)


@guarded
def draw_seeds_to_come() -> None:
    """That a job is about to add seeds to this run, if one is."""
    from pipelines import jobs  # loaded only where they can matter: this page opens first

    if jobs.seeds_to_come(queries.runs.runs_folder(), run.name):
        st.caption("More seeds of this run are in line or being trained: the page Train shows how far they are.")


def draw_code(verdict: Verdict) -> None:
    """Code to copy for the head that won, or for the one that the reader takes where either will do."""
    st.header("Use it")
    winner: Head = verdict.contender if verdict.answer == "softmax" and verdict.contender else "sigmoid"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        head = state.choose("Head", run.heads, key="code_head", default=winner, title=HEAD_TITLES.__getitem__)
        best = queries.runs.ingredients(run, head, None).seed
        seed = int(state.choose("Seed", list(map(str, run.seeds)), key="code_seed", default=str(best)))
    ingredients = queries.runs.ingredients(run, head, seed)
    settled = None if verdict.missing else verdict.answer in ("sigmoid", "softmax")
    components.paragraph(advice(ingredients, settled=settled), theme)
    components.notes(base.untuned_note(run) if ingredients.tuned and not ingredients.by_argmax else "")
    python_code("\n\n\n".join(code_of(ingredients).values()), key="code")


def advice(ingredients: Ingredients, *, settled: bool | None) -> str:
    """What to know before copying. settled: whether the verdict chooses; None where there is nothing to choose from."""
    parts = ["The network's line, the loss it was trained with, and the decision with what validation tuned."]
    if ingredients.training is None:
        parts = ["From the logits of the network, which was trained elsewhere, to the decision that validation tuned."]
    if settled is False:
        parts.append("The verdict does not choose between the heads: either code serves.")
    if ingredients.by_argmax:
        parts.append("Each pixel gets the class with the largest p, so no threshold is needed.")
    elif ingredients.tuned and len(ingredients.seeds) > 1:
        parts.append(
            "Thresholds belong to the network of one seed; between seeds they differ by up to "
            f"{ingredients.threshold_spread:.2f}, so tune them again after training anew."
        )
    elif ingredients.tuned:
        parts.append("Tune the thresholds again on validation after training anew.")
    return " ".join(parts)


run = state.current_run()
theme = state.theme()
dataset = queries.runs.dataset(run)
slot = st.container()
margin = choose_margin() if missing_head(run.heads) is None else Margin()
verdict = judge(queries.runs.evidence(run), margin)
split = cast(Split, verdict.split)

with slot:
    answer = verdict.answer if verdict.answer in ("sigmoid", "softmax") else "neither"
    color = displays.color_of(answer, verdict, theme)
    above = displays.certainty(verdict)
    components.headline(typeset(verdict.headline), above=above, color=color, theme=theme, level=1)
    components.facts_line(short_facts(run, dataset, split)[1:], theme)
figures = displays.figures_of(run, theme, split=split, verdict=verdict)
if figures.pictures:
    components.show(figures, run=run.name, draw=forest_plot if verdict.contender else components.chart)
else:
    why = base.why_no_value(run, split, "any score of it")
    components.empty("There is nothing to draw", why or "No score of this run has a value.")

st.header("Why")
components.cards([displays.reason_card(reason, verdict, theme) for reason in verdict.reasons], theme)
if verdict.would_change:
    st.header("What is missing" if verdict.missing else "What would change this")
    components.bullets([typeset(line) for line in verdict.would_change], theme)
    if len(verdict.seeds) < FEWEST_SEEDS:
        draw_seeds_to_come()

draw_code(verdict)

st.header("Scores")
scores, readable = queries.scores.score_tables(run, split)
components.small_table(list(readable.columns), readable.to_numpy().tolist(), theme)
components.notes(base.absence_note(run, split))
components.explain("scores", scores, key="scores_raw", name=f"{run.name}-scores")

st.header("Send it")
manage.draw_export(run, margin=margin)
