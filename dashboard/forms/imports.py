"""What an import of predictions and one of models ask alike: the data set, the channels, a look, a name for the run.

The two forms fill an `ImportRequest` or a `ModelImportRequest`; the first look and the job are made of the same.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import pandas as pd
import streamlit as st

from dashboard import components, queries, state
from dashboard.boundary import callback
from dashboard.displays.base import SPLIT_TITLES
from dashboard.displays.verdict import finding_card
from dashboard.forms import sources
from dashboard.forms.jobs import import_started
from dashboard.forms.sources import kept
from dashboard.pictures import jpeg, label_picture
from dashboard.safe import safe_color
from dashboard.theme import HEAD_TITLES
from pipelines import jobs, readings
from pipelines.channels import Declaration, align
from pipelines.config import build
from pipelines.errors import ConfigError, PipelineError, worded
from pipelines.imports.trial import Looked, Preview, Seen, Truth, look_apart
from pipelines.readings import Kept
from pipelines.requests import CheckRequest, ImportRequest, ModelImportRequest
from pipelines.schema import BACKGROUND_CHANNEL, HEADS, Head, Split
from pipelines.sentences import KIND_TITLES
from pipelines.store.files import check_name

T = TypeVar("T")
_MOST: Final = 12  # looks that are kept
_ROW: Final = 35  # CSS pixels
_ROWS: Final = 10  # that are seen at once
# What an option of the command line is called on this page; of models some differ.
FIELDS: Final = {
    "sigmoid": "“Sigmoid”",
    "softmax": "“Softmax”",
    "powerset": "“Softmax over label sets”",
    "classes": "the table of channels",
    "background": "“Channel that means that nothing is there”",
    "values": "“The numbers are”",
    "format": "“Format”",
    "seed": "“Seed”",
    "splits": "“Images that are measured”",
    "size": "“All were resized”",
    "reading": "“See and change it there”",
}


def for_page(message: str) -> str:
    """A message of the command line in the words of the page, which has fields and no options."""
    return worded(message, FIELDS)


# The data set --------------------------------------------------------------------------------------------------------


class Chosen(NamedTuple):
    """A data set. path: its folder; truth: what it says of itself; reading: how it is read; None: as its files say."""

    path: Path
    truth: Truth
    reading: Kept | None = None


def choose() -> Chosen | None:
    """Ask for the data set and show it; None until there is one. `?upload=<id>` or `?data=<path>`, and `?reading=<key>`
    of what was said of it on the page Data, choose it.
    """
    picked = sources.choose("import")
    if picked is None:
        return None
    described = _described(picked.path)
    looked, _ = look(CheckRequest(dataset=str(picked.path), reading=None if described is None else described.file))
    if looked.truth is None:
        components.problem(for_page(looked.problem or "this data set cannot be read; choose another"))
        _link_to_data(picked.query, "Say how it is read on the page Data")
        return None
    theme = state.theme()
    components.facts_line(truth_facts(looked.truth), theme)
    colors = [safe_color(color) for color in looked.truth.colors]
    components.legend(list(zip(looked.truth.classes, colors, strict=True)), theme)
    words = "Read as its files say." if described is None else "Read as it was described on the page Data."
    query = picked.query | ({} if described is None else {sources.READING: described.key})
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(words, width="content")
        _link_to_data(query, "See and change it there")
    return Chosen(picked.path, looked.truth, described)


def _described(path: Path) -> Kept | None:
    """What the link says of how the data set is read; a link that is of another data set says nothing."""
    key = st.query_params.get(sources.READING)
    if key is None:
        return None
    try:
        return readings.find(queries.runs.runs_folder(), path, key)
    except PipelineError:
        del st.query_params[sources.READING]
        return None


def _link_to_data(query: dict[str, str], label: str) -> None:
    st.page_link("app_pages/data.py", label=label, query_params=query)


def truth_facts(truth: Truth) -> list[str]:
    """What a reader must know of the data set."""
    classes = len(truth.classes)
    images = [f"{count} {split}" for split, count in truth.images.items()]
    return [
        truth.name,
        KIND_TITLES[truth.kind],
        f"{classes} classes" if classes > 1 else "",
        f"images: {', '.join(images)}",
        f"{truth.background} is the background" if truth.background else "",
    ]


def ask_splits(truth: Truth, *, prefix: str) -> tuple[Split, ...]:
    """Which images are measured. prefix: of the widget's key."""
    there: list[Split] = list(truth.images)
    splits: Any = st.pills(
        "Images that are measured",
        there,
        default=[split for split in there if split != "train"] or there,
        selection_mode="multi",
        key=f"{prefix}_splits",
        format_func=SPLIT_TITLES.__getitem__,
    )
    return tuple(split for split in there if split in splits)


