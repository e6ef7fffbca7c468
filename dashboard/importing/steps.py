"""Steps that an import of outputs and one of models share: channels held against the truth, a preview, the start."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import components, queries, state
from dashboard.boundary import callback
from dashboard.displays.verdict import finding_card
from dashboard.importing import follow
from dashboard.panels.importing import match, strange_names
from dashboard.panels.importing_words import for_page, left_aside, name_problem, new_name, verdict_on
from dashboard.pictures import jpeg, label_picture
from dashboard.safe import safe_color
from dashboard.theme import HEAD_TITLES
from pipelines import jobs
from pipelines.errors import PipelineError
from pipelines.imports.trial import Looked, Preview, Truth
from pipelines.schema import HEADS, Head


def ask_background(channels: Mapping[Head, Sequence[str] | None], truth: Truth, *, prefix: str) -> str | None:
    """Which channel that is no class means that nothing is there. prefix: of the widget's key."""
    strange = strange_names({head: some or () for head, some in channels.items()}, truth)
    if not strange:
        return None
    key = f"{prefix}_background"
    state.keep_valid(key, strange)
    return st.selectbox(
        "Channel that means that nothing is there", strange, index=None, key=key, placeholder="None of these"
    )


def fits(head: Head, channels: Sequence[str] | None, truth: Truth, background: str | None) -> bool:
    """Whether the channels fit the data set's classes; says at once what does not."""
    if channels is None:
        return True
    matched = match(head, channels, truth, background=background)
    if matched.problem is not None and all(channels):
        components.problem(for_page(matched.problem))
    return matched.problem is None


def show_findings(looked: Looked) -> None:
    """What speaks against an import, and what is odd."""
    good, lines = verdict_on(looked)
    for line in lines:
        components.problem(line)
    theme = state.theme()
    for head, seen in looked.heads.items():
        if seen.findings:
            components.head_legend([head], theme)
            components.cards([finding_card(one.model_dump()) for one in seen.findings], theme)
    if good:
        read = max((seen.looked for seen in looked.heads.values()), default=0)
        odd = any(seen.findings for seen in looked.heads.values())
        said = "This can be imported; read the warnings." if odd else "Nothing speaks against what you say."
        st.success(f"{said} {read} images were read; the import reads all of them.", icon=":material/check:")
    for line in left_aside(looked):
        st.caption(components.plain(line))


def show_preview(truth: Truth, looked: Looked, preview: Preview) -> None:
    """The truth beside what each head calls present, in one image."""
    colors = [safe_color(color) for color in truth.colors]
    shown: list[tuple[str, Any]] = [("Truth", preview.truth)]
    shown += [(HEAD_TITLES[head], preview.decided[head]) for head in HEADS if head in preview.decided]
    for column, (title, labels) in zip(st.columns(len(shown)), shown, strict=True):
        with column:
            picture = label_picture(preview.image, labels, colors, valid=preview.valid)
            components.picture(jpeg(picture), caption=title, alt=f"{title} of one image as coloured areas")
    rule = "the largest channel" if truth.kind == "exclusive" else "p above 0.5"
    components.paragraph(
        f"Image {looked.shown}, decided by {rule}. If colours are swapped or the picture is mirrored, the channels or "
        "the axes are others than you say.",
        state.theme(),
    )


def start(truth: Truth, arguments: Callable[[str], list[str]], *, label: str, prefix: str) -> None:
    """A name for the run, and the button that starts the job. arguments: its command line by name; prefix: of keys."""
    runs, key = queries.runs_folder(), f"{prefix}_name"
    if key not in st.session_state:
        st.session_state[key] = new_name(truth, runs)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Name of the run", key=key, max_chars=64, width=360, autocomplete="off")
        problem = name_problem(name, runs)
        st.button(
            label, type="primary", icon=":material/play_arrow:", key=f"{prefix}_start", disabled=problem is not None,
            on_click=_begin, args=(arguments, name, prefix),
        )  # fmt: skip
    if problem is not None:
        components.problem(problem)
    refused = st.session_state.pop(f"{prefix}_refused", None)
    if refused is not None:
        components.problem(refused)


@callback
def _begin(arguments: Callable[[str], list[str]], name: str, prefix: str) -> None:
    try:
        job = jobs.start(arguments(name), queries.runs_folder())
    except PipelineError as error:
        st.session_state[f"{prefix}_refused"] = str(error)
        return
    del st.session_state[f"{prefix}_name"]  # the next one gets a name of its own
    follow.started(job)
