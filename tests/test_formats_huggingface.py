"""Hugging Face data sets as the datasets library writes them."""

import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from format_mutations import ends_well, mutate_folder
from fuzzing import trials
from make_dataset import picture
from PIL import Image
from places import REPO

from pipelines.datasets.formats import huggingface
from pipelines.datasets.formats import huggingface as huggingface_rows
from pipelines.datasets.opening import open_dataset, open_source, recognise
from pipelines.errors import DatasetError
from pipelines.reading import DataReading

datasets = pytest.importorskip("datasets")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

HEIGHT, WIDTH = 12, 16


@pytest.fixture(autouse=True)
def _silent(monkeypatch):
    datasets.disable_progress_bars()


def mask(seed: int, top: int = 2) -> np.ndarray:
    return np.random.default_rng(seed + 50).integers(0, top + 1, (HEIGHT, WIDTH)).astype(np.uint8)


def encoded(values: np.ndarray, form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, form)
    return stream.getvalue()


def cells(seeds, make, names: str | None = None) -> list[dict]:
    return [{"bytes": encoded(make(seed)), "path": names and names.format(seed)} for seed in seeds]


def made(seeds, *, names: str | None = None, image: str = "image", label: str = "label", **columns):
    features = {image: datasets.Image(), label: datasets.Image()}
    features |= {key: feature for key, (feature, _) in columns.items()}
    rows = {
        image: cells(seeds, lambda seed: picture(seed, HEIGHT, WIDTH), names),
        label: cells(seeds, mask, names),
    } | {key: values for key, (_, values) in columns.items()}  # fmt: skip
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def parquet(root: Path, *, names: str | None = None, batch: int = 3, **columns) -> Path:
    (root / "data").mkdir(parents=True)
    for split, seeds in (("train", range(8)), ("validation", range(8, 11)), ("test", range(11, 14))):
        shards = 2 if split == "train" else 1
        whole = made(list(seeds), names=names, **columns)
        for shard in range(shards):
            part = whole.shard(shards, shard, contiguous=True)
            part.to_parquet(root / "data" / f"{split}-{shard:05d}-of-{shards:05d}.parquet", batch_size=batch)
    return root


def said(**options) -> DataReading:
    return DataReading(format="huggingface", options=options)


def check_rows(dataset, names: dict[str, int]) -> None:
    assert dataset.names() == tuple(sorted(names))
    for name in (*names, *reversed(names)):  # forwards, and backwards as a shuffled loader might
        item = dataset.read(name)
        np.testing.assert_array_equal(np.rint(item.image * 255), picture(names[name], HEIGHT, WIDTH))
        np.testing.assert_array_equal(item.truth.argmax(axis=0), mask(names[name]))


def test_parquet_shards_are_read_row_by_row(tmp_path):
    root = parquet(tmp_path / "set")
    found = recognise(root)[0]
    assert found.format == "huggingface"
    assert found.reason == "data/test-00000-of-00001.parquet has the columns image and label of pictures"
    dataset = open_dataset(root)
    names = {f"train-{n:06d}": n for n in range(8)} | {f"val-{n:06d}": n + 8 for n in range(3)}
    names |= {f"test-{n:06d}": n + 11 for n in range(3)}
    check_rows(dataset, names)
    assert [len(dataset.images(split)) for split in ("train", "val", "test")] == [8, 3, 3]
    assert (dataset.kind, dataset.background) == ("exclusive", "background")
    read = datasets.load_dataset(
        "parquet", data_files=str(root / "data" / "train-*.parquet"), split="train", cache_dir=tmp_path
    )
    for number, row in enumerate(read):  # the library's own reader sees the same
        np.testing.assert_array_equal(
            np.asarray(row["label"]), dataset.read(f"train-{number:06d}").truth.argmax(axis=0)
        )


def test_file_names_name_the_rows(tmp_path):
    root = parquet(tmp_path / "set", names="folder/scene_{}.png")
    check_rows(open_dataset(root), {f"scene_{n}": n for n in range(14)})


