"""The exported report and tables: what stands in them, what must not, and how they get to the disk."""

import base64
import csv
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import REPO
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder
from synthetic import make_run

from dashboard.displays.base import Display, Picture
from dashboard.displays.verdict import Card
from dashboard.how_to_read import HOW_TO_READ
from dashboard.report import describe
from dashboard.report.contents import (
    Block,
    Chapter,
    Cover,
    Photo,
    Report,
    Summary,
    explained,
    report_of,
    table_name,
    tables_of,
    telling,
)
from dashboard.report.files import (
    Written,
    export,
    html_bytes,
    replace_file,
    replace_folder,
    table_files,
    tables_zip,
    zip_bytes,
)
from dashboard.report.page import figure_json, page, thinned, written
from dashboard.safe import csv_bytes, escaped, harmless, safe_color, script_json
from pipelines import cli
from pipelines.config import RunConfig
from pipelines.errors import ConfigError, RunError
from pipelines.judgement import Margin, Verdict
from pipelines.options import parse
from pipelines.store.runs import Run

HOSTILE = "</title></script><script>alert(1)</script><img src=//example.org/x onerror=alert(1)> & more"
_VOID = {"meta", "img", "br"}
_OPTIONAL = {"td", "th", "tr"}  # HTML lets their end tags go


