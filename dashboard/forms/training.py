"""The form that starts a training: a data set, settings that make sense for it, what they would take."""

import re
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple, TypeAlias

import streamlit as st

from dashboard import components, queries, state
from dashboard.boundary import guarded
from dashboard.forms import sources
from dashboard.rounding import count, duration, percent
from pipelines import jobs, readings
from pipelines.config import Loss, TrainingConfig
from pipelines.errors import ConfigError, DatasetError, PipelineError
from pipelines.estimate_data import DataFacts, data_facts
from pipelines.jobs.needs import Estimate, bytes_of, estimate_of, free_bytes
from pipelines.losses import LOSSES
from pipelines.requests import EstimateRequest, RunRequest
from pipelines.schema import HEADS, Kind, SoftmaxRule, Split
from pipelines.sentences import capitalised, size_in_words

Size: TypeAlias = tuple[int, int]  # (height, width)

_FACTS: Final = "train_facts"  # what is known of data sets, in the session
_ASKED: Final = "train_estimate_job"  # (request, number of the job)
_ESTIMATES: Final = "train_estimates"  # requests, as JSON, to what was found
_KINDS: Final[dict[Kind, str]] = {
    "exclusive": "one label a pixel",
    "binary": "one class against background",
    "overlapping": "labels may overlap",
}
_RULE_HELP: Final = (
    "Where labels overlap there are two softmaxes: one label a pixel, the first in order wins, and one channel for "
    "each set of labels. Both are compared with sigmoid."
)
ENCODERS: Final = (
    "tu-mobilenetv3_small_050",
    "tu-resnet10t",
    "resnet18",
    "resnet34",
    "resnet50",
    "efficientnet-b0",
    "mit_b0",
)
ARCHITECTURES: Final = ("Unet", "UnetPlusPlus", "FPN", "DeepLabV3Plus", "Segformer", "MAnet", "Linknet", "PSPNet")
LOSS_TITLES: Final[dict[Loss, str]] = {name: loss.title for name, loss in LOSSES.items()}
RULE_TITLES: Final[dict[SoftmaxRule, str]] = {
    "both": "Both softmaxes",
    "priority": "One label a pixel",
    "powerset": "Label sets",
}
MOST_SEEDS: Final = 10
_SIDES: Final = (64, 96, 128, 192, 256, 384, 512, 768, 1024)  # longer sides that are offered
_STEP: Final = 32  # what most networks need sides to be a multiple of
_SIDE_CPU, _SIDE_GPU = 128, 512
_STEPS_CPU, _STEPS_GPU = 300, 1500  # of one training
_BATCHES: Final = (8, 4, 2)  # images a step
_BATCHES_OF: Final = 8  # steps an epoch should have at least
_RARE: Final = 0.05  # share of pixels below which cross-entropy alone tends to leave a class out
_CROP: Final = 256
_ONE_THREAD: Final = 96 * 96 * 8  # pixels of a batch up to which a second thread gains nothing (docs/adr/0002)
_SPLITS: Final[tuple[Split, ...]] = ("val", "test")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/-]{0,99}")

# The data set --------------------------------------------------------------------------------------------------------


class Chosen(NamedTuple):
    """A data set. reading: file that says how it is read; key: names both; query: names both in a link."""

    path: Path
    reading: Path | None
    facts: DataFacts
    key: str
    query: dict[str, str]


def pick() -> Chosen | None:
    """Ask for the data set and show what it is; None until there is one that can be trained on."""
    chosen = sources.choose("train")
    if chosen is None:
        return None
    reading, query = _reading(chosen)
    key = f"{chosen.path}|{reading or ''}"
    facts = _facts(chosen.path, reading, key)
    if facts.problem is not None:
        components.problem(facts.problem)
        _link_to_data(query, "See what is wrong, or say how it is read, on the page Data")
        return None
    _show(facts)
    _link_to_data(query, "Look at it, check it, or change its classes")
    return Chosen(chosen.path, reading, facts, key, query)


def _reading(chosen: sources.Chosen) -> tuple[Path | None, dict[str, str]]:
    """The file that the link names, if it is one of this data set."""
    wanted = st.query_params.get(sources.READING)
    if wanted is None:
        return None, chosen.query
    try:
        kept = readings.find(queries.runs.runs_folder(), chosen.path, wanted)
    except DatasetError as error:
        del st.query_params[sources.READING]
        if st.session_state.get("train_read") is None:  # said by the link, not left over from another data set
            components.problem(str(error))
        return None, chosen.query
    st.session_state["train_read"] = kept.key
    return kept.file, chosen.query | {sources.READING: kept.key}


