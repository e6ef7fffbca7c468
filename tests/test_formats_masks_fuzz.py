"""Broken and hostile folders of pictures and masks: each is read or refused in one line, and nothing is written."""

import os
import random
import shutil
import warnings

import numpy as np
import pytest
from fuzzing import trials
from make_dataset import picture, save
from mask_layouts import FOLDERS, index_mask, rows

from pipelines import links
from pipelines.datasets.opening import open_dataset, recognise
from pipelines.errors import PipelineError
from pipelines.reading import DataReading

CASES = trials(200)
WORDS = ["cat", "0", "255", "-1", "1e9", ",", ":", ";", "#", "\t", "=", '"', "name", "value", "r", "g", "b", "\0",
         "é", "999999999999"]  # fmt: skip


def mutate(path, others, source: random.Random) -> None:
    """Change a file as bad disks, bad tools and bad people do."""
    content = bytearray(path.read_bytes())
    way = source.randrange(8)
    if way == 0:
        content = content[: source.randrange(len(content) + 1)]
    elif way == 1:
        for _ in range(source.randrange(1, 8)):
            content[source.randrange(len(content))] ^= 1 << source.randrange(8)
    elif way == 2:
        # Whole fields of a header: sizes, counts and offsets are the largest and the smallest there are.
        at = source.randrange(len(content))
        content[at : at + 4] = source.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\1\0\0\0"])
    elif way == 3:
        content = bytearray(source.randbytes(source.randrange(400)))
    elif way == 4:
        content = bytearray(source.choice(others).read_bytes())
    elif way == 5:
        at = source.randrange(len(content))
        content[at:at] = content[: source.randrange(len(content))]
    elif way == 6:
        content = bytearray(source.choice([" ", "\n", ""]).join(source.choices(WORDS, k=20)).encode())
    elif path.suffix in (".txt", ".csv"):
        lines = path.read_text().splitlines()
        words = [source.choice([*WORDS, *line.split(",")]) for line in lines for _ in range(3)]
        content = bytearray("\n".join(",".join(words[3 * at : 3 * at + 3]) for at in range(len(lines))).encode())
    else:
        del content[source.randrange(len(content)) :: source.randrange(2, 9)]
    path.write_bytes(content)


def state(root) -> dict:
    """Every file with its size and time of change."""
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in root.rglob("*")}


def check_line(message: str) -> None:
    assert message
    assert message.isprintable(), repr(message)
    assert len(message) < 1000, message


def read_all(root, reading) -> int:
    """Open and examine everything; the number of images that could be read."""
    try:
        for one in recognise(root):
            check_line(one.reason)
        dataset = open_dataset(root, reading)
    except PipelineError as error:
        check_line(str(error))
        return 0
    for finding in dataset.structure():
        check_line(finding.message)
    read = 0
    for name in dataset.names():
        found = dataset.examine(name)
        for finding in found.findings:
            check_line(finding.message)
        if found.item is not None:
            assert found.item.image.shape[:2] == found.item.truth.shape[1:] == found.item.valid.shape
            assert np.isfinite(found.item.image).all()
            read += 1
        else:
            assert any(finding.severity == "error" for finding in found.findings)
    return read


@pytest.mark.parametrize("form", FOLDERS)
def test_damaged_folders_are_read_or_refused_in_one_line(tmp_path, form):
    whole = tmp_path / "whole"
    FOLDERS[form](whole)
    assert read_all(whole, DataReading(format=form)) == 3
    every = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    source = random.Random(form)
    root = tmp_path / "set"
    shutil.copytree(whole, root)
    read = 0
    for case in range(CASES):
        touched = source.sample(every, source.randrange(1, 4))
        for one in touched:
            mutate(root / one, [whole / other for other in every], source)
        before = state(tmp_path)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read += read_all(root, DataReading(format=form if case % 3 else None))
        assert state(tmp_path) == before
        for one in touched:
            shutil.copy(whole / one, root / one)
    assert 0 < read < 3 * CASES  # neither all refused nor all read


