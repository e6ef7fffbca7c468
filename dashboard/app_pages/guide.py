"""How to read this: sigmoid and softmax to try out, when the difference matters, and every figure explained."""

from collections.abc import Callable
from typing import Any, Final, Literal
from urllib.parse import urlencode

import streamlit as st

from dashboard import components, state
from dashboard.boundary import callback, part
from dashboard.displays import guide, guide_parts
from dashboard.displays.guide import CLASSES, PRESETS, REACH, START, Setting
from dashboard.displays.guide_parts import Entry, Miniature
from dashboard.how_to_read import BY_PAGE, HOW_TO_READ, PAGE_OF, TITLES
from dashboard.menu import PAGES
from pipelines.one_pixel import Coding, Rule

_LOGITS: Final = ("z1", "z2", "z3")
_CODINGS: Final[dict[Coding, str]] = {"priority": "one wins", "split": "shared out"}
_STEP: Final = 2.0
_RULES: Final[tuple[Rule, ...]] = ("argmax", "threshold")
_STRETCHES: Final = (0.25, 0.33, 0.5, 0.67, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0)


# The requested figure, on top -----------------------------------------------------------------------------------------


def draw_requested(figure: str) -> None:
    """The explanation that a link asked for, and the way back to its figure."""
    if figure not in HOW_TO_READ:
        components.empty("No such figure", "This link names a figure that is not explained here; all others are below.")
        return
    page = PAGES[PAGE_OF[figure]].title
    with st.container(border=True, key="asked"):
        words, picture = st.columns(2, gap="large") if figure in MINIATURES else (st.container(), None)
        with words:
            st.html(guide_parts.requested_html(TITLES[figure], page, HOW_TO_READ[figure], theme))
            if state.RUN in st.session_state:
                link_to(PAGE_OF[figure], f"Back to {page}", icon=":material/arrow_back:")
        if picture is not None:
            with picture:
                MINIATURES[figure]()


def link_to(page: str, label: str, **options: Any) -> None:
    """A link to a page of the run that is shown."""
    query = {state.RUN: str(st.session_state[state.RUN])}
    st.page_link(f"app_pages/{page}.py", label=label, query_params=query, **options)


# Sigmoid and softmax in pictures ------------------------------------------------------------------------------------


@callback
def apply(setting: Setting) -> None:
    """Put every control where a setting has it."""
    values: dict[str, Any] = dict(zip(_LOGITS, setting.logits, strict=False))
    values |= {"channels": len(setting.logits), "temperature": setting.temperature, "cut": setting.threshold}
    values |= {"background": setting.background is not None, "coding": setting.coding}
    values["there"] = guide.names_of(setting.truth)
    if setting.background is not None:
        values["z0"] = setting.background
    st.session_state.update(values)


def choose_logits() -> tuple[tuple[float, ...], float | None]:
    """Logits of the classes, and of the background where the softmax has one."""
    number = state.choose("Classes", (1, 2, 3), key="channels", default=2)
    logits = tuple(
        slider(f"Logit of {name}", key, (-REACH, REACH), start, 0.1, format="%.1f")
        for name, key, start in zip(CLASSES[:number], _LOGITS, (*START.logits, 0.0), strict=False)
    )
    # A softmax over a single channel is always 1.
    with_background = number == 1 or st.toggle(
        "Background channel",
        value=True,
        key="background",
        bind="query-params",
        help="Of the softmax. Data whose pixels may have no label need one; where every pixel has exactly one class "
        "there is none.",
    )
    if not with_background:
        return logits, None
    return logits, slider("Logit of background", "z0", (-REACH, REACH), 0.0, 0.1, format="%.1f")


def slider(label: str, key: str, span: tuple[float, float], start: float, step: float, **options: Any) -> float:
    """A number, which the link keeps."""
    return float(st.slider(label, *span, start, step, key=key, bind="query-params", **options))


def choose_decision() -> tuple[float, float]:
    """Temperature and threshold."""
    about_t = "Divides all logits. Dotted marks in the bars show p at temperature 1."
    temperature = slider("Temperature", "temperature", (0.25, 4.0), 1.0, 0.25, help=about_t)
    about_cut = "The upright line in the bars. Argmax does not look at it."
    return temperature, slider("Call a label where p is above", "cut", (0.05, 0.95), 0.5, 0.05, help=about_cut)