def ask_size(prefix: str) -> tuple[int, int]:
    """Height and width in pixels."""
    height = st.number_input("Height", 8, 16384, 512, key=f"{prefix}_height", width=120)
    width = st.number_input("Width", 8, 16384, 512, key=f"{prefix}_width", width=120)
    return int(height), int(width)


# Channels ------------------------------------------------------------------------------------------------------------


def ask_channels(head: Head, count: int, truth: Truth) -> tuple[str, ...]:
    """Names of the channels in the order of the files; "" for those that have none yet.

    Nothing is filled in before the reader asks for it. Beside each stands what it means in the data set.
    """
    _fill(head, count, truth)
    names: list[str] = st.session_state.get(f"import_names_{head}", [])
    start = [names[at] if at < len(names) else "" for at in range(count)]
    table, meaning = st.columns(2)
    with table:
        # Another list is another table: edits belong to the one that they were made in.
        version = st.session_state.get(f"import_version_{head}", 0)
        edited: Any = st.data_editor(
            pd.DataFrame({"Channel": range(count), "Name": start}),
            hide_index=True,
            disabled=["Channel"],
            key=f"import_channels_{head}_{version}_{count}",
            height=_ROW * (min(count, _ROWS) + 1) + 3,
            column_config={"Channel": st.column_config.NumberColumn(width=80), "Name": st.column_config.TextColumn()},
            alt="Name of each channel in the order of the files; can be edited.",
        )
    channels = tuple("" if name is None else str(name).strip() for name in edited["Name"])
    rows = match(head, channels, truth, background=st.session_state.get("import_background")).rows
    with meaning:
        st.dataframe(
            pd.DataFrame({"Stands for": [f"{number}: {meaning}" for number, _, meaning in rows]}),
            hide_index=True,
            height=_ROW * (min(count, _ROWS) + 1) + 3,
            key=f"import_meaning_{head}",
            alt="What each channel stands for in the data set.",
        )
    return channels


def _fill(head: Head, count: int, truth: Truth) -> None:
    """Ways to fill the table: a list that is pasted, or the data set's own order."""
    usual = usual_names(head, truth, count)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            f"Names of the {count} channels, in the order of the files" if count > 1 else "Name of the one channel",
            key=f"import_paste_{head}",
            placeholder=", ".join(usual) or "background, a, b, a+b",
            autocomplete="off",
            on_change=_take,
            args=(head, None),
            help="Pasted at once, or one by one in the table.",
            width=420,
        )
        if usual:
            st.button(
                "In the order of the data set",
                key=f"import_usual_{head}",
                on_click=_take,
                args=(head, usual),
                help=components.plain(", ".join(usual)),
            )


@callback
def _take(head: Head, names: tuple[str, ...] | None) -> None:
    given = split_names(st.session_state[f"import_paste_{head}"]) if names is None else names
    st.session_state[f"import_names_{head}"] = list(given)
    st.session_state[f"import_version_{head}"] = st.session_state.get(f"import_version_{head}", 0) + 1


def split_names(text: str) -> tuple[str, ...]:
    """Names that were typed or pasted: between commas or on lines of their own, with or without quotes and brackets."""
    parts = text.replace("\n", ",").strip().strip("[]()").split(",")
    return tuple(name for part in parts if (name := part.strip().strip("'\"").strip()))


def usual_names(head: Head, truth: Truth, count: int) -> tuple[str, ...]:
    """The data set's classes in its order, after a background channel where a head of so many channels has one."""
    if head == "softmax-powerset" or count not in (len(truth.classes), len(truth.classes) + 1):
        return ()
    return truth.classes if count == len(truth.classes) else (BACKGROUND_CHANNEL, *truth.classes)