class Parsed(HTMLParser):
    """A page taken apart: elements with attributes, the text of each kind of element, and whether tags match."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.open, self.unmatched = [], {}, [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID | _OPTIONAL:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in _OPTIONAL and (not self.open or self.open.pop() != tag):
            self.unmatched.append(tag)

    def handle_data(self, data):
        kind = self.open[-1] if self.open else ""
        self.texts.setdefault(kind, []).append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def by_id(self, name):
        return next(attrs for _, attrs in self.elements if attrs.get("id") == name)


def displays_of(report):
    return [block for chapter in report.chapters for block in chapter.blocks if isinstance(block, Display)]


def pictures_of(report):
    return [(display, picture) for display in displays_of(report) for picture in display.pictures]


def plain(value):
    return json.loads(json.dumps(value, cls=PlotlyJSONEncoder))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    runs = tmp_path_factory.mktemp("report-runs")
    return make_run(runs, "hostile", kind="exclusive", classes=("-b", "a.b c"), title=HOSTILE, images=2)


@pytest.fixture(scope="module")
def hostile_report(hostile):
    return report_of(hostile)


@pytest.fixture(scope="module")
def cells(real_runs):
    return Run(real_runs / "cells")


@pytest.fixture(scope="module")
def cells_report(cells):
    return report_of(cells)


@pytest.fixture(scope="module")
def cells_page(cells_report):
    return page(cells_report, tables="cells-tables")


@pytest.fixture(scope="module")
def cells_tables(cells, cells_report):
    return tables_of(cells, cells_report)


# The page ----------------------------------------------------------------------------------------------------------


def test_page_asks_nothing_of_any_network_and_its_links_resolve(cells_page, cells_report):
    parsed = Parsed(cells_page)
    assert parsed.unmatched == []
    assert parsed.open == []
    for tag, attrs in parsed.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form"), tag
        for name in ("src", "srcset", "href", "action", "data", "poster", "background", "xlink:href"):
            assert attrs.get(name, "#").startswith(("#", "data:image/jpeg;base64,")), (tag, attrs)
        assert not any(name.startswith("on") for name in attrs), (tag, attrs)
        assert "url(" not in attrs.get("style", "")
    ids = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] for attrs in parsed.all("a")]
    assert len(links) == len(cells_report.chapters) >= 10
    assert all(link[1:] in ids for link in links)
    style = "".join(parsed.texts["style"])
    assert "url(" not in style
    assert "@import" not in style


def test_page_has_every_part_and_every_figure_its_words(cells_page, cells_report):
    parsed = Parsed(cells_page)
    headings = parsed.texts["h2"]
    assert headings == [chapter.title for chapter in cells_report.chapters]
    assert {"Verdict", "Labels", "Accuracy", "Calibration", "Confusion", "Overlap", "Thresholds", "Training"} <= set(
        headings
    )
    plots = [attrs for attrs in parsed.all("div") if attrs.get("class") == "plot"]
    assert len(plots) == len(pictures_of(cells_report)) > 20
    assert all(attrs["role"] == "img" and len(attrs["aria-label"]) > 20 for attrs in plots)
    assert all(parsed.by_id(f"{attrs['id']}-data")["type"] == "application/json" for attrs in plots)
    assert all(attrs["alt"] for attrs in parsed.all("img"))
    assert 4 <= len(parsed.all("img")) <= 12
    shown = " ".join(text for texts in parsed.texts.values() for text in texts)
    for display in displays_of(cells_report):
        assert explained(display.how) in shown, display.key
    assert len(parsed.all("details")) >= len(displays_of(cells_report))


def test_page_tells_the_verdict_with_its_reasons_and_the_facts_of_the_run(cells, cells_page):
    parsed = Parsed(cells_page)
    verdict = Verdict.model_validate(cells.verdict)
    assert parsed.texts["h1"] == [verdict.headline.replace("-", "−")]
    titles = parsed.texts["h4"]
    assert all(reason.title in titles for reason in verdict.reasons)
    code = parsed.texts["pre"][0]
    compile(code, "report", "exec")
    assert "def predict(logits):" in code
    values = parsed.texts["dd"]
    for fact in (cells.checksum, cells.manifest["data_fingerprint"], cells.manifest["software"]["torch"], "0, 1"):
        assert fact in values
    assert any("2 seeds" in text for text in parsed.texts["li"])
    commands = "".join(parsed.texts["pre"])
    assert "--encoder tu-mobilenetv3_small_050" in commands
    assert "--seeds 0,1" in commands
    assert "python -m pipelines export cells" in commands


def test_page_is_small_and_the_same_whenever_it_is_made(cells_page, hostile, hostile_report):
    assert len(cells_page.encode()) < 4_000_000
    assert html_bytes(hostile, report_of(hostile)) == html_bytes(hostile, hostile_report)


def test_figures_in_the_page_are_those_of_the_displays(cells_page, cells_report):
    scripts = re.findall(
        r'<script type="application/json" id="([^"]+)" data-figure="([^"]+)">(.*?)</script>', cells_page
    )
    pictures = pictures_of(cells_report)
    assert len(scripts) == len(pictures)
    for (_, key, text), (display, picture) in zip(scripts, pictures, strict=True):
        found, own = json.loads(text), plain(picture.figure.to_plotly_json())
        assert key == picture.key
        assert found["data"] == own["data"]
        changed = {name for name in own["layout"] if found["layout"].get(name) != own["layout"][name]}
        assert changed <= {"template", "font", "title", "margin", "height"}, picture.key
        if own["layout"]["title"].get("text") != display.title:
            assert found["layout"]["title"]["text"] == own["layout"]["title"]["text"]
            assert found["layout"]["height"] == own["layout"]["height"]


def test_only_the_two_scripts_of_the_page_may_run(cells_page):
    policy = next(attrs["content"] for attrs in Parsed(cells_page).all("meta") if "http-equiv" in attrs)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "http" not in policy
    assert rules["img-src"] == "data: blob:"
    packed = re.search(r'<script type="text/plain" id="plotly-gzip">(.*?)</script>', cells_page)[1]
    plotly = gzip.decompress(base64.b64decode(packed)).decode()
    assert plotly == get_plotlyjs()
    assert len(packed) < 0.45 * len(plotly)
    own = re.search(r"<script>(.*?)</script>", cells_page, re.DOTALL)[1]
    hashes = {base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in (plotly, own)}
    assert set(re.findall(r"'sha256-([^']+)'", rules["script-src"])) == hashes
    assert "unsafe" not in rules["script-src"]


def test_names_from_files_never_become_markup(hostile, hostile_report):
    text = html_bytes(hostile, hostile_report).decode()
    parsed = Parsed(text)
    assert parsed.unmatched == []
    scripts = parsed.all("script")
    assert [attrs for attrs in scripts if not attrs] == [{}]
    assert len(scripts) == 2 + len(pictures_of(hostile_report))
    assert all(attrs["src"].startswith("data:image/jpeg;base64,") for attrs in parsed.all("img"))
    assert HOSTILE in "".join(parsed.texts["li"])  # shown as it stands
    assert "alert(1)" not in "".join(parsed.texts["script"])


def test_nothing_in_a_figure_ends_the_script_it_stands_in():
    evil = "</script><!-- <script> ]]> & \u2028\u2029 '\" \\"
    figure = go.Figure({"data": [{"type": "scatter", "x": [1, float("nan")], "name": evil}], "layout": {"title": evil}})
    text = script_json(figure_json(Picture("x", figure, "x"), above=""))
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text)["data"][0]["name"] == evil
    assert json.loads(text)["data"][0]["x"] == [1, None]


@given(st.text())
def test_escaped_text_parses_back_and_holds_no_markup(text):
    shown = escaped(text)
    assert not set("<>\"'") & set(shown)
    parsed = Parsed(f'<p title="{shown}">{shown}</p>')
    assert [tag for tag, _ in parsed.elements] == ["p"]
    visible = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", text)
    assert parsed.elements[0][1]["title"] == visible


def test_whatever_the_template_is_given_is_escaped_but_for_colours_which_are_checked():
    evil = "</script>\x00\x9f\ud800 '\" <img src=x onerror=alert(1)>"
    cover = Cover(evil, evil, evil, f'red"{evil}', (evil,))
    verdict = Verdict(
        answer="sigmoid", contender="softmax", headline="h", confidence="strong", reasons=(), would_change=(),
        images_needed=None, split="test", seeds=(0,), margin=Margin(),
    )  # fmt: skip
    readable, whole = pd.DataFrame({"a": [HOSTILE], HOSTILE: [f"1 [{HOSTILE}"]}), pd.DataFrame({HOSTILE: [HOSTILE]})
    blocks = [
        Block("text", [evil]),
        Block("left_out", [(evil, evil)]),
        Block("bullets", [evil], evil),
        Block("cards", [Card(evil, evil, evil, evil, evil)], evil),
        Block("facts", [(evil, evil)], evil),
        Block("commands", [evil], evil),
        Block("legend", [(evil, evil)]),
        Block("gallery", [(evil, [Photo(evil, evil, evil)])], note=evil),
        Summary(evil, readable, evil, whole, "scores"),
    ]
    parsed = Parsed(page(Report(cover, verdict, (Chapter(evil, evil, evil, blocks),)), tables=evil))
    assert parsed.unmatched == []
    assert [attrs for attrs in parsed.all("script") if not attrs] == [{}]
    (shown,) = parsed.all("img")
    assert set(shown) == {"src", "alt"}
    assert parsed.texts["h1"] == [evil.replace("\x00\x9f\ud800", "\ufffd" * 3)]
    assert parsed.all("header")[0]["style"] == "border-color:#888888"
    assert parsed.all("span")[0]["style"] == "background:#888888"


def test_colours_from_files_are_colours():
    assert safe_color("#12aBff") == "#12aBff"
    assert safe_color('red;background:url("x")') == "#888888"


def test_parts_that_a_run_cannot_have_are_named_with_the_reason(tmp_path):
    run = make_run(tmp_path, "one-class", kind="overlapping", classes=("thing",), images=3)
    report = report_of(run)
    left = {
        title
        for chapter in report.chapters
        for block in chapter.blocks
        if isinstance(block, Block) and block.kind == "left_out"
        for title, _ in block.items
    }
    assert {"Which classes share pixels", "Label sets", "By seed", "Training"} <= left
    shown = " ".join(Parsed(page(report, tables="x")).texts["li"])
    assert "there is one class" in shown
    assert "loaded, not trained" in shown


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("one-image", {"kind": "exclusive", "classes": ("a", "b", "c"), "images": 1}),
        ("empty-class", {"kind": "overlapping", "classes": ("seen", "other", "unseen"), "empty": ("unseen",)}),
        ("vessels", None),
        ("landcover", None),
    ],
)
def test_every_kind_of_run_has_a_report(tmp_path, real_runs, name, options):
    run = Run(real_runs / name) if options is None else make_run(tmp_path, name, **options)
    report = report_of(run)
    parsed = Parsed(page(report, tables=f"{name}-tables"))
    assert parsed.unmatched == []
    ids = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert "nan" not in " ".join(text for texts in (parsed.texts["p"], parsed.texts["tbody"]) for text in texts).split()


def test_another_margin_gives_another_verdict(hostile):
    # A margin of 0.9 Dice swallows any difference, so no reason can speak of a difference that matters.
    wide, narrow = (report_of(hostile, margin=Margin(dice=dice)) for dice in (0.9, 0.0001))
    assert wide.verdict.margin.dice == 0.9
    assert wide.cover.headline != narrow.cover.headline
    assert "Differences within 0.9 Dice" in wide.chapters[0].lead


def test_ids_are_unique_even_where_keys_are_not():
    figure = go.Figure({"data": [], "layout": {"height": 100, "title": {"text": "t"}, "margin": {"t": 38, "b": 8}}})
    display = Display(
        "p", "t", (Picture("a b", figure, "x"), Picture("a-b", figure, "x")), pd.DataFrame({"a": [1]}), "forest"
    )
    cover = Cover("run", "above", "headline", "#000000", ())
    verdict = Verdict(
        answer="sigmoid", contender="softmax", headline="h", confidence="strong", reasons=(), would_change=(),
        images_needed=None, split="test", seeds=(0,), margin=Margin(),
    )  # fmt: skip
    chapters = tuple(Chapter(key, key, "", (display, Block("legend", [("x", "#000000")]))) for key in ("one", "two"))
    parsed = Parsed(page(Report(cover, verdict, chapters), tables="run-tables"))
    ids = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {"figure-a-b", "figure-a-b-2", "figure-a-b-3", "figure-a-b-4"} <= set(ids)


def test_title_that_the_page_says_above_is_not_said_twice():
    layout = {"height": 300, "title": {"text": "Classes"}, "margin": {"t": 38, "b": 8}}
    picture = Picture("x", go.Figure({"data": [], "layout": layout}), "x")
    same, other = figure_json(picture, above="Classes")["layout"], figure_json(picture, above="Labels")["layout"]
    assert "title" not in same
    assert same["height"] == 300 - 38 + 10  # the room of the title goes with it
    assert other["title"]["text"] == "Classes"
    assert other["height"] == 300


def test_sentences_that_work_in_the_app_only_are_left_out(monkeypatch):
    monkeypatch.setitem(HOW_TO_READ, "forest", "Rows are classes. Click a point to see it. The line is p > 0.5.")
    assert explained("forest") == "Rows are classes. The line is p > 0.5."


def test_long_tables_are_thinned_evenly_and_keep_both_ends():
    table = pd.DataFrame({"row": range(1000)})
    few = thinned(table, most=10)
    assert list(few["row"]) == [0, 111, 222, 333, 444, 555, 666, 777, 888, 999]
    assert thinned(few, most=10) is few


@pytest.mark.parametrize(
    ("value", "share", "said"),
    [
        (0.12345, False, "0.1235"), (-0.5, False, "−0.5000"), (12345, False, "12\u202f345"), (-1, False, "−1"),
        (0.107, True, "10.7%"), (float("nan"), False, "–"), (None, False, "–"), (np.float64("inf"), False, "∞"),
        (1e-5, False, "1.00e−05"), (0.0, False, "0.0000"), (True, False, "yes"), ("a", True, "a"),
        (123456.7, False, "123\u202f456"),
    ],
)  # fmt: skip
def test_cells_are_written_for_people(value, share, said):
    assert written(value, share=share) == said


# What is told of a run ---------------------------------------------------------------------------------------------


def test_telling_images_are_the_extremes_and_none_twice():
    nan = float("nan")
    rows = {
        "a": (0.9, 0.1, 0.50),  # differs most, and has the largest lead: counts once
        "b": (0.6, 0.5, 0.20),
        "c": (0.7, 0.4, 0.10),
        "d": (0.2, 0.4, 0.30),
        "e": (nan, 0.4, 0.05),
    }
    scores = pd.DataFrame.from_dict(rows, orient="index", columns=["sigmoid", "softmax", "differ"])
    assert telling(scores) == [
        ("a", "the heads differ most, on 50.0% of its pixels"),
        ("c", "sigmoid's largest lead, 0.300 Dice"),
        ("d", "softmax's largest lead, 0.200 Dice"),
    ]
    same = pd.DataFrame({"sigmoid": [1.0], "softmax": [1.0], "differ": [0.0]}, index=["a"])
    assert telling(same) == [("a", "the heads agree on all of its pixels")]
    assert telling(same.iloc[:0]) == []


def test_command_that_made_the_run_can_be_read_back():
    config = RunConfig.model_validate(
        {
            "dataset": "/data/my cells",
            "training": {
                "seeds": [0, 1], "size": [96, 128], "loss": "ce+dice", "augment": False, "learning_rate": 0.002,
                "priority": ["nucleus", "cell"], "encoder_weights": "imagenet",
            },
            "evaluation": {"replicates": 500, "cost_false_negative": 4.0},
        }
    ).model_dump(mode="json")  # fmt: skip
    options = describe.options_of(config)
    assert options[options.index("--size") + 1] == "96x128"
    assert {"--no-augment", "--seeds", "--loss", "--lr", "--priority", "--encoder-weights", "--replicates"} <= set(
        options
    )
    training = RunConfig.model_validate(config).training
    request, _ = parse(["run", "cells", *options])  # raises on an option it does not know
    assert request.training == training
    assert (request.evaluation.replicates, request.evaluation.cost_false_negative) == (500, 4.0)
    assert describe.options_of(RunConfig(dataset="x").model_dump(mode="json")) == []
    by_head = RunConfig.model_validate({"dataset": "x", "training": {"learning_rates": {"softmax": 0.01}}})
    assert describe.options_of(by_head.model_dump(mode="json")) == ["--lr", "softmax=0.01"]


# Tables ------------------------------------------------------------------------------------------------------------


def test_tables_are_listed_with_what_they_hold(cells, cells_tables):
    found = cells_tables
    assert next(iter(found)) == "index"
    assert list(found["index"]["file"]) == [f"{name}.csv" for name in found if name != "index"]
    assert list(found["index"]["rows"]) == [len(table) for name, table in found.items() if name != "index"]
    assert all(found["index"]["about"].str.len() > 10)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in found)
    pd.testing.assert_frame_equal(found["metrics"], cells.metrics())
    pd.testing.assert_frame_equal(found["image-scores"], cells.image_scores())
    pd.testing.assert_frame_equal(found["training"], cells.training())
    assert list(found["verdict-reasons"]["code"]) == [reason["code"] for reason in cells.verdict["reasons"]]
    assert len(found["tuned-thresholds"]) == 3 * (3 * 2 * 2 + 2)  # classes × (heads × seeds × variants + by class)
    assert len(found["temperatures"]) == 3 * 2 + 2 * 3  # heads × seeds, and of sigmoid seeds × classes
    assert len(found["data-splits"]) == 3 * 3


def test_every_table_in_the_report_is_among_the_files(cells_tables, cells_report):
    for chapter in cells_report.chapters:
        for block in chapter.blocks:
            if isinstance(block, Display):
                pd.testing.assert_frame_equal(cells_tables[table_name(chapter.key, block.key)], block.table)


def test_csv_files_read_back_as_the_tables(cells_tables):
    for name, table in cells_tables.items():
        content = csv_bytes(table)
        back = pd.read_csv(io.BytesIO(content), keep_default_na=False, na_values=[""])
        assert list(back.columns) == list(table.columns), name
        assert len(back) == len(table), name
        for column in table.columns:
            if pd.api.types.is_numeric_dtype(table[column]):
                np.testing.assert_array_equal(
                    back[column].to_numpy(np.float64), table[column].to_numpy(np.float64), err_msg=f"{name} {column}"
                )
        rows = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
        assert {len(row) for row in rows} == {table.shape[1]}, name
        assert content.endswith(b"\r\n")


def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe_and_numbers_do_not():
    table = pd.DataFrame(
        {"name": ["=1+1", "+a", "-b", "@c", "\td", "＝e", "'=f", "'g", "h=i"], "value": -1.5 * np.arange(9)}
    )
    lines = csv_bytes(table).decode().split("\r\n")
    assert lines[:7] == ["name,value", "'=1+1,-0.0", "'+a,-1.5", "'-b,-3.0", "'@c,-4.5", "'\td,-6.0", "'＝e,-7.5"]
    assert lines[7:10] == ["''=f,-9.0", "'g,-10.5", "h=i,-12.0"]


def test_class_names_from_files_are_harmless_in_the_tables(hostile, hostile_report):
    files = table_files(hostile, hostile_report)
    for name, content in files.items():
        for row in csv.reader(io.StringIO(content.decode(), newline="")):
            for cell in row:
                assert not re.match(r"[=@+\t\r]|-(?!\d)", cell), (name, cell)
    scores = pd.read_csv(io.BytesIO(files["metrics.csv"]))
    assert "'-b" in set(scores["class"])


_EXAMPLE = re.search(r'str\.replace\(r"(.+?)", r"(.+?)"', (REPO / "docs" / "export.md").read_text())


@given(
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\x00\r")), st.floats(allow_nan=False)),
        min_size=1,
    )
)
@settings(max_examples=60, deadline=None)
def test_csv_gives_every_text_and_number_back(rows):
    table = pd.DataFrame(rows, columns=["text", "number"])
    back = list(csv.reader(io.StringIO(csv_bytes(table).decode(), newline="")))[1:]
    # as docs/export.md says it is done
    assert [re.sub(_EXAMPLE[1], _EXAMPLE[2], row[0]) for row in back] == [text for text, _ in rows]
    assert [float(row[1]) for row in back] == [number for _, number in rows]


def test_harmless_leaves_ordinary_text_alone():
    for text in ("", "cell", "img_07", "a-b", "'quoted'", "1e5"):
        assert harmless(text) == text


def test_zip_of_tables_is_the_same_bytes_each_time_and_holds_them_all(hostile, hostile_report):
    first, second = tables_zip(hostile, hostile_report), tables_zip(hostile, hostile_report)
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            f"hostile-tables/{name}": content for name, content in table_files(hostile, hostile_report).items()
        }
        assert all(entry.date_time == (1980, 1, 1, 0, 0, 0) for entry in archive.infolist())
    assert zip_bytes({}) == zip_bytes({})


@pytest.mark.parametrize(
    ("chapter", "key", "name"),
    [
        ("verdict", "forest", "verdict-forest"), ("confusion", "confusion", "confusion"),
        ("thresholds", "threshold_choices_table", "thresholds-choices"), ("overlap", "labels_table", "overlap-labels"),
        ("labels", "../x y", "labels-x-y"),
    ],
)  # fmt: skip
def test_names_of_tables_begin_with_their_chapter(chapter, key, name):
    assert table_name(chapter, key) == name


# On disk -----------------------------------------------------------------------------------------------------------


def test_export_writes_both_and_says_how_large_they_are(hostile, hostile_report, tmp_path):
    done = export(hostile, tmp_path / "new" / "folder")
    page_path, tables_path = (tmp_path / "new" / "folder" / name for name in ("hostile-report.html", "hostile-tables"))
    assert done[0] == Written(page_path, page_path.stat().st_size, 1)
    assert done[1].files == len(list(tables_path.iterdir()))
    assert done[1].bytes == sum(one.stat().st_size for one in tables_path.iterdir())
    assert sorted(one.name for one in page_path.parent.iterdir()) == ["hostile-report.html", "hostile-tables"]
    assert (tables_path / "metrics.csv").read_bytes() == table_files(hostile, hostile_report)["metrics.csv"]


def test_export_replaces_nothing_unless_asked_for(hostile, tmp_path):
    (tmp_path / "hostile-report.html").write_text("mine")
    with pytest.raises(ConfigError, match=r"hostile-report.html is in .* already; add --force"):
        export(hostile, tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["hostile-report.html"]
    assert (tmp_path / "hostile-report.html").read_text() == "mine"
    export(hostile, tmp_path, html=False)
    assert (tmp_path / "hostile-report.html").read_text() == "mine"
    (tmp_path / "hostile-tables" / "old.csv").write_text("from an earlier version")
    export(hostile, tmp_path, force=True)
    assert (tmp_path / "hostile-report.html").read_text().startswith("<!DOCTYPE html>")
    assert not (tmp_path / "hostile-tables" / "old.csv").exists()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["hostile-report.html", "hostile-tables"]


def test_export_never_deletes_what_it_did_not_write(hostile, tmp_path):
    (tmp_path / "hostile-tables").mkdir()
    (tmp_path / "hostile-tables" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds notes.txt, which no export wrote"):
        export(hostile, tmp_path, html=False, force=True)
    assert (tmp_path / "hostile-tables" / "notes.txt").read_text() == "mine"


def test_export_of_nothing_or_onto_a_file_is_refused(hostile, tmp_path):
    with pytest.raises(ConfigError, match="nothing to export"):
        export(hostile, tmp_path, html=False, csv=False)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="is a file"):
        export(hostile, tmp_path / "file")


def test_what_cannot_be_written_leaves_the_old_and_no_debris(tmp_path):
    (tmp_path / "a.html").mkdir()  # a folder cannot be replaced by a file
    with pytest.raises(RunError, match=r"a.html could not be written"):
        replace_file(tmp_path / "a.html", b"x")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "old.csv").write_text("old")
    with pytest.raises(RunError, match="tables could not be written"):
        replace_folder(tmp_path / "tables", {"new.csv": b"new", "no/such/folder.csv": b""})
    (tmp_path / "taken").write_text("old")  # a folder cannot take a file's place
    with pytest.raises(RunError, match="taken could not be written"):
        replace_folder(tmp_path / "taken", {"new.csv": b"new"})
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.html", "tables", "taken"]
    assert [one.name for one in (tmp_path / "tables").iterdir()] == ["old.csv"]
    assert (tmp_path / "taken").read_text() == "old"


def test_command_writes_quietly_without_torch_and_refuses_a_second_time(hostile, tmp_path):
    # the command in a process of its own, and what it has imported by then
    script = (
        "import sys\nfrom pipelines.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    print(sorted({'torch', 'torchvision', 'segmentation_models_pytorch'} & set(sys.modules)))"
    )

    def call(*options):
        command = [sys.executable, "-c", script, "export", str(hostile.folder), "--out", str(tmp_path), *options]
        return subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False, env=os.environ)

    done = call("--zip", "--margin", "0.02")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == "[]"
    assert re.fullmatch(r".*/hostile-report.html  \d\.\d MB", lines[0])
    assert re.fullmatch(r".*/hostile-tables.zip  \d+ kB", lines[1])
    assert "Differences within 0.02 Dice" in (tmp_path / "hostile-report.html").read_text()
    again = call("--no-csv")
    assert again.returncode == 2
    assert again.stderr.startswith("error: hostile-report.html is in")
    assert again.stderr.count("\n") == 1


def test_command_names_a_run_that_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pipelines", "export", "nothing", "--runs", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "there is no run nothing" in capsys.readouterr().err


def test_buttons_stand_on_a_page(hostile, monkeypatch):
    from streamlit.testing.v1 import AppTest

    script = (
        "from pathlib import Path\nfrom dashboard.manage import draw_export as draw\n"
        "from pipelines.store.runs import Run\n"
        f"draw(Run(Path({str(hostile.folder)!r})))"
    )
    at = AppTest.from_string(script, default_timeout=60).run()
    assert not at.exception
    assert [button.proto.label for button in at.get("download_button")] == [
        "Download report (HTML)", "Download all tables (ZIP)",
    ]  # fmt: skip