def test_hostile_names_of_files_and_folders_are_shown_as_one_line(tmp_path):
    names = [
        "a\nb",
        "\x1b[31mred",
        "<script>",
        "![x](http://example.org)",
        "a" * 220,
        "con",
        "é" * 90,
        " ",
        "x..",
        "a\\b",
    ]
    for index, name in enumerate(names):
        save(tmp_path / "images" / f"{name}.png", picture(index))
        save(tmp_path / "masks" / f"{name}.png", index_mask(1, 2))
        save(tmp_path / "other" / "images" / f"p{index}.png", picture(index))
        save(tmp_path / "other" / "masks" / name[:200] / f"p{index}.png", rows(0, 1))
    for form in FOLDERS:
        for root in (tmp_path, tmp_path / "other"):
            read_all(root, DataReading(format=form))
    for path in (tmp_path / "other" / "masks").glob("*/*.png"):
        path.write_bytes(path.read_bytes()[:-9])
    read_all(tmp_path / "other", DataReading(format="per_class"))
    dataset = open_dataset(tmp_path / "other", DataReading(format="per_class", kind="overlapping"))
    assert len(dataset.classes) == len(names)
    assert all(name.isprintable() for name in (*dataset.classes, *dataset.names()))


def test_names_that_are_no_utf8_are_read(tmp_path):
    folder = os.fsencode(tmp_path / "masks") + b"/\xff\xfecell"
    os.makedirs(folder)
    for index in range(3):
        save(tmp_path / "images" / f"p{index}.png", picture(index))
        save(tmp_path / "mask.png", rows(0, 1))
        shutil.move(os.fsencode(tmp_path / "mask.png"), folder + f"/p{index}.png".encode())
    save(tmp_path / "other.png", picture(9))
    shutil.move(os.fsencode(tmp_path / "other.png"), os.fsencode(tmp_path / "images") + b"/\xfa.png")
    for form in FOLDERS:
        read_all(tmp_path, DataReading(format=form))
    dataset = open_dataset(tmp_path, DataReading(format="per_class"))
    assert dataset.names() == ("p0", "p1", "p2")
    assert dataset.classes == ("_cell",)
    assert len(dataset.fingerprint()) == 64


def test_hostile_tables_of_names_are_refused_or_kept_as_text(tmp_path, monkeypatch):
    FOLDERS["indexed"](tmp_path)
    source = random.Random(7)
    for _ in range(CASES // 3):
        for file in ("classes.txt", "labels.csv", "labelmap.txt"):
            lines = ["".join(source.choices([*WORDS, " "], k=source.randrange(6))) for _ in range(source.randrange(6))]
            (tmp_path / file).write_bytes("\n".join(lines).encode() + source.randbytes(source.randrange(3)))
            read_all(tmp_path, DataReading(format="indexed", options={"names": file}))
            (tmp_path / file).unlink()
    (tmp_path / "classes.txt").write_text("x\n" * 600_000)
    with pytest.raises(PipelineError, match="larger than"):
        open_dataset(tmp_path)
    (tmp_path / "classes.txt").write_text("\n".join(f"name {index}" for index in range(5000)))
    with pytest.raises(PipelineError, match="names 5,000 classes, allowed are 4,096"):
        open_dataset(tmp_path)
    (tmp_path / "classes.txt").write_text("a :" * 300_000)
    with pytest.raises(PipelineError, match="has a line of 900,000 characters"):
        open_dataset(tmp_path)
    outside = tmp_path.parent / f"{tmp_path.name}-outside.txt"
    outside.write_text("secret\n")
    (tmp_path / "classes.txt").unlink()
    (tmp_path / "classes.txt").symlink_to(outside)
    monkeypatch.setenv(links.ROOTS, str(tmp_path))
    assert "secret" not in open_dataset(tmp_path).classes
    for wrong in (f"../{outside.name}", str(outside), "classes.txt", "masks"):
        with pytest.raises(PipelineError, match="option names must be a file inside"):
            open_dataset(tmp_path, DataReading(options={"names": wrong}))