@pytest.mark.parametrize("shards", [1, 3])
def test_save_to_disk_folders_are_read(tmp_path, shards):
    root = tmp_path / "saved"
    whole = datasets.DatasetDict(
        {"train": made(range(8)), "validation": made(range(8, 11)), "test": made(range(11, 14))}
    )
    whole.save_to_disk(root, num_shards=dict.fromkeys(whole, shards))
    assert recognise(root)[0].format == "huggingface"
    dataset = open_dataset(root)
    names = {f"train-{n:06d}": n for n in range(8)} | {f"val-{n:06d}": n + 8 for n in range(3)}
    check_rows(dataset, names | {f"test-{n:06d}": n + 11 for n in range(3)})
    assert {path.name for path in dataset.source.files()} >= {"state.json"}


def test_a_single_saved_data_set_has_no_splits(tmp_path):
    made(range(9)).save_to_disk(tmp_path / "one")
    (tmp_path / "one" / "cache-1234.arrow").write_bytes(b"left over by map(), and not listed in state.json")
    dataset = open_dataset(tmp_path / "one")
    check_rows(dataset, {f"row-{n:06d}": n for n in range(9)})
    assert "SPLIT-MADE" in {one.code for one in dataset.structure()}


def test_names_of_classes(tmp_path):
    root = parquet(tmp_path / "a")
    assert open_dataset(root, said(classes="sky, road, car")).classes == ("sky", "road", "car")
    (root / "id2label.json").write_text(json.dumps({"0": "unlabeled", "1": "road", "2": "car", "9": "never"}))
    _, source = open_source(root)
    assert [(one.name, one.role) for one in source.labels] == [
        ("unlabeled", "ignore"), ("road", "class"), ("car", "class"), ("never", "class"),
    ]  # fmt: skip
    assert (root / "id2label.json") in set(source.files())
    classes = datasets.List(datasets.ClassLabel(names=["soil", "weed", "crop"]))
    named = made(range(4), classes=(classes, [[0, 1, 2]] * 4))
    named.save_to_disk(tmp_path / "b")
    assert open_dataset(tmp_path / "b").classes == ("soil", "weed", "crop")
    scene = datasets.ClassLabel(names=["beach", "street"])  # of the whole picture
    made(range(4), scene=(scene, [0, 1, 0, 1])).save_to_disk(tmp_path / "c")
    assert open_dataset(tmp_path / "c").classes == ("background", "class 1", "class 2")


def test_255_is_left_out_and_binary_masks_are_binary(tmp_path):
    values = mask(0)
    values[0] = 255
    rows = {
        "image": cells([0, 1], lambda seed: picture(seed, HEIGHT, WIDTH)),
        "annotation": [{"bytes": encoded(values), "path": None}] * 2,
    }
    features = datasets.Features({"image": datasets.Image(), "annotation": datasets.Image()})
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "a")
    item = open_dataset(tmp_path / "a").read("row-000001")
    np.testing.assert_array_equal(item.valid, values != 255)
    binary = (mask(0, 1) * 255).astype(np.uint8)
    for number, form in enumerate((binary, np.repeat(binary[:, :, None], 3, axis=2))):  # grey, and grey as RGB
        rows["annotation"] = [{"bytes": encoded(form), "path": None}] * 2
        datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / f"b{number}")
        dataset = open_dataset(tmp_path / f"b{number}")
        assert dataset.kind == "binary"
        np.testing.assert_array_equal(dataset.read("row-000000").truth[0], binary > 0)


def test_columns_are_known_by_name_or_said(tmp_path):
    made(range(3), image="photo", label="semantic_mask_v2").save_to_disk(tmp_path / "a")
    assert open_dataset(tmp_path / "a").kind == "exclusive"
    made(range(3), image="left", label="right").save_to_disk(tmp_path / "b")
    assert "huggingface" not in [one.format for one in recognise(tmp_path / "b")]
    with pytest.raises(DatasetError, match="columns of pictures are left, right; name them with the options"):
        open_dataset(tmp_path / "b", said())
    assert open_dataset(tmp_path / "b", said(image="left", mask="right")).kind == "exclusive"
    with pytest.raises(DatasetError, match="has no column 'middle' of pictures for mask"):
        open_dataset(tmp_path / "b", said(image="left", mask="middle"))


