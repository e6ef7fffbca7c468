"""Data: a data set is brought, read in a format that is shown, described, looked at and checked before any training."""

import hashlib
from pathlib import Path
from typing import Final, NamedTuple

import streamlit as st

from dashboard import components, queries, state
from dashboard.boundary import guarded
from dashboard.displays.base import SPLIT_TITLES
from dashboard.forms import check, sources
from dashboard.forms import dataset as form
from dashboard.pictures import jpeg, label_picture
from dashboard.rounding import count
from pipelines import readings
from pipelines.datasets.base import FILES_READ
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import FORMATS
from pipelines.datasets.preview import DatasetPreview, PreviewRequest, PreviewSource
from pipelines.errors import DatasetError
from pipelines.reading import DataReading
from pipelines.sentences import capitalised

_WIDTH: Final = 165  # pixels: two side by side on a telephone
_NEXT: Final = (
    ("train", "Train a pair on it", "model_training"),
    ("import_outputs", "Import outputs for it", "upload_file"),
)
_KINDS: Final = {
    "exclusive": "each pixel has one label",
    "binary": "one class against background",
    "overlapping": "labels share pixels",
}


def begin() -> None:
    """What this page does, for whoever comes first."""
    components.paragraph(
        "Bring images with their masks. You see how they were read, name the classes, look at some, and have the whole "
        "set checked: overlaps, leaks between splits, and the best that one label a pixel could reach.",
        theme,
    )
    with st.expander("Formats that are read"):
        components.small_table(["Format", "Folder"], [[name, one.title] for name, one in FORMATS.items()], theme)


class Read(NamedTuple):
    """What the files hold in the format that was recognised or chosen. options: of the format, that were said."""

    looked: DatasetPreview
    source: PreviewSource | None
    options: dict[str, str]


def read_as(path: Path) -> Read:
    """The recognised format, which can be overridden, with its options; and what the files hold in it."""
    key = f"data_format_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    follow_link(path, key)
    chosen = st.session_state.get(key)
    known = chosen or st.session_state.get(f"{key}_seen")
    options = {
        name: text
        for name in (FORMATS[known].options if known in FORMATS else ())
        if (text := st.session_state.get(f"{key}_{known}_{name}", "").strip())
    }
    asked = PreviewRequest(path=str(path), format=chosen, options=options)
    looked, source = form.look(asked)
    reasons = dict(looked.recognised)
    names = [*reasons, *(name for name in FORMATS if name not in reasons)]
    now = looked.format or known or next(iter(reasons), None)  # its options may be what is missing
    st.session_state[f"{key}_seen"] = now
    with st.container(horizontal=True, vertical_alignment="bottom"):
        picked = st.selectbox(
            "Read as",
            names,
            index=None if now is None else names.index(now),
            key=f"{key}_pick",
            placeholder="Not recognised: choose a format",
            format_func=lambda name: f"{FORMATS[name].title}" + ("" if name in reasons else " (not recognised)"),
        )
        if st.button("Read again", icon=":material/refresh:", key="data_fresh"):
            form.look(asked, fresh=True)
            st.rerun()
    if picked is not None and picked != now:
        st.session_state[key] = picked
        st.rerun()
    if now in reasons:
        others = len(reasons) - 1
        more = f" {others} other format{'s' * (others > 1)} would do too." if others else ""
        st.caption(components.plain(f"Recognised: {reasons[now]}.{more}"))
    for finding in looked.findings:
        if finding.code in FILES_READ:
            st.caption(components.plain(f"{capitalised(finding.message)}."))
    of_format = {} if now is None else FORMATS[now].options
    if of_format:
        with st.expander("Options of this format", key=f"{key}_options"):
            for name, help_text in of_format.items():
                st.text_input(name, key=f"{key}_{now}_{name}", max_chars=1000)
                st.caption(components.plain(help_text))
    return Read(looked, source, options)


def follow_link(path: Path, key: str) -> None:
    """Format and options that the link's reading says, whenever the page is come to."""
    wanted = st.query_params.get(sources.READING)
    if wanted is None or f"{key}_pick" in st.session_state:
        return
    try:
        said = readings.find(queries.runs.runs_folder(), path, wanted).reading
    except DatasetError:  # is told where the table begins
        return
    st.session_state[key] = said.format
    for name, text in said.options.items():
        st.session_state[f"{key}_{said.format}_{name}"] = text


def first_of(path: Path, looked: DatasetPreview, source: PreviewSource, key: str) -> DataReading:
    """What the table begins with: what a link says, else what the files say."""
    held = f"{key}_first"
    if held not in st.session_state:
        found = form.first_reading(looked, source)
        given = found.background if found.background in {rule.name for rule in found.classes} else None
        st.session_state[held] = found.model_copy(update={"background": given})  # pixels without a class: as found
    wanted = st.query_params.get(sources.READING)
    # On every visit: what was typed is gone when the page is left.
    if wanted is not None and not form.table_is_drawn(key):
        try:
            said = readings.find(queries.runs.runs_folder(), path, wanted).reading
            labels = {one.name for one in looked.labels}
            if said.format == looked.format and {label for rule in said.classes for label in rule.labels} <= labels:
                st.session_state[held] = said
                form.begin_with(said, key=key)
        except DatasetError as error:
            components.problem(str(error))
    first: DataReading = st.session_state[held]
    return first


