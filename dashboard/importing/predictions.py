"""Outputs in files: which head, what the numbers are, which channel is what; checked, then imported by a job."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import streamlit as st

from dashboard import components, loaders, state, upload
from dashboard.dataset import sources
from dashboard.figures.pictures import label_picture
from dashboard.figures.theme import HEAD_TITLES
from dashboard.importing import follow, places
from dashboard.importing.channels import ask_channels
from dashboard.importing.looks import look
from dashboard.importing.truth import Chosen
from dashboard.panels.cards import finding_card
from dashboard.panels.importing import Said, SaidHead, match, strange_names
from dashboard.panels.importing_words import (
    for_page,
    lacking,
    left_aside,
    name_problem,
    new_name,
    seen_facts,
    verdict_on,
)
from dashboard.report.safe import safe_color
from pipelines import jobs
from pipelines.errors import PipelineError
from pipelines.imports.readers import FORMATS
from pipelines.imports.trial import Looked, Preview, Seen, Truth
from pipelines.misuse.declaration import Values
from pipelines.schema import HEADS, Head, Split

KINDS: Final = (*sources.ARCHIVES, ".npz", ".npy", ".safetensors", ".parquet")
_VALUES: Final[dict[Values, str]] = {
    "probabilities": "Probabilities", "logits": "Logits",
}  # fmt: skip
_SPLITS: Final[dict[Split, str]] = {"train": "Training", "val": "Validation", "test": "Test"}
_NAME: Final = "import_name"
_CHECKED: Final = "import_checked"


def draw(chosen: Chosen) -> None:
    """Steps 2 to 5."""
    st.subheader("2. The outputs")
    paths = _ask_places(chosen.truth)
    if not paths:
        return
    st.subheader("3. What they are")
    said = _ask_rest(chosen, paths)
    if said is None:
        return
    st.subheader("4. Check")
    if _check(chosen, said):
        st.subheader("5. Import")
        _start(chosen, said)


def _ask_places(truth: Truth) -> dict[Head, Path]:
    """Where the outputs of each head lie, of those that were brought."""
    one = upload.uploader(
        "import_outputs", "Outputs", kinds=KINDS,
        help="A zip or tar file, or one .npz, .npy, .safetensors or .parquet; several one after the other.",
    )  # fmt: skip
    return places.ask(one, truth, prefix="import", what="where its outputs are")


def _ask_rest(chosen: Chosen, paths: Mapping[Head, Path]) -> Said | None:
    """What is declared; None while something is missing or does not match."""
    splits, size, seed = _ask_images(chosen.truth)
    if not splits:
        components.empty("No images", "Choose the images that are measured.")
        return None
    facts = Said(
        chosen.path, {head: SaidHead(path, _format(head)) for head, path in paths.items()},
        seed=seed, size=size, splits=splits, reading=chosen.reading, reading_file=chosen.reading_file,
    )  # fmt: skip
    looked, _ = look(facts.asked())
    if looked.problem is not None:
        components.problem(for_page(looked.problem))
        return None
    heads: dict[Head, SaidHead] = {}
    missing: list[str] = []
    for head, seen in looked.heads.items():
        with st.container(border=True, key=f"import_said_{head}"):
            heads[head] = _ask_head(head, seen, paths[head], chosen.truth)
            lacks = lacking(head, seen, heads[head], binary=chosen.truth.kind == "binary")
            missing += [f"{HEAD_TITLES[head]}: say {lacks}."] if lacks and not seen.problem else []
    background = _ask_background(heads, chosen.truth)
    fits = all(_show_match(head, one, chosen.truth, background) for head, one in heads.items())
    if missing:
        components.bullets(missing, state.theme())
    if missing or not fits or any(seen.problem for seen in looked.heads.values()):
        return None
    return replace(facts, heads=heads, background=background)


def _ask_images(truth: Truth) -> tuple[tuple[Split, ...], tuple[int, int] | None, int | None]:
    """Splits, size and seed."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        there: list[Split] = list(truth.images)
        usual = [split for split in there if split != "train"] or there
        splits: Any = st.pills(
            "Images that are measured", there, default=usual, selection_mode="multi", key="import_splits",
            format_func=_SPLITS.__getitem__,
        )  # fmt: skip
        resized = st.toggle("All were resized", key="import_resized", help="The truth is then read at that size too.")
        size = None
        if resized:
            height = st.number_input("Height", 8, 16384, 512, key="import_height", width=120)
            width = st.number_input("Width", 8, 16384, 512, key="import_width", width=120)
            size = (int(height), int(width))
        seed = st.number_input(
            "Seed", 0, 2**31 - 1, None, key="import_seed", width=140, placeholder="0",
            help="Of files that lie in no folder called seed=N. Leave it empty for one training.",
        )  # fmt: skip
    return tuple(split for split in there if split in splits), size, None if seed is None else int(seed)