def test_pictures_outside_the_files_are_never_read(tmp_path):
    secret = tmp_path / "secret.png"
    Image.fromarray(picture(0, HEIGHT, WIDTH)).save(secret)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": None, "path": str(secret)}] * 2 + [None]
    table = pa.table(
        {"image": pa.array(rows, kind), "mask": pa.array([{"bytes": encoded(mask(0)), "path": None}] * 3, kind)}
    )
    (tmp_path / "set").mkdir()
    pq.write_table(table, tmp_path / "set" / "train.parquet")
    dataset = open_dataset(tmp_path / "set")
    for name in dataset.names():
        (finding,) = dataset.examine(name).findings
        assert finding.code == "IMAGE-UNREADABLE"
        assert "holds no picture, at most the name of one" in finding.message


def test_plain_binary_columns_and_other_tables(tmp_path):
    table = pa.table(
        {"image": [encoded(picture(n, HEIGHT, WIDTH)) for n in range(3)], "mask": [encoded(mask(n)) for n in range(3)]}
    )
    (tmp_path / "a").mkdir()
    pq.write_table(table, tmp_path / "a" / "0000.parquet")
    check_rows(open_dataset(tmp_path / "a"), {f"row-{n:06d}": n for n in range(3)})
    (tmp_path / "b").mkdir()
    pq.write_table(pa.table({"image": ["a"], "x": [1], "y": [2]}), tmp_path / "b" / "part-00000.parquet")
    assert "huggingface" not in [one.format for one in recognise(tmp_path / "b")]


def test_an_index_and_missing_shards_are_refused(tmp_path):
    root = tmp_path / "one"
    made(range(6)).save_to_disk(root, num_shards=2)
    state = json.loads((root / "state.json").read_text())
    (root / "state.json").write_text(json.dumps(state | {"_indices_data_files": [{"filename": "indices.arrow"}]}))
    with pytest.raises(DatasetError, match="flatten_indices"):
        open_dataset(root)
    for name in ("../other.arrow", "gone.arrow", None, 5):
        (root / "state.json").write_text(json.dumps(state | {"_data_files": [{"filename": name}]}))
        with pytest.raises(DatasetError, match="which is not beside it"):
            open_dataset(root)


def test_compressed_streams_are_refused(tmp_path):
    table = made(range(4)).data.table.combine_chunks()
    (tmp_path / "a").mkdir()
    for compression in (None, "zstd", "lz4"):
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_stream(str(tmp_path / "a" / "data.arrow"), table.schema, options=options) as writer:
            writer.write_table(table)
        if compression is None:
            check_rows(open_dataset(tmp_path / "a"), {f"row-{n:06d}": n for n in range(4)})
        else:
            with pytest.raises(DatasetError, match="its batches are compressed"):
                open_dataset(tmp_path / "a", said())


def test_one_row_at_a_time_needs_the_memory_of_one_row(tmp_path):
    """A column of 200 rows that share one value of half a megabyte would be 100 MB unpacked."""
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3)).astype(np.uint8)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = pa.table({
        "image": pa.array([{"bytes": encoded(noise), "path": None}] * 200, kind),
        "mask": pa.array([{"bytes": encoded(np.zeros((400, 400), np.uint8)), "path": None}] * 200, kind),
    })  # fmt: skip
    (tmp_path / "set").mkdir()
    pq.write_table(rows, tmp_path / "set" / "train.parquet", use_dictionary=True, dictionary_pagesize_limit=1 << 26)
    del rows
    assert (tmp_path / "set" / "train.parquet").stat().st_size < 2_000_000
    shard = huggingface_rows.open_shard(tmp_path / "set" / "train.parquet")
    before = pa.total_allocated_bytes()
    most = 0
    for row in (0, 1, 2, 150, 151, 199, 3):
        assert len(shard.read(row, "image")) > 400_000
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 5_000_000, most