def choose_truth(number: int) -> tuple[bool, ...]:
    """Which labels are truly there: none, one or several."""
    sets = {guide.names_of(flags): flags for flags in guide.truths(number)}
    chosen = state.choose(
        "Truly there",
        list(sets),
        key="there",
        default=guide.names_of(START.truth[:number]),
        help="What the decisions and the losses are held against.",
    )
    return sets[chosen]


def choose_coding() -> Coding:
    """What a softmax is taught about a pixel with several labels."""
    return state.choose("Softmax is taught", tuple(_CODINGS), key="coding", title=_CODINGS.__getitem__)


def shift_buttons(setting: Setting) -> None:
    """Add the same to every logit."""
    every = [*setting.logits, *([] if setting.background is None else [setting.background])]
    with st.container(horizontal=True):
        for label, by in ((f"Add {_STEP:g} to all", _STEP), (f"Take {_STEP:g} from all", -_STEP)):
            out = any(abs(logit + by) > REACH for logit in every)
            args = (guide.moved(setting, by),)
            st.button(label, on_click=apply, args=args, disabled=out, key=f"shift{by:+g}")
    st.caption("Softmax sees differences only: adding the same to all of its logits changes nothing. Sigmoid moves.")


def draw_losses(setting: Setting) -> None:
    """What the pixel costs each head in training."""
    head = ["Loss", "Sigmoid", "Softmax", "at its best"]
    components.small_table(head, guide.losses(setting), theme)
    st.caption(
        f"{guide.target_words(setting)} Cross-entropy of sigmoid (BCE) is a mean over classes, that of softmax is not: "
        "hold each against its own best, 0 for sigmoid. In nats; soft Dice of this pixel alone."
    )


def draw_maps(setting: Setting) -> None:
    """Which labels each head gives at any logits, for one class and for two."""
    if len(setting.logits) == 1:
        figure = guide.curve_figure(setting, theme)
        components.chart(figure, key="curve", alt=f"p against the logit. {guide.noticed(setting)[0]}", name="one-class")
        return
    if len(setting.logits) > 2:
        st.caption("With two classes a map of both logits is drawn here.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Every pixel at once", anchor="map", width="stretch")
        rule = state.choose("Softmax decides by", _RULES, key="softmax_by", title=_rule_title)
    for column, spec in zip(st.columns(2), setting.specs, strict=True):
        used: Rule = rule if spec.is_softmax else "threshold"
        figure = guide.plane_figure(spec, setting, theme, rule=used)
        given = guide.names_of(guide.called_by(setting, spec, used))
        alt = f"{spec.head.capitalize()} on the plane of both logits; at the chosen point it gives {given}."
        with column:
            components.chart(figure, key=f"plane_{spec.head}", alt=alt, name=f"map-{spec.head}")
    st.caption(
        "Each place is a pixel with these two logits, the mark is the one above. Fills are labels; where both are "
        "given they blend. A softmax has no such place, unless it is read at a threshold below 0.5."
    )


def _rule_title(rule: Rule) -> str:
    return "argmax" if rule == "argmax" else "p above the threshold"


@part
def in_pictures() -> None:
    """Logits under the reader's fingers, read by both heads."""
    presets, shown = st.container(horizontal=True, key="presets"), st.container()
    logit_column, reading_column, truth_column = st.columns((5, 5, 7), gap="medium")
    with logit_column:
        logits, background = choose_logits()
    with truth_column:
        truth = choose_truth(len(logits))
        coding = choose_coding() if sum(truth) > 1 else "priority"
    with reading_column:
        temperature, cut = choose_decision()
        setting = Setting(logits, background, truth, temperature, cut, coding)
        shift_buttons(setting)
    with truth_column:
        draw_losses(setting)
    with presets:
        for name, preset in PRESETS.items():
            kind: Literal["primary", "secondary"] = "primary" if setting == preset else "secondary"
            st.button(name, on_click=apply, args=(preset,), type=kind, key=f"preset_{name}")
    with shown:
        st.html(guide_parts.readings_html(guide.readings(setting, theme), theme))
        components.bullets(guide.noticed(setting), theme)
    draw_maps(setting)


