"""Outputs in files: which head, what the numbers are, which channel is what; checked, then imported by a job."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import streamlit as st

from dashboard import components, state, upload
from dashboard.forms import imports, sources
from dashboard.forms.imports import Chosen, for_page
from dashboard.theme import HEAD_TITLES
from pipelines.config import EvaluationConfig
from pipelines.imports.readers import FORMATS
from pipelines.imports.trial import Seen, Truth
from pipelines.requests import HeadOutputs, ImportRequest, Values
from pipelines.schema import Head
from pipelines.uploads import ARCHIVES

KINDS: Final = (*ARCHIVES, ".npz", ".npy", ".safetensors", ".pt", ".pth", ".parquet")
_VALUES: Final[dict[Values, str]] = {"probabilities": "Probabilities", "logits": "Logits"}


def draw(chosen: Chosen) -> None:
    """Steps 2 to 5."""
    st.header("2. The outputs")
    brought = upload.uploader(
        "import_outputs",
        "Outputs",
        kinds=KINDS,
        help="A zip or tar file, or one .npz, .npy, .safetensors, .pt or .parquet; several one after the other.",
    )
    paths = sources.ask_places(brought, chosen.truth, prefix="import", what="where its outputs are")
    if not paths:
        return
    st.header("3. What they are")
    request = _ask_rest(chosen, paths)
    if request is None:
        return
    st.header("4. Check")
    changed = "What you say is another than what was checked. Check again."
    words: dict[str, Any] = {"label": "Check the first images", "key": "import_check", "again": changed}
    if imports.tried(chosen.truth, request, lambda request: imports.look(request, fresh=True), **words):
        st.header("5. Import")
        imports.start(chosen.truth, request, label="Start the import", prefix="import")


def _ask_rest(chosen: Chosen, paths: Mapping[Head, Path]) -> ImportRequest | None:
    """The import, still without a name; None while something is missing or does not match."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        splits = imports.ask_splits(chosen.truth, prefix="import")
        resized = st.toggle("All were resized", key="import_resized", help="The truth is then read at that size too.")
        size = imports.ask_size("import") if resized else None
        seed = st.number_input(
            "Seed",
            0,
            2**31 - 1,
            None,
            key="import_seed",
            width=140,
            placeholder="0",
            help="Of files that lie in no folder called seed=N. Leave it empty for one training.",
        )
    if not splits:
        components.empty("No images", "Choose the images that are measured.")
        return None
    request = ImportRequest(
        name="",
        dataset=str(chosen.path),
        reading=None if chosen.reading is None else chosen.reading.file,
        evaluation=EvaluationConfig(splits=splits),
        heads={head: HeadOutputs(path=path, format=_format(head)) for head, path in paths.items()},
        seed=None if seed is None else int(seed),
        size=size,
    )
    looked, _ = imports.look(request)
    if looked.problem is not None:
        components.problem(for_page(looked.problem))
        return None
    heads: dict[Head, HeadOutputs] = {}
    missing: list[str] = []
    for head, seen in looked.heads.items():
        with st.container(border=True, key=f"import_said_{head}"):
            heads[head] = _ask_head(head, seen, paths[head], chosen.truth)
            lacks = lacking(head, seen, heads[head], chosen.truth)
            missing += [f"{HEAD_TITLES[head]}: say {lacks}."] if lacks and not seen.problem else []
    channels = {head: outputs.classes for head, outputs in heads.items()}
    background = imports.ask_background(channels, chosen.truth, prefix="import")
    complete = imports.is_complete(channels, missing, chosen.truth, background)
    if not complete or any(seen.problem for seen in looked.heads.values()):
        return None
    return request.model_copy(update={"heads": heads, "background": background})


def _format(head: Head) -> str | None:
    """The format that was chosen in the place of the one that is recognised."""
    chosen = st.session_state.get(f"import_format_{head}")
    return chosen if chosen in FORMATS else None


def _ask_head(head: Head, seen: Seen, path: Path, truth: Truth) -> HeadOutputs:
    theme = state.theme()
    components.head_legend([head], theme)
    if seen.format is not None:
        components.facts_line(imports.seen_facts(seen), theme)
    form = st.selectbox(
        "Format",
        list(FORMATS),
        index=None,
        key=f"import_format_{head}",
        placeholder="As recognised",
        format_func=lambda name: FORMATS[name].title,
    )
    if seen.problem is not None:
        components.problem(for_page(seen.problem))
        return HeadOutputs(path=path, format=form)
    values: Values | None = None
    if seen.values is None:
        values = st.segmented_control(
            "The numbers are",
            list(_VALUES),
            key=f"import_values_{head}",
            format_func=_VALUES.__getitem__,
            help="Probabilities: after the last activation. Logits: before it; log-probabilities are logits too.",
        )
    channels: tuple[str, ...] | None = None
    if seen.channels is not None:
        components.paragraph(f"The files name their channels: {', '.join(seen.channels)}.", theme)
    elif seen.count is not None and not imports.is_only_class(head, seen.count, truth):
        channels = imports.ask_channels(head, seen.count, truth)
    return HeadOutputs(path=path, format=form, values=values, classes=channels)


def lacking(head: Head, seen: Seen, outputs: HeadOutputs, truth: Truth) -> str | None:
    """What has yet to be said of a head before it can be checked, as the end of "say …"; None when all is said."""
    if outputs.values is None and seen.values is None:
        return "whether these are probabilities or logits"
    named = seen.channels or (outputs.classes and all(outputs.classes))
    if not named and not imports.is_only_class(head, seen.count, truth):
        return "what each channel is"
    return None
