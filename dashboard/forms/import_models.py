"""Networks: which head, how images go in, what comes out; tried on the first images, then run over all by a job."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import streamlit as st

from dashboard import components, state, upload
from dashboard.forms import imports, sources
from dashboard.forms.imports import FIELDS, Chosen
from dashboard.forms.sources import kept
from dashboard.theme import HEAD_TITLES
from pipelines.config import EvaluationConfig
from pipelines.errors import PipelineError, worded
from pipelines.imports.models.opening import Inspection, inspect_model
from pipelines.imports.models.process import Limits
from pipelines.imports.models.settings import Facts, Order
from pipelines.imports.trial import Looked, Preview, Truth, look_apart
from pipelines.requests import HeadModel, ModelImportRequest, Normalisation, Values
from pipelines.schema import Head, Split
from pipelines.uploads import ARCHIVES, in_use

KINDS: Final = (".onnx", *ARCHIVES)
# Of a model's process while somebody looks at the page.
BOUNDS: Final = {"memory": 2.0, "seconds": 30.0, "opening_seconds": 60.0, "threads": 1}
LIMITS: Final = Limits(memory=2 * 2**30, seconds=30, opening=60, threads=1)
_NUMBERS: Final = "In numbers …"
_ORDERS: Final[tuple[Order, ...]] = ("RGB", "BGR")
_MOST_KEPT: Final = 12
_PREPARATIONS: Final[dict[Normalisation, str]] = {
    "imagenet": "ImageNet: mean 0.485, 0.456, 0.406; std 0.229, 0.224, 0.225",
    "0-1": "0 to 1, nothing else (ToTensor)",
    "-1-1": "−1 to 1: mean 0.5, std 0.5",
    "0-255": "0 to 255, bytes as they are",
}
_FIELDS: Final = FIELDS | {
    "output": "“It ends”",
    "normalisation": "“Images were prepared”",
    "mean": "“Mean”",
    "std": "“Std”",
    "tensor": "“Output”",
    "size": "“Resize all”",
    "trust": "--trust",  # the message says that this is for the command line only
}

Found: TypeAlias = Inspection | str  # what a file tells, or why it cannot be opened, in one line


def draw(chosen: Chosen) -> None:
    """Steps 2 to 5."""
    st.header("2. The models")
    brought = upload.uploader(
        "model",
        "Model",
        kinds=KINDS,
        help="An .onnx file, or a zip or tar of a folder of save_pretrained; several one after the other.",
    )
    paths = sources.ask_places(brought, chosen.truth, prefix="model", what="its model")
    if not paths:
        components.paragraph(
            "An .onnx file of torch.onnx.export with external_data=False, or what save_pretrained of "
            "segmentation-models-pytorch wrote, as a zip. Each is opened in a process of its own with bounded memory. "
            "TorchScript and pickles can run any code and are opened on the command line only.",
            state.theme(),
        )
        return
    st.header("3. What they are")
    request = _ask_rest(chosen, paths)
    if request is None:
        return
    st.header("4. Try")
    changed = "What you say is another than what was tried. Try again."
    words: dict[str, Any] = {"label": "Try on the first images", "key": "model_try", "again": changed}
    if imports.tried(chosen.truth, request, _try, **words):
        st.header("5. Import")
        imports.start(chosen.truth, request, label="Run the models and import", prefix="model")


def for_model_page(message: str) -> str:
    """A message of the command line in the words of the page, which has fields and no options."""
    return worded(message, _FIELDS)


def _ask_rest(chosen: Chosen, paths: Mapping[Head, Path]) -> ModelImportRequest | None:
    """The import, still without a name; None while something is missing or does not match."""
    found = {head: _inspect(head, path) for head, path in paths.items()}
    splits, size, order = _ask_images(chosen.truth, [one for one in found.values() if isinstance(one, Inspection)])
    if not splits:
        components.empty("No images", "Choose the images that are measured.")
        return None
    heads: dict[Head, HeadModel] = {}
    missing: list[str] = []
    for head, one in found.items():
        with st.container(border=True, key=f"model_said_{head}"):
            components.head_legend([head], state.theme())
            if isinstance(one, str):
                components.problem(for_model_page(one))
                continue
            heads[head], now = _ask_head(head, one, paths[head], chosen.truth)
            lacks = lacking(head, now, heads[head], chosen.truth)
            missing += [f"{HEAD_TITLES[head]}: say {lacks}."] if lacks else []
    channels = {head: model.classes for head, model in heads.items()}
    background = imports.ask_background(channels, chosen.truth, prefix="model")
    if not imports.is_complete(channels, missing, chosen.truth, background) or len(heads) < len(paths):
        return None
    return ModelImportRequest(
        name="",
        dataset=str(chosen.path),
        reading=None if chosen.reading is None else chosen.reading.file,
        evaluation=EvaluationConfig(splits=splits),
        heads=heads,
        background=background,
        size=size,
        channels_order=order,
    )


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
        splits = imports.ask_splits(truth, prefix="model")
        size = None
        fixed = any(says_its_size(one.facts) for one in found)
        if not fixed and st.toggle("Resize all", key="model_resized", help="Images and truth, before the network."):
            size = imports.ask_size("model")
        order: Order | None = None
        asked = [one for one in found if one.facts.read.order is None and one.facts.axes[0] != 1]
        if asked and truth.bands.count == 3:
            order = st.segmented_control(
                "Colours",
                _ORDERS,
                default="RGB",
                required=True,
                key="model_order",
                help="The order in which the networks were given them: RGB as a rule, BGR with OpenCV.",
            )
    return splits, size, None if order == "RGB" else order


def _ask_head(head: Head, found: Inspection, path: Path, truth: Truth) -> tuple[HeadModel, Inspection]:
    """What is said of one model, and what was found once its output is chosen."""
    given: dict[str, Any] = {}
    if len(found.facts.outputs) > 1:
        key = f"model_tensor_{head}"
        state.keep_valid(key, found.facts.outputs)
        tensor = st.selectbox("Output", found.facts.outputs, index=None, key=key, placeholder="Choose one")
        if tensor is not None:
            again = _inspect(head, path, tensor)
            found, given["tensor"] = found if isinstance(again, str) else again, tensor
    components.facts_line(model_facts(found), state.theme())
    read = found.facts.read
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if read.values is None:
            given["output"] = _ask_values(head)
        if (read.mean is None or read.std is None) and found.facts.dtype != "uint8":
            given |= _ask_preparation(head, truth.bands.count)
    if found.untried is not None and (len(found.facts.outputs) < 2 or "tensor" in given):
        components.problem(for_model_page(found.untried))
    if read.classes is not None:
        components.paragraph(f"The file names its channels: {', '.join(read.classes)}.", state.theme())
    elif found.channels is not None and not imports.is_only_class(head, found.channels, truth):
        given["classes"] = imports.ask_channels(head, found.channels, truth)
    return HeadModel(path=str(path), **given), found


def _ask_values(head: Head) -> Values | None:
    activation = "sigmoid" if head == "sigmoid" else "softmax"
    titles: dict[Values, str] = {"logits": "Logits, before any", "probabilities": f"After its {activation}"}
    return st.segmented_control(
        "It ends",
        list(titles),
        key=f"model_values_{head}",
        format_func=titles.__getitem__,
        help="Whether the activation is part of the network.",
    )


def _ask_preparation(head: Head, bands: int) -> dict[str, Any]:
    way = st.selectbox(
        "Images were prepared",
        [*(way for way in _PREPARATIONS if way != "imagenet" or bands == 3), _NUMBERS],
        index=None,
        key=f"model_normalisation_{head}",
        placeholder="As in its training",
        format_func=lambda name: _PREPARATIONS.get(name, name),
        width=420,
        help="Another preparation than in training silently ruins every result, so it is never assumed.",
    )
    if way != _NUMBERS:
        return {"normalisation": way}
    help = f"One number, or {bands}: one a band; for images in 0 to 1."
    mean = st.text_input("Mean", key=f"model_mean_{head}", placeholder="0.485, 0.456, 0.406", help=help, width=200)
    std = st.text_input("Std", key=f"model_std_{head}", placeholder="0.229, 0.224, 0.225", help=help, width=200)
    return {"mean": numbers(mean, bands), "std": numbers(std, bands)}


def numbers(text: str, bands: int = 3) -> tuple[float, ...] | None:
    """One number that was typed, or one a band; None when it is anything else."""
    try:
        values = tuple(float(part) for part in text.replace(" ", ",").split(",") if part)
    except ValueError:
        return None
    return values if len(values) in (1, bands) and all(map(math.isfinite, values)) else None


def model_facts(found: Inspection) -> list[str]:
    """What was found in a model's file, for people."""
    facts = found.facts
    channels, height, width = facts.axes
    colours = {None: "", 1: "grey ", 3: "colour "}.get(channels, f"{channels}-channel ")
    size = f"{width}×{height} pixels only" if height and width else "any size"
    count = f"{found.channels} channel{'s' if found.channels != 1 else ''}" if found.channels else ""
    between = "" if found.low is None or found.high is None else f"{found.low:.3g} to {found.high:.3g} on a black image"
    return [
        f"recognised: {found.kind.title}",
        f"takes {colours}images of {size}",
        count,
        between.replace("-", "−"),
        f"the file says: {facts.read.values}" if facts.read.values else "",
    ]