def test_a_long_path_that_all_rows_share_is_not_repeated(tmp_path):
    """300 KB in 300 rows: 90 MB if every row had its own."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [{"bytes": encoded(picture(0, HEIGHT, WIDTH)), "path": "x" * 300_000}] * 300
    table = pa.table({"image": pa.array(images, kind), "mask": pa.array(images, kind)})
    pq.write_table(table, tmp_path / "train.parquet", dictionary_pagesize_limit=1 << 26)
    usual, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(pool)
    try:
        assert huggingface_rows.open_shard(tmp_path / "train.parquet").paths("image") == []
    finally:
        pa.set_memory_pool(usual)
    assert 0 < pool.max_memory() < 10_000_000


def test_too_large_row_groups_are_refused(tmp_path, monkeypatch):
    root = parquet(tmp_path / "set")
    monkeypatch.setattr(huggingface_rows, "MAX_GROUP_BYTES", 100)
    told = open_dataset_error(root)
    assert "write it with smaller row groups" in told or "none of the masks can be read" in told


def open_dataset_error(root: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        open_dataset(root, said())
    return str(caught.value)


def test_an_open_source_goes_to_another_process(tmp_path):
    _, source = open_source(parquet(tmp_path / "set"))
    source.truth("train-000003")
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy.truth("train-000005").layers, source.truth("train-000005").layers)


@pytest.mark.parametrize("content", [b"", b"x", b"PAR1" * 4, b"ARROW1\0\0" * 4, b"\xff\xff\xff\xff" * 8, b"\0" * 4000])
@pytest.mark.parametrize("name", ["train.parquet", "data.arrow"])
def test_files_that_are_none_are_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert "huggingface" not in [one.format for one in recognise(tmp_path)]
    told = open_dataset_error(tmp_path)
    assert told.isprintable()
    assert name in told


def test_hostile_names_stay_text(tmp_path):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    evil = ["../../etc/passwd", "a\n<b>.png", "x" * 400]
    rows = [{"bytes": encoded(picture(0, HEIGHT, WIDTH)), "path": path} for path in evil]
    masks = [{"bytes": encoded(mask(0)), "path": None}] * 3
    pq.write_table(pa.table({"image": pa.array(rows, kind), "mask": pa.array(masks, kind)}), tmp_path / "train.parquet")
    assert open_dataset(tmp_path).names() == tuple(f"train-{n:06d}" for n in range(3))


def test_broken_tables_never_end_in_a_traceback(tmp_path):
    """JSON only; broken bytes of shards go to a process of their own below."""
    root = tmp_path / "good" / "set"
    made(range(4)).save_to_disk(root)
    (root / "id2label.json").write_text(json.dumps({"0": "a", "1": "b", "2": "c"}))
    json_only = lambda path: path.suffix == ".json" and path.name != "dataset_info.json"  # noqa: E731
    ended = mutate_folder(root, tmp_path / "bad", 200, 1, said(), which=json_only, structural=json_only)
    assert ended["refused"] > trials(20), ended
    assert ended["whole"] > trials(5), ended


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_broken_shards_do_not_crash_the_process(tmp_path, kind):
    root = tmp_path / "good" / "set"
    if kind == "arrow":
        made(range(5)).save_to_disk(root)
    else:
        root.mkdir(parents=True)
        made(range(5)).to_parquet(root / "train.parquet", batch_size=2)
    script = tmp_path / "fuzz.py"
    script.write_text(FUZZ)
    done = subprocess.run(
        [sys.executable, str(script), str(root), str(tmp_path / "bad"), kind], cwd=REPO, capture_output=True, text=True,
        timeout=200, env=os.environ | {"PYTHONPATH": f"{REPO}:{REPO / 'tests'}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    ended = json.loads(done.stdout)
    assert sum(ended.values()) == 2 * trials(150)
    assert ended["refused"] > trials(40), ended
    assert ended["findings"] > trials(10), ended


FUZZ = """
import json, sys
from pathlib import Path
import numpy as np
from format_mutations import ends_well, mutate_folder
from fuzzing import trials
from pipelines.reading import DataReading