# Miniatures ---------------------------------------------------------------------------------------------------------


@part
def try_forest() -> None:
    """An interval and a margin to move."""
    slot = st.container()
    difference = slider("Difference in Dice", "mini_difference", (-0.05, 0.05), 0.02, 0.002, format="%.3f")
    half = slider("Half the interval's width", "mini_width", (0.002, 0.04), 0.014, 0.002, format="%.3f")
    margin = slider("Smallest difference that matters", "mini_margin", (0.002, 0.03), 0.01, 0.002, format="%.3f")
    with slot:
        draw_miniature(guide_parts.forest(theme, difference=difference, half_width=half, margin=margin))


@part
def try_reliability() -> None:
    """Logits to make too large or too small."""
    slot = st.container()
    options: dict[str, Any] = {"key": "mini_stretch", "bind": "query-params", "format_func": "{:g}".format}
    stretch = st.select_slider("Logits multiplied by", _STRETCHES, value=2.0, **options)
    with slot:
        draw_miniature(guide_parts.reliability(theme, stretch=float(stretch)))


def draw_miniature(miniature: Miniature) -> None:
    """The picture under the word that it comes to."""
    color = {"sigmoid": theme.heads["sigmoid"], "softmax": theme.heads["softmax"]}.get(miniature.side, theme.muted)
    st.html(guide_parts.answer_html(miniature.answer, miniature.why, color, theme))
    picture = miniature.picture
    components.chart(picture.figure, key=picture.key, alt=picture.alt, name=picture.key)


MINIATURES: Final[dict[str, Callable[[], None]]] = {"forest": try_forest, "reliability": try_reliability}


# Every figure ---------------------------------------------------------------------------------------------------------


def draw_index(requested: str | None) -> None:
    """Every explanation by page; miniatures that are not on top already."""
    left = [name for name in MINIATURES if name != requested]
    for column, name in zip(st.columns(2, gap="large"), left, strict=False):
        with column:
            st.subheader(f"Try it: {TITLES[name].lower()}")
            MINIATURES[name]()
    st.markdown(" · ".join(f"[{PAGES[page].title}](#figures-{page})" for page in BY_PAGE))
    has_run = state.RUN in st.session_state
    kept = {state.RUN: str(st.session_state[state.RUN])} if has_run else {}
    for page, figures in BY_PAGE.items():
        with st.container(horizontal=True, vertical_alignment="center", key=f"group_{page}"):
            st.subheader(PAGES[page].title, anchor=f"figures-{page}", width="stretch")
            if has_run:
                link_to(page, "Open the page")
        cards = [
            Entry(name, title, text, f"?{urlencode(kept | {'figure': name})}")
            for name, (title, text) in figures.items()
        ]
        st.html(guide_parts.entries_html(cards, theme, marked=requested))


theme = state.theme()
requested = st.query_params.get("figure")
own = f".st-key-asked{{border-left:5px solid {theme.text}}}"
st.html(f"{guide_parts.style()}<style>{own}</style>")
st.title("How to read this")
if requested is not None:
    draw_requested(requested)
components.paragraph(
    "A segmentation network ends in one number for each class and pixel, its logit. The last layer turns logits into "
    "probabilities, and there are two: sigmoid asks of each class alone whether it is there; softmax shares one unit "
    "of probability out among all. Everything on the other pages follows from that.",
    theme,
)
st.markdown("[Try it](#try-it) · [When it matters](#when-it-matters) · [Figures explained](#figures-explained)")
st.header("Sigmoid and softmax in pictures", anchor="try-it")
st.caption(
    "Both heads read the same logits here. Trained with the one or the other, a network learns logits of its own; what "
    "a head is able to say stays as it is."
)
in_pictures()
st.header("When it matters", anchor="when-it-matters")
st.html(guide_parts.facts_html(guide_parts.facts(theme), theme))
st.header("Figures explained", anchor="figures-explained")
draw_index(requested)
