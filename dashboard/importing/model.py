"""Networks: which head, how images go in, what comes out; tried on the first images, then run over all by a job."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import streamlit as st

from dashboard import components, state, upload
from dashboard.dataset import sources
from dashboard.dataset.kept import kept
from dashboard.displays.labels import SPLIT_TITLES
from dashboard.importing import places, steps
from dashboard.importing.channels import ask_channels
from dashboard.importing.truth import Chosen
from dashboard.panels.importing_models import (
    LIMITS,
    NORMALISATION_TITLES,
    SaidModel,
    SaidModels,
    for_model_page,
    in_page_words,
    lacking,
    model_facts,
    numbers,
    says_its_size,
)
from dashboard.panels.importing_words import verdict_on
from dashboard.theme import HEAD_TITLES
from pipelines.channels import Values
from pipelines.errors import PipelineError
from pipelines.imports.models.command import Normalisation
from pipelines.imports.models.opening import Inspection, inspect_model
from pipelines.imports.models.settings import Order
from pipelines.imports.trial import Truth, try_apart
from pipelines.schema import Head, Split
from pipelines.uploads import in_use

KINDS: Final = (".onnx", *sources.ARCHIVES)
_NUMBERS: Final = "In numbers …"
_ORDERS: Final[tuple[Order, ...]] = ("RGB", "BGR")
_TRIED: Final = "model_tried"
_MOST_KEPT: Final = 12

Found: TypeAlias = Inspection | str  # what a file tells, or why it cannot be opened, in one line


def draw(chosen: Chosen) -> None:
    """Steps 2 to 5."""
    st.header("2. The models")
    paths = _ask_places(chosen.truth)
    if not paths:
        components.paragraph(
            "An .onnx file of torch.onnx.export with external_data=False, or what save_pretrained of "
            "segmentation-models-pytorch wrote, as a zip. Each is opened in a process of its own with bounded memory. "
            "TorchScript and pickles can run any code and are opened on the command line only.",
            state.theme(),
        )
        return
    st.header("3. What they are")
    said = _ask_rest(chosen, paths)
    if said is None:
        return
    st.header("4. Try")
    if _try(chosen, said):
        st.header("5. Import")
        steps.start(chosen.truth, said.arguments, label="Run the models and import", prefix="model")


def _ask_places(truth: Truth) -> dict[Head, Path]:
    """Where the model of each head lies, of those that were brought."""
    one = upload.uploader(
        "model", "Model", kinds=KINDS,
        help="An .onnx file, or a zip or tar of a folder of save_pretrained; several one after the other.",
    )  # fmt: skip
    return places.ask(one, truth, prefix="model", what="its model")


def _ask_rest(chosen: Chosen, paths: Mapping[Head, Path]) -> SaidModels | None:
    """What is declared; None while something is missing or does not match."""
    found = {head: _inspect(head, path) for head, path in paths.items()}
    known = [one for one in found.values() if isinstance(one, Inspection)]
    splits, size, order = _ask_images(chosen.truth, known)
    if not splits:
        components.empty("No images", "Choose the images that are measured.")
        return None
    heads: dict[Head, SaidModel] = {}
    missing: list[str] = []
    for head, one in found.items():
        with st.container(border=True, key=f"model_said_{head}"):
            components.head_legend([head], state.theme())
            if isinstance(one, str):
                components.problem(for_model_page(one))
                continue
            heads[head], now = _ask_head(head, one, paths[head], chosen.truth)
            lacks = lacking(head, now, heads[head], binary=chosen.truth.kind == "binary")
            missing += [f"{HEAD_TITLES[head]}: say {lacks}."] if lacks else []
    background = steps.ask_background({head: one.channels for head, one in heads.items()}, chosen.truth, prefix="model")
    fits = [steps.fits(head, one.channels, chosen.truth, background) for head, one in heads.items()]
    if missing:
        components.bullets(missing, state.theme())
    if missing or not all(fits) or len(heads) < len(paths):
        return None
    return SaidModels(
        chosen.path, heads, background, size, order, splits, chosen.reading, chosen.reading_file
    )  # fmt: skip


def _inspect(head: Head, path: Path, tensor: str | None = None) -> Found:
    """What a model's file tells, kept for the session as long as the file stays as it is."""

    def find() -> Found:
        try:
            with in_use(path):
                return inspect_model(path, head=head, limits=LIMITS, tensor=tensor)
        except PipelineError as error:
            return str(error)

    key = f"{path} {head} {tensor}"
    return kept("model_inspections", key, [str(path)], find, most=_MOST_KEPT, words="Opening the model …")