class Matched(NamedTuple):
    """rows: of each channel its number from 0, its name and what it stands for. problem: one line, if there is one."""

    rows: tuple[tuple[int, str, str], ...]
    problem: str | None


def match(head: Head, names: Sequence[str], truth: Truth, *, background: str | None) -> Matched:
    """Channels, in the order of the files, to the data set's classes by name."""
    rows = tuple((number, name, _stands_for(head, name, truth, background)) for number, name in enumerate(names))
    blank = [number for number, name in enumerate(names) if not name]
    if blank:
        numbers = ", ".join(map(str, blank[:8])) + (" …" if len(blank) > 8 else "")
        return Matched(rows, f"{'channels' if len(blank) > 1 else 'channel'} {numbers} has no name yet; name every one")
    if any("," in name for name in names):
        return Matched(rows, "a channel's name must not hold a comma; call it as the data set calls its class")
    values = {
        "head": "sigmoid" if head == "sigmoid" else "softmax",
        "values": "logits",
        "classes": tuple(names),
        "background": background if background in names else None,
    }
    try:
        declared = build(Declaration, values)
        align(declared, head, kind=truth.kind, classes=truth.classes, background=truth.background)
    except ConfigError as error:
        return Matched(rows, str(error))
    return Matched(rows, None)


def _stands_for(head: Head, name: str, truth: Truth, background: str | None) -> str:
    if not name:
        return "not named yet"
    if name in (background, BACKGROUND_CHANNEL) and name not in truth.classes:
        return "nothing is there"
    if name in truth.classes:
        return f"class {name}"
    parts = [part.strip() for part in name.split("+")]
    if head == "softmax-powerset" and set(parts) <= set(truth.classes) and len(set(parts)) == len(parts):
        return f"label set of {' and '.join(parts)}"
    close = [one for one in truth.classes if one.casefold() == name.casefold()]
    return f"no class; the data set writes {close[0]}" if close else "no class of the data set"


def ask_background(channels: Mapping[Head, Sequence[str] | None], truth: Truth, *, prefix: str) -> str | None:
    """Which channel that is no class means that nothing is there. prefix: of the widget's key."""
    known = {"", BACKGROUND_CHANNEL, *truth.classes}
    names = [name for head, named in channels.items() if head != "softmax-powerset" for name in named or ()]
    strange = [name for name in dict.fromkeys(names) if name not in known]
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


# A look at the first images ------------------------------------------------------------------------------------------


def look(request: CheckRequest | ImportRequest, *, fresh: bool = False) -> tuple[Looked, Preview | None]:
    """As `trial.look_apart`, kept for the session. fresh: read the files again even if nothing has changed."""
    heads = {} if isinstance(request, CheckRequest) else request.heads
    paths = [request.dataset, *(str(one.path) for one in heads.values())]
    return kept("import_looks", request.model_dump_json(), paths, lambda: look_apart(request), most=_MOST, fresh=fresh)


def seen_facts(seen: Seen) -> list[str]:
    """What was recognised in the files of one head."""
    size = f"{seen.size[1]}×{seen.size[0]} pixels" if seen.size else ""
    count = f"{seen.count} channel{'s' if seen.count != 1 else ''}" if seen.count else ""
    seeds = f"seeds {', '.join(map(str, seen.seeds))}" if seen.in_folders else ""
    return [f"recognised: {seen.title}", count, size, f"the files say: {seen.values}" if seen.values else "", seeds]


def is_only_class(head: Head, count: int | None, truth: Truth) -> bool:
    """Whether there is a channel for the only class, which needs no name."""
    return head == "sigmoid" and truth.kind == "binary" and count == 1


def is_complete(
    channels: Mapping[Head, Sequence[str] | None], missing: Sequence[str], truth: Truth, background: str | None
) -> bool:
    """Whether all is said and fits the data set; else what is missing is told. missing: a sentence each."""
    fitting = [fits(head, names, truth, background) for head, names in channels.items()]
    if missing:
        components.bullets(missing, state.theme())
    return not missing and all(fitting)