def _format(head: Head) -> str | None:
    """The format that was chosen in the place of the one that is recognised."""
    chosen = st.session_state.get(f"import_format_{head}")
    return chosen if chosen in FORMATS else None


def _ask_head(head: Head, seen: Seen, path: Path, truth: Truth) -> SaidHead:
    theme = state.theme()
    components.head_legend([head], theme)
    if seen.format is not None:
        components.facts_line(seen_facts(seen), theme)
    form = st.selectbox(
        "Format", list(FORMATS), index=None, key=f"import_format_{head}", placeholder="As recognised",
        format_func=lambda name: FORMATS[name].title,
    )  # fmt: skip
    if seen.problem is not None:
        components.problem(for_page(seen.problem))
        return SaidHead(path, form)
    values: Values | None = None
    if seen.values is None:
        values = st.segmented_control(
            "The numbers are", list(_VALUES), key=f"import_values_{head}", format_func=_VALUES.__getitem__,
            help="Probabilities: after the last activation. Logits: before it; log-probabilities are logits too.",
        )  # fmt: skip
    alone = head == "sigmoid" and truth.kind == "binary" and seen.count == 1
    if seen.channels is not None:
        components.paragraph(f"The files name their channels: {', '.join(seen.channels)}.", theme)
        return SaidHead(path, form, values)
    if alone or seen.count is None:
        return SaidHead(path, form, values)
    return SaidHead(path, form, values, ask_channels(head, seen.count, truth))


def _ask_background(heads: Mapping[Head, SaidHead], truth: Truth) -> str | None:
    strange = strange_names({head: one.channels or () for head, one in heads.items()}, truth)
    if not strange:
        return None
    state.keep_valid("import_background", strange)
    return st.selectbox(
        "Channel that means that nothing is there", strange, index=None, key="import_background",
        placeholder="None of these",
    )  # fmt: skip


def _show_match(head: Head, said: SaidHead, truth: Truth, background: str | None) -> bool:
    """Whether the channels fit the data set's classes; says at once what does not."""
    if said.channels is None:
        return True
    matched = match(head, said.channels, truth, background=background)
    if matched.problem is not None and all(said.channels):
        components.problem(for_page(matched.problem))
    return matched.problem is None


def _check(chosen: Chosen, said: Said) -> bool:
    """Read the first images and show them; whether an import may start."""
    asked = said.asked()
    if st.button("Check the first images", key="import_check", icon=":material/fact_check:"):
        st.session_state[_CHECKED] = (asked.model_dump_json(), look(asked, fresh=True))
    words, answer = st.session_state.get(_CHECKED, ("", None))
    if answer is None:
        return False
    if words != asked.model_dump_json():
        components.empty("Changed since", "What you say is another than what was checked. Check again.")
        return False
    looked, preview = answer
    show_findings(looked)
    if preview is not None:
        show_preview(chosen.truth, looked, preview)
    return verdict_on(looked)[0]


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
            st.image(picture, caption=title, width="stretch", alt=f"{title} of one image as coloured areas")
    rule = "the largest channel" if truth.kind == "exclusive" else "p above 0.5"
    components.paragraph(
        f"Image {looked.shown}, decided by {rule}. If colours are swapped or the picture is mirrored, the channels or "
        "the axes are others than you say.",
        state.theme(),
    )


def _start(chosen: Chosen, said: Said) -> None:
    runs = loaders.runs_folder()
    if _NAME not in st.session_state:
        st.session_state[_NAME] = new_name(chosen.truth, runs)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Name of the run", key=_NAME, max_chars=64, width=360, autocomplete="off")
        problem = name_problem(name, runs)
        st.button(
            "Start the import", type="primary", icon=":material/play_arrow:", key="import_start",
            disabled=problem is not None, on_click=_begin, args=(said, name),
        )  # fmt: skip
    if problem is not None:
        components.problem(problem)
    refused = st.session_state.pop("import_refused", None)
    if refused is not None:
        components.problem(refused)


def _begin(said: Said, name: str) -> None:
    try:
        job = jobs.start(said.arguments(name), loaders.runs_folder())
    except PipelineError as error:
        st.session_state["import_refused"] = str(error)
        return
    del st.session_state[_NAME]  # the next one gets a name of its own
    follow.started(job)
