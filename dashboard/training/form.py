"""The settings of a training, with defaults drawn from the data."""

import re
import shutil
import zlib

import streamlit as st

from dashboard.panels import train_form as panel
from dashboard.panels.train_form import Choices
from dashboard.training.data import Chosen
from pipelines.config import LOSSES
from pipelines.schema import HEADS

_RULE_HELP = (
    "Where labels overlap there are two softmaxes: one label a pixel, the first in order wins, and one channel for "
    "each set of labels. Both are compared with sigmoid."
)


def draw(chosen: Chosen) -> Choices:
    """Fields of the form; what they say."""
    facts = chosen.facts
    usual = panel.suggest(facts, gpu=shutil.which("nvidia-smi") is not None)
    key = f"train_{zlib.crc32(chosen.key.encode()):08x}"  # each data set has its own settings
    first, second, third = st.columns(3)
    options = panel.size_options(facts)
    with first:
        size = st.selectbox(
            "Image size", options, index=options.index(usual.size), key=f"{key}_size",
            format_func=lambda one: panel.size_words(one, facts),
            help="Images and masks are resized to this. Smaller is faster; larger shows finer structures.",
        )  # fmt: skip
        crops = panel.crop_words(size, facts)
        if crops:
            st.caption(crops)
        encoder = st.selectbox(
            "Encoder", panel.ENCODERS, index=panel.ENCODERS.index(usual.encoder), key=f"{key}_encoder",
            accept_new_options=True,
            help="Small to large; or write the name of any encoder of segmentation-models-pytorch.",
        )  # fmt: skip
    with second:
        epochs = st.number_input(
            "Epochs", 1, 1000, usual.epochs, key=f"{key}_epochs", help="Passes over the training images."
        )
        batch = st.number_input(
            "Batch size", 2, 64, usual.batch_size, key=f"{key}_batch", help="Images in one step of the training."
        )
    with third:
        seeds = st.number_input(
            "Seeds", 1, panel.MOST_SEEDS, len(usual.seeds), key=f"{key}_seeds",
            help="Each trains one pair from other initial weights. Three or more for a firm verdict: luck is told "
            "apart from the head.",
        )  # fmt: skip
        rate = st.number_input(
            "Learning rate", 0.00001, 1.0, usual.rate, step=0.0005, format="%.5f", key=f"{key}_rate",
            help="The same for all heads.",
        )  # fmt: skip
    losses = st.multiselect(
        "Losses", LOSSES, list(usual.losses), key=f"{key}_losses", format_func=panel.LOSS_TITLES.__getitem__,
        help="Each in its sigmoid and its softmax form. Every loss makes a run of its own; the page Losses compares "
        "them.",
    )  # fmt: skip
    rule = usual.rule
    if facts.kind == "overlapping":
        picked = st.segmented_control(
            "Softmax on overlapping labels", list(panel.RULE_TITLES), default=usual.rule, required=True,
            key=f"{key}_rule", format_func=panel.RULE_TITLES.__getitem__, help=_RULE_HELP,
        )  # fmt: skip
        rule = picked or usual.rule
    with st.expander("More settings", key=f"{key}_more"):
        left, right = st.columns(2)
        with left:
            architecture = st.selectbox("Architecture", panel.ARCHITECTURES, key=f"{key}_architecture")
        with right:
            weights = st.selectbox(
                "Encoder weights", [None, "imagenet"], key=f"{key}_weights",
                format_func=lambda one: "from scratch" if one is None else "pretrained on ImageNet",
                help="Pretrained weights are downloaded once; the server needs a network for that.",
            )  # fmt: skip
        augment = st.toggle("Augmentation: flips, small rotations and scalings, brightness", True, key=f"{key}_augment")
    return Choices(
        size=size, epochs=int(epochs), batch_size=int(batch), seeds=tuple(range(int(seeds))), losses=tuple(losses),
        rule=rule, encoder=str(encoder or usual.encoder), architecture=architecture, weights=weights, rate=float(rate),
        augment=augment,
    )  # fmt: skip


def heads_words(chosen: Chosen, choices: Choices) -> str:
    """Which networks are trained, and for how many steps."""
    heads = {"binary": 2, "exclusive": 2}.get(chosen.facts.kind, len(HEADS) if choices.rule == "both" else 2)
    seeds = len(choices.seeds)
    steps = panel.steps_of(choices, chosen.facts)
    pairs = f"{seeds} seed{'s' if seeds > 1 else ''}"
    return f"{heads} networks on the same batches, {pairs}, {steps} steps each"


def name_field() -> str:
    """What the run is to be called; empty for a name that is free."""
    text = st.text_input(
        "Name of the run", key="train_name", max_chars=64, placeholder="from the data set and a number",
        help="Letters, digits, '.', '_' and '-'.", autocomplete="off",
    )  # fmt: skip
    return re.sub(r"\s+", "-", str(text).strip())