def described(
    looked: DatasetPreview, source: PreviewSource, first: DataReading, key: str, options: dict[str, str]
) -> tuple[Dataset, DataReading]:
    """The table of classes and the splits, and the data set they make. Raises DatasetError when they do not fit."""
    st.header("Classes")
    labels = form.edit_table(looked, first, key=key)
    colors = st.session_state.get(f"{key}_colors", {})

    def reading_with(priority: tuple[str, ...]) -> DataReading:
        return form.reading_of(
            labels.rows,
            looked=looked,
            options=options,
            kind=labels.kind,
            unlabelled=labels.unlabelled,
            colors=colors,
            priority=priority,
            splits=first.splits,
        )

    dataset = Dataset(source, reading_with(()))
    form.edit_colors(dataset.classes, dataset.colors, key=key)
    foreground = [name for name in dataset.classes if name != dataset.background]
    priority: tuple[str, ...] = ()
    if len(foreground) > 1 and (dataset.kind == "overlapping" or not looked.exclusive):
        priority = form.edit_priority(foreground, first.priority or (), key=key)
    with st.expander("Splits and groups", key=f"{key}_splits"):
        rule = form.edit_splits(looked, first.splits, key=key)
        reading = reading_with(priority).model_copy(update={"splits": rule})
        dataset = Dataset(source, reading)
        rows = form.split_rows(dataset)
        components.small_table(
            ["Split", "Images", "Groups"],
            [
                [SPLIT_TITLES[one.split], count(one.images), "–" if one.groups is None else count(one.groups)]
                for one in rows
            ],
            theme,
        )
        for one in dataset.structure():
            if one.code == "SPLIT-MADE":
                st.caption(components.plain(f"{capitalised(one.message)}."))
    leak = form.leaks(dataset)
    if leak is not None:
        st.warning(components.plain(leak), icon=":material/warning:")
    return dataset, reading


@guarded
def preview(looked: DatasetPreview, dataset: Dataset) -> None:
    """Some images with their classes over them."""
    st.header("A first look")
    more = f" and {len(dataset.classes) - 12} more" if len(dataset.classes) > 12 else ""
    components.legend(
        list(zip(dataset.classes, dataset.colors, strict=True))[:12] + ([(more, "#888888")] if more else []), theme
    )
    items = form.small_items(dataset, looked.shown)
    with st.container(horizontal=True):
        for item in items:
            with st.container(width=_WIDTH):
                picture = form.bytes_of(item)
                drawn = [index for index, name in enumerate(dataset.classes) if name != dataset.background]
                colors = [dataset.colors[index] for index in drawn]
                components.picture(jpeg(picture), alt=f"Image {item.name}")
                components.picture(
                    jpeg(label_picture(picture, item.truth[drawn], colors, valid=item.valid)),
                    alt=f"Classes of {item.name}",
                )
                st.text(item.name)
    for one in looked.findings:
        if one.code == "EXIF-UNDECIDED":
            st.warning(components.plain(f"{one.code}: {one.message}"), icon=":material/warning:")
    for one in looked.unread[:5]:
        components.problem(f"{one.code}: {one.message}")


def hand_over(query: dict[str, str], key: str, *, ready: bool) -> None:
    """Links to what comes next, with the data set and how it is read."""
    st.header("Next")
    if not ready:
        st.caption("Training and imports refuse a data set whose check finds errors; check it first.")
    with st.container(horizontal=True):
        for page, label, icon in _NEXT:
            st.page_link(
                f"app_pages/{page}.py",
                label=label,
                icon=f":material/{icon}:",
                query_params=query | {sources.READING: key},
            )


@guarded
def draw_set(chosen: sources.Chosen) -> None:
    """Everything about one data set, from its format to what comes next."""
    looked, source, options = read_as(chosen.path)
    if source is None or looked.problem is not None:
        components.problem(looked.problem or "these files cannot be read")
        return
    bands = [] if looked.bands.are_rgb else [looked.bands.text()]
    components.facts_line(
        [looked.name, f"{count(len(looked.names))} images", f"{count(len(looked.labels))} labels", *bands], theme
    )
    told = f"{chosen.path}\n{looked.format}\n{options}\n{[one.name for one in looked.labels]}"
    key = f"data_{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    first = first_of(chosen.path, looked, source, key)
    try:
        dataset, reading = described(looked, source, first, key, options)
    except DatasetError as error:
        components.problem(str(error))
        return
    found = " in the images looked at" if reading.kind is None else ""
    components.paragraph(
        f"{len(dataset.classes)} class{'es' * (len(dataset.classes) > 1)}; {_KINDS[dataset.kind]}{found}.", theme
    )
    preview(looked, dataset)
    runs = queries.runs.runs_folder()
    kept = readings.keep(runs, chosen.path, reading)
    st.query_params[sources.READING] = kept.key
    st.header("Check")
    report = check.draw_check(runs, chosen.path, kept)
    if report is not None:
        check.show_report(report, name=chosen.path.name)
    hand_over(chosen.query, kept.key, ready=report is not None and report.ok)


theme = state.theme()
st.title("Data")
begin()
picked = sources.choose()
if picked is not None:
    draw_set(picked)