def says_its_size(facts: Facts) -> bool:
    """Whether a model takes images of one size only, or says at which it was trained."""
    return facts.read.size not in (None, "own") or None not in facts.axes[1:]


def lacking(head: Head, found: Inspection, model: HeadModel, truth: Truth) -> str | None:
    """What has yet to be said of a model before it can be tried, as the end of "say …"; None when all is said."""
    read = found.facts.read
    if len(found.facts.outputs) > 1 and model.tensor is None:
        return "which of its outputs is meant"
    if model.output is None and read.values is None:
        return "whether it ends with its activation"
    given = model.normalisation is not None or (model.mean is not None and model.std is not None)
    if not given and (read.mean is None or read.std is None) and found.facts.dtype != "uint8":
        return "how images were prepared in its training"
    named = read.classes or (model.classes and all(model.classes))
    if not named and not imports.is_only_class(head, found.channels, truth):
        return "what each channel is"
    return None


def _try(request: ModelImportRequest) -> tuple[Looked, Preview | None]:
    """Run the first images, within bounds for a page."""
    with st.spinner("Running the first images …"):
        looked, preview = look_apart(request.model_copy(update=BOUNDS))
    return _in_page_words(looked), preview


def _in_page_words(looked: Looked) -> Looked:
    """What a trial found, with every problem in the words of the page."""
    heads = {
        head: seen if seen.problem is None else seen.model_copy(update={"problem": for_model_page(seen.problem)})
        for head, seen in looked.heads.items()
    }
    problem = None if looked.problem is None else for_model_page(looked.problem)
    return looked.model_copy(update={"heads": heads, "problem": problem})
