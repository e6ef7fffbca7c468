"""Outputs in files: which head, what the numbers are, which channel is what; checked, then imported by a job."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import streamlit as st

from dashboard import components, state, upload
from dashboard.dataset import sources
from dashboard.displays.labels import SPLIT_TITLES
from dashboard.importing import places, steps
from dashboard.importing.channels import ask_channels
from dashboard.importing.looks import look
from dashboard.importing.truth import Chosen
from dashboard.panels.importing import Said, SaidHead
from dashboard.panels.importing_words import (
    for_page,
    lacking,
    seen_facts,
    verdict_on,
)
from dashboard.theme import HEAD_TITLES
from pipelines.channels import Values
from pipelines.imports.readers import FORMATS
from pipelines.imports.trial import Seen, Truth
from pipelines.schema import Head, Split

KINDS: Final = (*sources.ARCHIVES, ".npz", ".npy", ".safetensors", ".parquet")
_VALUES: Final[dict[Values, str]] = {
    "probabilities": "Probabilities", "logits": "Logits",
}  # fmt: skip
_CHECKED: Final = "import_checked"


def draw(chosen: Chosen) -> None:
    """Steps 2 to 5."""
    st.header("2. The outputs")
    paths = _ask_places(chosen.truth)
    if not paths:
        return
    st.header("3. What they are")
    said = _ask_rest(chosen, paths)
    if said is None:
        return
    st.header("4. Check")
    if _check(chosen, said):
        st.header("5. Import")
        steps.start(chosen.truth, said.arguments, label="Start the import", prefix="import")


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
    background = steps.ask_background(
        {head: one.channels for head, one in heads.items()}, chosen.truth, prefix="import"
    )
    fits = all(steps.fits(head, one.channels, chosen.truth, background) for head, one in heads.items())
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
            format_func=SPLIT_TITLES.__getitem__,
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
    steps.show_findings(looked)
    if preview is not None:
        steps.show_preview(chosen.truth, looked, preview)
    return verdict_on(looked)[0]
