"""The look at the first images before an import: what is told, in a process of its own, whatever the files are."""

import io
import random
import shutil

import hostile_outputs
import numpy as np
import pyarrow.parquet as pq
import pytest
from outputs_on_disk import write_outputs
from synthetic import make_run

from dashboard.forms.imports import for_page, match, split_names, usual_names, verdict_on
from dashboard.forms.sources import place_of, places
from pipelines.imports.readers.parquet import unpacked_bytes
from pipelines.imports.trial import Truth, look, look_apart
from pipelines.requests import CheckRequest, HeadOutputs, ImportRequest
from pipelines.uploads.workspace import UPLOADS

CLASSES = ("cell", "nucleus")
TRUTH = Truth(name="x", kind="overlapping", classes=CLASSES, colors=("#000000", "#ffffff"), background=None, images={})


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brought")
    run = make_run(folder / "made", "cells", kind="overlapping", classes=CLASSES, images=2, size=(20, 28), seeds=(0, 3))
    for head in run.heads:
        for seed in run.seeds:
            write_outputs(folder / head / f"seed={seed}", run, head, "npy", seed=seed)
        write_outputs(folder / "maps" / head, run, head, "png16")
    return folder


def asked(brought, heads):
    return ImportRequest(name="", dataset=str(brought / "made" / ".data" / "cells"), heads=heads)


def test_before_anything_is_said_the_facts_are_told(brought):
    looked, preview = look(asked(brought, {"softmax": HeadOutputs(path=str(brought / "softmax"))}))
    seen = looked.heads["softmax"]
    assert (seen.format, seen.values, seen.channels) == ("arrays", None, None)
    assert (seen.count, seen.size, seen.seeds, seen.in_folders) == (3, (20, 28), (0, 3), True)
    assert (seen.looked, seen.findings, seen.problem) == (0, (), None)
    assert preview.decided == {}
    assert preview.truth.shape == (2, 20, 28)


def test_files_that_name_their_channels_need_only_their_values(brought):
    looked, preview = look(
        asked(brought, {"sigmoid": HeadOutputs(path=str(brought / "maps" / "sigmoid"), values="probabilities")})
    )
    assert looked.heads["sigmoid"].channels == CLASSES
    assert looked.heads["sigmoid"].looked == 4  # two of val, two of test
    assert preview.decided["sigmoid"].shape == (2, 20, 28)


def test_swapped_channels_show_in_the_picture(brought):
    agree = {}
    for names in (CLASSES, CLASSES[::-1]):
        head = HeadOutputs(path=str(brought / "sigmoid"), values="logits", classes=names)
        looked, preview = look(asked(brought, {"sigmoid": head}))
        assert verdict_on(looked) == (True, [])
        agree[names] = (preview.decided["sigmoid"] == preview.truth).mean()
    assert agree[CLASSES] > 0.9 > agree[CLASSES[::-1]] + 0.2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"values": "probabilities"}, "LOGITS-AS-PROBABILITIES"),
        ({"classes": ("cell",)}, "no channel for nucleus"),
        ({"path": "/nowhere"}, "is not there"),
        ({"format": "maps"}, "<class>/<image>.png"),
        ({"format": "dicom"}, "available formats are"),
    ],
)
def test_what_stands_in_the_way_is_told(change, said, brought):
    head = HeadOutputs(**({"path": str(brought / "sigmoid"), "values": "logits", "classes": CLASSES} | change))
    looked, _ = look_apart(asked(brought, {"sigmoid": head}))
    good, lines = verdict_on(looked)
    told = "\n".join([*lines, *(f"{one.code}: {one.message}" for one in looked.heads["sigmoid"].findings)])
    assert not good
    assert said in told


def test_a_data_set_that_is_none_is_told(tmp_path):
    looked, preview = look_apart(CheckRequest(dataset=str(tmp_path)))
    assert (looked.truth, preview) == (None, None)
    assert looked.problem is not None
    assert "\n" not in looked.problem


def test_a_split_without_images_is_told(brought):
    data = brought / "made" / ".data" / "cells"
    shutil.copytree(data, brought / "short")
    (brought / "short" / "splits" / "val.txt").write_text("")
    heads = {"sigmoid": HeadOutputs(path=str(brought / "sigmoid"))}
    looked, _ = look(ImportRequest(name="", dataset=str(brought / "short"), heads=heads))
    assert looked.problem.startswith("SPLIT-EMPTY: val")


def test_a_process_that_takes_too_long_or_too_much_is_told_in_one_line(brought):
    one = asked(brought, {"sigmoid": HeadOutputs(path=str(brought / "sigmoid"), values="logits", classes=CLASSES)})
    slow, _ = look_apart(one, seconds=0.05)
    assert slow.problem.startswith("LOOK-TIME: the first images could not be read in 0.05 s; ")
    starved, _ = look_apart(one, memory=0)
    assert starved.problem is None or starved.problem.startswith("LOOK-DIED: ")


def test_an_upload_that_has_gone_is_told(brought, tmp_path):
    gone = tmp_path / UPLOADS / ("a" * 22) / "data"
    looked, _ = look_apart(asked(brought, {"sigmoid": HeadOutputs(path=str(gone))}))
    assert looked.problem.startswith("UPLOAD-GONE: ")