def _facts(path: Path, reading: Path | None, key: str) -> DataFacts:
    """Looked up once a session and data set; anew after a problem."""
    known: dict[str, DataFacts] = st.session_state.setdefault(_FACTS, {})
    if key not in known or known[key].problem is not None:
        with st.spinner("Looking at the data set …"):
            known[key] = data_facts(path, reading)
    return known[key]


def _show(facts: DataFacts) -> None:
    theme = state.theme()
    rare = min(facts.shares, key=facts.shares.__getitem__)
    images = facts.images
    components.facts_line(
        [
            facts.name,
            _KINDS[facts.kind],
            f"{len(facts.classes)} classes, the rarest {rare} with {percent(facts.shares[rare])} of the pixels"
            if len(facts.classes) > 1
            else f"{facts.classes[0]}: {percent(facts.shares[facts.classes[0]])} of the pixels",
            f"{count(images['train'])} images to train on, {count(images['val'])} to validate, "
            f"{count(images['test'])} to test",
            "" if facts.bands.are_rgb else facts.bands.text(),
        ],
        theme,
    )


def _link_to_data(query: dict[str, str], label: str) -> None:
    st.page_link("app_pages/data.py", label=label, icon=":material/folder_open:", query_params=query)


# Settings drawn from the data ----------------------------------------------------------------------------------------


class Choices(TrainingConfig):
    """Settings of a training, for each of some losses, which make a run each."""

    losses: tuple[Loss, ...]