root, place, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
reading = DataReading(format="huggingface")
ended = mutate_folder(root, place, 150, 11, reading, which=lambda path: path.suffix == "." + kind)
# What Arrow believes of the pictures' places: the footer of parquet, the messages of a stream.
(path,) = (place / root.name).glob("*." + kind)
content = path.read_bytes()
size = int.from_bytes(content[-8:-4], "little") + 8 if kind == "parquet" else len(content)
rng = np.random.default_rng(12)
for _ in range(trials(150)):
    some = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        some[len(content) - 1 - int(rng.integers(size))] = int(rng.integers(256))
    path.write_bytes(some)
    ended[ends_well(path.parent, reading)] += 1
print(json.dumps(ended))
"""


def test_what_masks_hold_is_remembered(tmp_path, monkeypatch):
    root = parquet(tmp_path / "set")
    open_source(root)
    counted = []
    monkeypatch.setattr(huggingface.reading, "count_values", lambda values: counted.append(1))
    open_source(root)
    assert counted == []
    assert ends_well(root, said()) == "whole"


# Columns of arrays ---------------------------------------------------------------------------------------------------


def values_of(seed: int, bands: int, dtype="uint16") -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (HEIGHT, WIDTH, bands)).astype(dtype)


def arrays(root: Path, bands: int, *, first: bool = False, dtype: str = "uint16", saved: bool = False) -> Path:
    """Rows with an array of bands, (H, W, B) or with the bands first, and a mask (H, W)."""
    images = [values_of(seed, bands, dtype) for seed in range(6)]
    images = [np.moveaxis(image, 2, 0) for image in images] if first else images
    features = {"image": datasets.Array3D(images[0].shape, dtype), "label": datasets.Array2D((HEIGHT, WIDTH), "uint8")}
    rows = {"image": images, "label": [mask(seed) for seed in range(6)]}
    whole = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
    root.mkdir(parents=True)
    whole.save_to_disk(root) if saved else whole.to_parquet(root / "rows.parquet", batch_size=2)
    return root


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("bands", [3, 4, 10])
def test_arrays_are_read_with_every_band(tmp_path, bands, first, saved):
    root = arrays(tmp_path / "set", bands, first=first, saved=saved)
    assert recognise(root)[0].format == "huggingface"
    dataset = open_dataset(root, said(range="0,250"))
    assert dataset.bands.count == bands
    for number, name in enumerate(dataset.names()):
        item = dataset.read(name)
        np.testing.assert_allclose(item.image, values_of(number, bands) / 250, atol=1e-6)
        np.testing.assert_array_equal(item.truth.argmax(axis=0), mask(number))
    assert dataset.read(dataset.names()[0], size=(5, 7)).image.shape == (5, 7, bands)
    picked = open_dataset(root, said(channels="3,1", display="1", range="0,250"))
    np.testing.assert_allclose(picked.read(picked.names()[2]).image, values_of(2, bands)[:, :, [2, 0]] / 250, atol=1e-6)
    assert picked.bands.display == (1,)


def test_whole_numbers_of_many_bits_need_a_range_and_ragged_lists_are_told(tmp_path):
    dataset = open_dataset(arrays(tmp_path / "set", 4, dtype="int64"))
    (finding,) = dataset.examine(dataset.names()[0]).findings
    assert "holds int64 from 0 to 199, whose range is not known; say which" in finding.message
    square, ragged = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], [[[1], [2, 3]], [[5, 6], [7, 8]]]
    rows = pa.table({"image": [square, ragged], "label": [[[0, 1], [1, 1]], [[1, 0], [0, 0]]]})
    (tmp_path / "ragged").mkdir()
    pq.write_table(rows, tmp_path / "ragged" / "rows.parquet")
    dataset = open_dataset(tmp_path / "ragged", said(range="0,9"))
    found = [dataset.examine(name).findings for name in dataset.names()]
    assert found[0] == ()
    assert "of different lengths" in found[1][0].message


def test_outlines_beside_pictures_are_no_masks(tmp_path):
    rows = pa.table({"image": [encoded(picture(0))], "segmentation": [[[0.5, 1.0], [2.0, 3.0]]]})
    pq.write_table(rows, tmp_path / "rows.parquet")
    assert recognise(tmp_path) == ()