# What the page asks ------------------------------------------------------------------------------------------------


def test_names_are_taken_however_they_are_pasted():
    for text in ("a, b,c", "['a', 'b', 'c']", "a\nb\nc\n", '("a","b","c",)', " a , b\nc"):
        assert split_names(text) == ("a", "b", "c")
    assert split_names(" ,\n") == ()


def test_the_usual_order_is_offered_only_where_there_is_one():
    assert usual_names("sigmoid", TRUTH, 2) == CLASSES
    assert usual_names("softmax", TRUTH, 3) == ("background", *CLASSES)
    assert usual_names("softmax", TRUTH, 5) == ()
    assert usual_names("softmax-powerset", TRUTH, 3) == ()


@pytest.mark.parametrize(
    ("head", "names", "means", "problem"),
    [
        ("sigmoid", ("nucleus", "cell"), ["class nucleus", "class cell"], None),
        ("sigmoid", ("Cell", "nucleus"), ["no class; the data set writes cell", "class nucleus"],
         "no channel for cell"),
        ("sigmoid", ("", "nucleus"), ["not named yet", "class nucleus"], "channel 0 has no name yet"),
        ("sigmoid", ("cell", "cell"), ["class cell", "class cell"], "must differ"),
        ("sigmoid", ("a,b", "cell"), ["no class of the data set", "class cell"], "must not hold a comma"),
        ("softmax-powerset", ("background", "cell", "nucleus+cell", "nucleus"),
         ["nothing is there", "class cell", "label set of nucleus and cell", "class nucleus"], None),
    ],
)  # fmt: skip
def test_each_channel_says_what_it_stands_for(head, names, means, problem):
    found = match(head, names, TRUTH, background=None)
    assert [what for _, _, what in found.rows] == means
    assert (found.problem is None) if problem is None else (problem in found.problem)


def test_folders_called_after_a_head_are_found_and_others_are_not_guessed(tmp_path):
    for name in ("out/Sigmoid", "out/softmax/seed=0", "out/.hidden", "elsewhere"):
        (tmp_path / "up" / name).mkdir(parents=True)
    (tmp_path / "up" / "link").symlink_to("/")
    found = places("id", "my.zip", tmp_path / "up")
    assert [one.label for one in found] == [
        "my.zip", "my.zip / elsewhere", "my.zip / out", "my.zip / out/Sigmoid", "my.zip / out/softmax",
    ]  # fmt: skip
    assert place_of("sigmoid", found).key == "id/out/Sigmoid"
    assert place_of("softmax", found).label == "my.zip / out/softmax"
    assert place_of("softmax-powerset", found) is None


def test_messages_on_the_page_name_no_option(brought):
    head = HeadOutputs(path=str(brought / "softmax"), values="logits", classes=("x", *CLASSES))
    looked, _ = look(asked(brought, {"softmax": head}))
    assert "--" in looked.heads["softmax"].problem
    assert "--" not in for_page(looked.heads["softmax"].problem)


# What pages claim --------------------------------------------------------------------------------------------------


def test_pages_are_added_up_as_the_footer_of_an_honest_file_says():
    content = hostile_outputs.plain_parquet(rows=5000)
    group = pq.read_metadata(io.BytesIO(content)).row_group(0)
    for number in range(group.num_columns):
        chunk = group.column(number)
        start = min(at for at in (chunk.dictionary_page_offset, chunk.data_page_offset) if at)
        found = unpacked_bytes(io.BytesIO(content), start, chunk.total_compressed_size)
        assert 0 < found <= chunk.total_uncompressed_size < found + 200  # which counts the headers too


def test_pages_tell_what_a_lying_footer_does_not():
    content = hostile_outputs.parquet_bomb(random.Random(0))
    chunk = pq.read_metadata(io.BytesIO(content)).row_group(0).column(0)
    assert chunk.total_uncompressed_size == 60
    assert unpacked_bytes(io.BytesIO(content), chunk.data_page_offset, chunk.total_compressed_size) > 10**8 - 1


@pytest.mark.parametrize(
    "content", [b"", b"\x15", b"\x15\xff" * 30, b"\x0b" * 40, b"\x1c" * 60, bytes(40), b"\x15\x01\x15\x01\x15\x01\x00"]
)
def test_headers_that_make_no_sense_are_errors_that_the_reader_tells(content):
    with pytest.raises((ValueError, LookupError)):
        unpacked_bytes(io.BytesIO(content), 0, 60)


def test_an_output_far_larger_than_its_truth_is_not_read(brought, tmp_path):
    for path in (brought / "sigmoid" / "seed=0").iterdir():
        np.save(tmp_path / path.name, np.zeros((2, 200, 280), np.float32))
    looked, _ = look(asked(brought, {"sigmoid": HeadOutputs(path=str(tmp_path), values="logits", classes=CLASSES)}))
    assert "has 280×200 pixels, its truth 28×20; predict at the size of the truth" in looked.heads["sigmoid"].problem