def suggest(facts: DataFacts, *, gpu: bool) -> Choices:
    """Settings that give a first verdict in minutes. gpu: whether there is one."""
    images = facts.images["train"]
    batch = next((size for size in _BATCHES if images >= _BATCHES_OF * size), _BATCHES[-1])
    steps = -(-images // batch)
    rare = min((share for name, share in facts.shares.items() if name != facts.background), default=1.0) < _RARE
    return Choices(
        size=_usual_size(facts, _SIDE_GPU if gpu else _SIDE_CPU),
        epochs=max(3, min(40, round((_STEPS_GPU if gpu else _STEPS_CPU) / steps))),
        batch_size=batch,
        seeds=(0, 1, 2),
        losses=("ce+dice",) if rare else ("ce",),
        encoder="resnet18" if gpu else "tu-resnet10t",
        learning_rate=0.002,
    )


def own_size(facts: DataFacts) -> Size:
    """The images' usual size."""
    return int(median(height for height, _ in facts.sizes)), int(median(width for _, width in facts.sizes))


def size_options(facts: DataFacts) -> list[Size | None]:
    """Sizes that are offered: None for the images' own, and smaller ones of about their shape, small to large."""
    height, width = own_size(facts)
    longest = max(height, width)
    smaller = [_scaled((height, width), side) for side in _SIDES if side < longest]
    return [*dict.fromkeys(smaller), None]


def size_words(size: Size | None, facts: DataFacts) -> str:
    """A size for a list, width first as pictures are spoken of."""
    if size is not None:
        return f"{size[1]} × {size[0]}"
    height, width = own_size(facts)
    if len(set(facts.sizes)) > 1:
        return f"their own, about {width} × {height}"
    return f"their own, {width} × {height}"


def crop_words(size: Size | None, facts: DataFacts) -> str:
    """What images of their own size are trained on, where that is not the whole of them; else empty."""
    height, width = own_size(facts)
    return f"trained on crops of {_CROP} × {_CROP}" if size is None and max(height, width) > _CROP else ""


def steps_of(choices: Choices, facts: DataFacts) -> int:
    """Steps of one seed's training, about."""
    return -(-facts.images["train"] // choices.batch_size) * choices.epochs


def bytes_needed(choices: Choices, facts: DataFacts, *, parameters: int | None = None) -> int:
    """Bytes on disk that the run of one loss will need at most."""
    height, width = choices.size or own_size(facts)
    images = sum(facts.images[split] for split in _SPLITS)
    return bytes_of(
        images,
        float(images * height * width),
        kind=facts.kind,
        classes=len(facts.classes),
        seeds=len(choices.seeds),
        rule=choices.softmax_rule,
        parameters=parameters,
    )


def request_of(
    choices: Choices, facts: DataFacts, *, data: Path, reading: Path | None, loss: Loss, name: str | None = None
) -> RunRequest:
    """What trains. reading: file that says how the data is read; None: as it says itself. Raises ConfigError for a word
    that is none.
    """
    for what, word in (("encoder", choices.encoder), ("architecture", choices.architecture)):
        if not _WORD.fullmatch(word):
            raise ConfigError(f"{word!r} is no {what}; give the name of one, such as {ENCODERS[1]} or Unet")
    height, width = choices.size or choices.crop
    training = TrainingConfig.model_validate(
        choices.model_dump(exclude={"losses"})
        | {"loss": loss, "threads": 1 if height * width * choices.batch_size <= _ONE_THREAD else 0}
        | ({} if facts.kind == "overlapping" else {"softmax_rule": "both"})
    )
    return RunRequest(dataset=str(data), reading=reading, name=name, training=training)


def run_names(stem: str, losses: Sequence[Loss]) -> list[str]:
    """A name for the run of each loss; stem alone where there is one."""
    return [stem] if len(losses) == 1 else [f"{stem[:55]}-{loss.replace('+', '-')}" for loss in losses]


def _usual_size(facts: DataFacts, longest: int) -> Size | None:
    """Their own size where that is small and one and the same, else a smaller one."""
    height, width = own_size(facts)
    if max(height, width) <= longest and len(set(facts.sizes)) == 1:
        return None
    return _scaled((height, width), min(longest, *(side for side in (_SIDES[-1], max(height, width)))))


def _scaled(own: Size, side: int) -> Size:
    """About the same shape with a longer side of so many pixels, both sides multiples of _STEP."""
    factor = side / max(own)
    height, width = (max(_STEP, round(one * factor / _STEP) * _STEP) for one in own)
    return height, width


# The form ------------------------------------------------------------------------------------------------------------


def ask_settings(chosen: Chosen) -> Choices:
    """Fields of the form; what they say."""
    facts = chosen.facts
    usual = suggest(facts, gpu=shutil.which("nvidia-smi") is not None)
    key = f"train_{zlib.crc32(chosen.key.encode()):08x}"  # each data set has its own settings
    first, second, third = st.columns(3)
    options = size_options(facts)
    with first:
        size = st.selectbox(
            "Image size",
            options,
            index=options.index(usual.size),
            key=f"{key}_size",
            format_func=lambda one: size_words(one, facts),
            help="Images and masks are resized to this. Smaller is faster; larger shows finer structures.",
        )
        crops = crop_words(size, facts)
        if crops:
            st.caption(crops)
        encoder = st.selectbox(
            "Encoder",
            ENCODERS,
            index=ENCODERS.index(usual.encoder),
            key=f"{key}_encoder",
            accept_new_options=True,
            help="Small to large; or write the name of any encoder of segmentation-models-pytorch.",
        )
    with second:
        epochs = st.number_input(
            "Epochs", 1, 1000, usual.epochs, key=f"{key}_epochs", help="Passes over the training images."
        )
        batch = st.number_input(
            "Batch size", 2, 64, usual.batch_size, key=f"{key}_batch", help="Images in one step of the training."
        )
    with third:
        seeds = st.number_input(
            "Seeds",
            1,
            MOST_SEEDS,
            len(usual.seeds),
            key=f"{key}_seeds",
            help="Each trains one pair from other initial weights. Three or more for a firm verdict: luck is told "
            "apart from the head.",
        )
        rate = st.number_input(
            "Learning rate",
            0.00001,
            1.0,
            usual.learning_rate,
            step=0.0005,
            format="%.5f",
            key=f"{key}_rate",
            help="The same for all heads.",
        )
    losses = st.multiselect(
        "Losses",
        list(LOSSES),
        list(usual.losses),
        key=f"{key}_losses",
        format_func=LOSS_TITLES.__getitem__,
        help="Each in its sigmoid and its softmax form. Every loss makes a run of its own; the page Losses compares "
        "them.",
    )
    rule = usual.softmax_rule
    if facts.kind == "overlapping":
        picked = st.segmented_control(
            "Softmax on overlapping labels",
            list(RULE_TITLES),
            default=rule,
            required=True,
            key=f"{key}_rule",
            format_func=RULE_TITLES.__getitem__,
            help=_RULE_HELP,
        )
        rule = picked or rule
    with st.expander("More settings", key=f"{key}_more"):
        left, right = st.columns(2)
        with left:
            architecture = st.selectbox("Architecture", ARCHITECTURES, key=f"{key}_architecture")
        with right:
            weights = st.selectbox(
                "Encoder weights",
                [None, "imagenet"],
                key=f"{key}_weights",
                format_func=lambda one: "from scratch" if one is None else "pretrained on ImageNet",
                help="Pretrained weights are downloaded once; the server needs a network for that. They were made for "
                "red, green and blue: for other bands the first layer is repeated and scaled.",
            )
        augment = st.toggle("Augmentation: flips, small rotations and scalings, brightness", True, key=f"{key}_augment")
    return Choices(
        size=size,
        epochs=int(epochs),
        batch_size=int(batch),
        seeds=tuple(range(int(seeds))),
        losses=tuple(losses),
        softmax_rule=rule,
        encoder=str(encoder or usual.encoder),
        architecture=architecture,
        encoder_weights=weights,
        learning_rate=float(rate),
        augment=augment,
    )


def heads_words(chosen: Chosen, choices: Choices) -> str:
    """Which networks are trained, and for how many steps."""
    heads = {"binary": 2, "exclusive": 2}.get(chosen.facts.kind, len(HEADS) if choices.softmax_rule == "both" else 2)
    seeds = len(choices.seeds)
    steps = steps_of(choices, chosen.facts)
    pairs = f"{seeds} seed{'s' if seeds > 1 else ''}"
    return f"{heads} networks on the same batches, {pairs}, {steps} steps each"


def name_field() -> str:
    """What the run is to be called; empty for a name that is free."""
    text = st.text_input(
        "Name of the run",
        key="train_name",
        max_chars=64,
        placeholder="from the data set and a number",
        help="Letters, digits, '.', '_' and '-'.",
        autocomplete="off",
    )
    return re.sub(r"\s+", "-", str(text).strip())


# What it would take --------------------------------------------------------------------------------------------------


def known_estimate(request: RunRequest) -> Estimate | None:
    """What is known of these settings by now; takes in what the job has found."""
    estimates: dict[str, Estimate] = st.session_state.setdefault(_ESTIMATES, {})
    asked = st.session_state.get(_ASKED)
    if asked is not None:
        of, number = asked
        try:
            job = jobs.find_job(queries.runs.runs_folder(), number)
            if not job.alive():
                _take_in(of, job, estimates)
        except PipelineError as error:  # removed by somebody
            components.problem(str(error))
            del st.session_state[_ASKED]
    return estimates.get(request.model_dump_json())


def _take_in(request: RunRequest, job: jobs.Job, estimates: dict[str, Estimate]) -> None:
    del st.session_state[_ASKED]
    estimate, status = estimate_of(job), job.status()
    if estimate is not None and status.state == "done":
        estimates[request.model_dump_json()] = estimate
    elif status.state != "cancelled":
        components.problem(status.message or "the estimate ended early; start it again")
    job.remove()


def ask_estimate(request: RunRequest) -> None:
    """Start the job, it runs at once, beside what is at work."""
    forget_estimate()
    try:
        estimate = EstimateRequest.model_validate(request.model_dump(exclude={"command", "name", "resume"}))
        job = jobs.start(estimate, queries.runs.runs_folder(), waits=False)
    except PipelineError as error:
        components.problem(str(error))
        return
    st.session_state[_ASKED] = (request, job.id)
    st.rerun()


def forget_estimate() -> None:
    """End a job that was asked about other settings."""
    asked = st.session_state.pop(_ASKED, None)
    if asked is not None:
        try:
            jobs.find_job(queries.runs.runs_folder(), asked[1]).cancel()
        except PipelineError:
            return


def estimate_at_work(request: RunRequest) -> jobs.Job | None:
    """The job that measures these settings now."""
    asked = st.session_state.get(_ASKED)
    if asked is None or asked[0] != request:
        return None
    return jobs.find_job(queries.runs.runs_folder(), asked[1])


def follow_estimate(job: jobs.Job) -> None:
    """Where it stands, until it ends."""

    @st.fragment(run_every=0.7)
    @guarded
    def look() -> None:
        if not job.alive():
            st.rerun()
        status = job.status()
        with st.container(horizontal=True, vertical_alignment="center", key="train_estimating"):
            st.progress(min(status.done / 4, 1.0), f"Trying the settings out: {status.message or 'reading images'}")
            if st.button("Stop", key="train_estimate_stop"):
                job.cancel()

    look()


def show_estimate(estimate: Estimate | None, needed: int, times: int) -> None:
    """Time and disk. estimate: of one run; needed: bytes of one run, before they are known better; times: runs."""
    free = free_bytes(queries.runs.runs_folder())
    needed = times * (needed if estimate is None else estimate.needed)
    facts = [f"up to {size_in_words(needed)} on disk, {size_in_words(free)} are free"]
    if estimate is not None:
        train = duration(times * estimate.seconds_of("train")).removeprefix("about ")
        facts = [
            f"{duration(times * estimate.seconds)} on this machine's {estimate.device.upper()}",
            f"training {train} of it",
            f"{estimate.step_seconds:.2g} s a step",
            f"{estimate.parameters / 1e6:.1f} million weights a network",
            *facts,
        ]
    components.facts_line(list(map(capitalised, facts)), state.theme())