def tried(
    truth: Truth, asked: T, find: Callable[[T], tuple[Looked, Preview | None]], *, label: str, key: str, again: str
) -> bool:
    """A button that looks at the first images, and what was found; whether an import may start.

    key: of the button. again: what is to be done where something else is asked than was looked at, in a sentence.
    """
    if st.button(label, key=key, icon=":material/fact_check:"):
        st.session_state[f"{key}_answer"] = (asked, find(asked))
    before, answer = st.session_state.get(f"{key}_answer", (None, None))
    if answer is None:
        return False
    if before != asked:
        components.empty("Changed since", again)
        return False
    looked, preview = answer
    show_findings(looked)
    if preview is not None:
        show_preview(truth, looked, preview)
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
        words = "This can be imported; read the warnings." if odd else "Nothing speaks against what you say."
        st.success(f"{words} {read} images were read; the import reads all of them.", icon=":material/check:")
    for line in left_aside(looked):
        st.caption(components.plain(line))


def verdict_on(looked: Looked) -> tuple[bool, list[str]]:
    """Whether an import may start, and what there is to say of each head, a line each."""
    if looked.problem is not None:
        return False, [for_page(looked.problem)]
    lines = []
    for head, seen in looked.heads.items():
        if seen.problem:
            lines.append(f"{head}: {for_page(seen.problem)}")
        if seen.absent_count:
            lines.append(
                f"OUTPUT-MISSING: {head} has no output for {_counted(seen.absent_count, 'image')}: "
                f"{_first(seen.absent, seen.absent_count)}; predict these too, under the image's name, or leave out "
                "their split"
            )
    return not lines and not any(seen.stands_in_the_way for seen in looked.heads.values()), lines


def left_aside(looked: Looked) -> list[str]:
    """Outputs that belong to no image, a line each head."""
    return [
        f"{head}: {_counted(seen.surplus_count, 'output')} of no image of these splits, left aside: "
        f"{_first(seen.surplus, seen.surplus_count)}"
        for head, seen in looked.heads.items()
        if seen.surplus_count
    ]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' if count != 1 else ''}"


def _first(names: Sequence[str], count: int) -> str:
    shown = ", ".join(names)
    return shown if len(names) >= count else f"{shown} and {count - len(names):,} more"


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


# The start -----------------------------------------------------------------------------------------------------------


def start(truth: Truth, request: ImportRequest | ModelImportRequest, *, label: str, prefix: str) -> None:
    """A name for the run, and the button that starts the job. prefix: of keys."""
    runs, key = queries.runs.runs_folder(), f"{prefix}_name"
    if key not in st.session_state:
        busy = [job.run_name for job in jobs.list_jobs(runs) if job.run_name is not None]
        st.session_state[key] = jobs.free_name(runs, f"{truth.name} imported", taken=busy)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Name of the run", key=key, max_chars=64, width=360, autocomplete="off")
        problem = name_problem(name, runs)
        st.button(
            label,
            type="primary",
            icon=":material/play_arrow:",
            key=f"{prefix}_start",
            disabled=problem is not None,
            on_click=_begin,
            args=(request.model_copy(update={"name": name}), prefix),
        )
    if problem is not None:
        components.problem(problem)
    refused = st.session_state.pop(f"{prefix}_refused", None)
    if refused is not None:
        components.problem(refused)


@callback
def _begin(request: ImportRequest | ModelImportRequest, prefix: str) -> None:
    try:
        job = jobs.start(request, queries.runs.runs_folder())
    except PipelineError as error:
        st.session_state[f"{prefix}_refused"] = for_page(str(error))
        return
    del st.session_state[f"{prefix}_name"]  # the next one gets a name of its own
    import_started(job)


def name_problem(name: str, runs: Path) -> str | None:
    """Why a run cannot be called so, in one line; None when it can."""
    try:
        check_name(name)
    except PipelineError as error:
        return str(error)
    if (runs / name).exists():
        return f"there is a run {name} already; choose another name"
    if name in {job.run_name for job in jobs.list_jobs(runs) if job.state() not in jobs.ENDED}:
        return f"a job is making a run {name}; wait for it, or choose another name"
    return None