def _ask_images(
    truth: Truth, found: list[Inspection]
) -> tuple[tuple[Split, ...], tuple[int, int] | None, Order | None]:
    """Splits, size and order of the colours, the same for all models."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        there: list[Split] = list(truth.images)
        splits: Any = st.pills(
            "Images that are measured", there, default=[one for one in there if one != "train"] or there,
            selection_mode="multi", key="model_splits", format_func=SPLIT_TITLES.__getitem__,
        )  # fmt: skip
        size = None
        told = any(says_its_size(one.facts) for one in found)
        if not told and st.toggle("Resize all", key="model_resized", help="Images and truth, before the network."):
            height = st.number_input("Height", 8, 16384, 512, key="model_height", width=120)
            width = st.number_input("Width", 8, 16384, 512, key="model_width", width=120)
            size = (int(height), int(width))
        order: Order | None = None
        if any(one.facts.read.order is None and one.facts.axes[0] != 1 for one in found):
            order = st.segmented_control(
                "Colours", _ORDERS, default="RGB", required=True, key="model_order",
                help="The order in which the networks were given them: RGB as a rule, BGR with OpenCV.",
            )  # fmt: skip
    return tuple(split for split in there if split in splits), size, None if order == "RGB" else order


def _ask_head(head: Head, found: Inspection, path: Path, truth: Truth) -> tuple[SaidModel, Inspection]:
    """What is said of one model, and what was found once its output is chosen."""
    said = SaidModel(path)
    if len(found.facts.outputs) > 1:
        key = f"model_tensor_{head}"
        state.keep_valid(key, found.facts.outputs)
        tensor = st.selectbox("Output", found.facts.outputs, index=None, key=key, placeholder="Choose one")
        if tensor is not None:
            again = _inspect(head, path, tensor)
            found, said = found if isinstance(again, str) else again, replace(said, tensor=tensor)
    components.facts_line(model_facts(found), state.theme())
    read = found.facts.read
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if read.values is None:
            said = replace(said, output=_ask_values(head))
        if (read.mean is None or read.std is None) and found.facts.dtype != "uint8":
            said = _ask_preparation(head, said)
    if found.untried is not None and (len(found.facts.outputs) < 2 or said.tensor):
        components.problem(for_model_page(found.untried))
    if read.classes is not None:
        components.paragraph(f"The file names its channels: {', '.join(read.classes)}.", state.theme())
    elif found.channels is not None and not (head == "sigmoid" and truth.kind == "binary" and found.channels == 1):
        said = replace(said, channels=ask_channels(head, found.channels, truth))
    return said, found


def _ask_values(head: Head) -> Values | None:
    activation = "sigmoid" if head == "sigmoid" else "softmax"
    titles: dict[Values, str] = {"logits": "Logits, before any", "probabilities": f"After its {activation}"}
    return st.segmented_control(
        "It ends", list(titles), key=f"model_values_{head}", format_func=titles.__getitem__,
        help="Whether the activation is part of the network.",
    )  # fmt: skip


def _ask_preparation(head: Head, said: SaidModel) -> SaidModel:
    ways: list[Normalisation | str] = [*NORMALISATION_TITLES, _NUMBERS]
    way = st.selectbox(
        "Images were prepared", ways, index=None, key=f"model_normalisation_{head}", placeholder="As in its training",
        format_func=lambda one: NORMALISATION_TITLES[one] if isinstance(one, Normalisation) else one, width=420,
        help="Another preparation than in training silently ruins every result, so it is never assumed.",
    )  # fmt: skip
    if isinstance(way, Normalisation) or way is None:
        return replace(said, normalisation=way)
    help = "One number or three, for images in 0 to 1."
    mean = st.text_input("Mean", key=f"model_mean_{head}", placeholder="0.485, 0.456, 0.406", help=help, width=200)
    std = st.text_input("Std", key=f"model_std_{head}", placeholder="0.229, 0.224, 0.225", help=help, width=200)
    return replace(said, mean=numbers(mean), std=numbers(std))


def _try(chosen: Chosen, said: SaidModels) -> bool:
    """Run the first images and show what comes out; whether an import may start."""
    asked = said.asked()
    words = asked.model_dump_json()
    if st.button("Try on the first images", key="model_try", icon=":material/fact_check:"):
        with st.spinner("Running the first images …"):
            looked, preview = try_apart(asked)
            st.session_state[_TRIED] = (words, (in_page_words(looked), preview))
    tried, answer = st.session_state.get(_TRIED, ("", None))
    if answer is None:
        return False
    if words != tried:
        components.empty("Changed since", "What you say is another than what was tried. Try again.")
        return False
    looked, preview = answer
    steps.show_findings(looked)
    if preview is not None:
        steps.show_preview(chosen.truth, looked, preview)
    return verdict_on(looked)[0]
