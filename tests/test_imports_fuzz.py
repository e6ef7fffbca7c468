"""Broken and hostile files of outputs, as hypothesis finds them: refused in one line that says what to do.

Each file is a sound one with bytes changed, taken out or put in, or one whose tables claim something else.
"""

import io
import json
import resource

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
from fuzzing import trials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from listed import Listed, item
from PIL import Image
from safetensors.numpy import save

from pipelines.errors import PipelineError
from pipelines.heads import HeadSpec
from pipelines.imports.readers import arrays, open_outputs
from pipelines.imports.sources import Said
from pipelines.layouts import predictions_schema
from pipelines.store.outside import PredictionsFile

VALUES = np.linspace(-3, 3, 48, dtype=np.float32).reshape(2, 4, 6)
MEMORY = 400 * 2**20  # that all cases together may add to the largest resident size


def npy():
    buffer = io.BytesIO()
    np.save(buffer, VALUES)
    return buffer.getvalue()


def npz(compressed):
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, sigmoid=VALUES, other=VALUES[:1])
    return buffer.getvalue()


def nnunet():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, probabilities=VALUES[:, None] / 6 + 0.5)
    return buffer.getvalue()


def png(kind):
    buffer = io.BytesIO()
    Image.fromarray(np.arange(24).reshape(4, 6).astype(kind)).save(buffer, "PNG")
    return buffer.getvalue()


def tiff(**options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, VALUES[0] / 6 + 0.5, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound") / "p"
    with PredictionsFile(folder, head="softmax", kind="overlapping", classes=("a", "b")) as out:
        for name in "xy":
            out.add(name, logits=np.concatenate([VALUES, -VALUES[:1]]), truth=VALUES > 0)
    return (folder / "part-00000.parquet").read_bytes()


@pytest.fixture(scope="module", autouse=True)
def bounded_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "drop", "insert", "copy"]),
        st.floats(0, 1), st.binary(min_size=1, max_size=8),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


def changed(content, changes):
    for kind, where, some in changes:
        at = int(where * max(len(content) - 1, 0))
        if kind == "set":
            content = content[:at] + some + content[at + len(some) :]
        elif kind == "cut":
            content = content[:at]
        elif kind == "drop":
            content = content[:at] + content[at + len(some) :]
        elif kind == "insert":
            content = content[:at] + some + content[at:]
        else:
            content = content[: at + 64] + content[at:]
    return content


def survives(place, called, content, said):
    """Open and read: either there are values, or one line says what is wrong and what to do."""
    path = place / called
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    try:
        opened = open_outputs(place, said, Listed("x", "y"))
        for source in opened.sources.values():
            try:
                if not source.absent(("x",)):
                    values = source.read(item("x"))
                    assert values.ndim in (2, 3, 4)
                    assert values.dtype.kind in "biuf"
            finally:
                source.close()
    except PipelineError as error:
        text = str(error)
        assert "\n" not in text
        assert len(text) < 1500
        assert ";" in text, text  # what is wrong; what to do
    finally:
        path.unlink()


fuzzed = settings(
    max_examples=trials(1000, 25),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SIGMOID = Said("sigmoid", "logits", ("a", "b"))


@fuzzed
@given(changes=CHANGES)
def test_broken_npy(changes, place):
    survives(place / "npy", "x.npy", changed(npy(), changes), SIGMOID)


@fuzzed
@given(changes=CHANGES, compressed=st.booleans())
def test_broken_npz(changes, compressed, place):
    survives(place / "npz", "x.npz", changed(npz(compressed), changes), SIGMOID)


@fuzzed
@given(changes=CHANGES)
def test_broken_nnunet(changes, place):
    survives(place / "nnunet", "x.npz", changed(nnunet(), changes), Said("softmax", "probabilities", ("a", "b")))


@fuzzed
@given(changes=CHANGES, named=st.booleans())
def test_broken_safetensors(changes, named, place):
    content = save({"x" if named else "sigmoid": VALUES, "y" if named else "other": VALUES})
    called = "all.safetensors" if named else "x.safetensors"
    survives(place / "safetensors", called, changed(content, changes), SIGMOID)


@fuzzed
@given(changes=CHANGES)
def test_broken_parquet(changes, place, parquet):
    survives(place / "parquet", "part-00000.parquet", changed(parquet, changes), Said("softmax"))


@fuzzed
@given(changes=CHANGES, kind=st.sampled_from([np.uint8, np.uint16]))
def test_broken_png_maps(changes, kind, place):
    survives(place / "png", "a/x.png", changed(png(kind), changes), Said("sigmoid", "probabilities"))


@fuzzed
@given(changes=CHANGES, packed=st.sampled_from([None, "zlib", "lzw"]), tile=st.booleans())
def test_broken_tiff_maps(changes, packed, tile, place):
    options = {"compression": packed} | ({"tile": (16, 16)} if tile else {})
    survives(place / "tiff", "a/x.tif", changed(tiff(**options), changes), Said("sigmoid", "probabilities"))


# Tables that claim something else ----------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


@fuzzed
@given(
    table=JSON, shape=st.lists(st.integers(-1, 2**40), max_size=4), offsets=st.lists(st.integers(0, 2**40), max_size=3)
)
def test_safetensors_whose_table_claims_too_much(table, shape, offsets, place):
    for claimed in (table, {"x": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}):
        header = json.dumps(claimed).encode()
        content = len(header).to_bytes(8, "little") + header + bytes(64)
        survives(place / "claims", "all.safetensors", content, SIGMOID)


def written(place, schema, columns, *, head, images, more=None):
    buffer = io.BytesIO()
    notes = {"head": head, **(more or {})}
    with pq.ParquetWriter(buffer, schema.with_metadata(notes)) as writer:
        writer.write_table(pa.Table.from_arrays(columns, schema=schema.with_metadata(notes)))
        if images is not None:
            writer.add_key_value_metadata({"images": images})
    return buffer.getvalue()


SPEC = HeadSpec(head="sigmoid", kind="overlapping", classes=("a", "b"), channels=("a", "b"))


def columns_of(schema, rows=24):
    made = []
    for field in schema:
        if pa.types.is_dictionary(field.type):
            made.append(pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x"])))
        else:
            made.append(pa.array(np.zeros(rows), pa.float64()).cast(field.type))
    return made


@fuzzed
@given(head=JSON, images=JSON, listed=st.booleans())
def test_parquet_whose_description_is_another(head, images, listed, place):
    schema = predictions_schema(("a", "b"))
    columns = columns_of(schema)
    sound = SPEC.model_dump_json()
    for one, some in ((json.dumps(head), '[["x", 4, 6]]'), (sound, json.dumps(images)), (sound, json.dumps([images]))):
        content = written(place, schema, columns, head=one, images=some if listed else None)
        survives(place / "described", "part-00000.parquet", content, SIGMOID)


@fuzzed
@given(height=st.integers(1, 70_000), width=st.integers(1, 70_000), rows=st.integers(0, 60))
def test_parquet_whose_images_have_another_size(height, width, rows, place):
    schema = predictions_schema(("a", "b"))
    images = json.dumps([["x", height, width]])
    content = written(place, schema, columns_of(schema, rows), head=SPEC.model_dump_json(), images=images)
    survives(place / "sized", "part-00000.parquet", content, SIGMOID)


@pytest.mark.parametrize("kind", [pa.float64(), pa.string(), pa.list_(pa.float16()), pa.uuid(), pa.json_(), pa.int8()])
def test_parquet_with_columns_of_another_type_is_refused(kind, place):
    schema = pa.schema([pa.field("log_odds_a", kind), pa.field("log_odds_b", pa.float16())])
    first = pa.nulls(24, kind)
    content = written(
        place, schema, [first, pa.array(np.zeros(24, np.float16))], head=SPEC.model_dump_json(),
        images='[["x", 4, 6]]',
    )  # fmt: skip
    (place / "typed").mkdir(exist_ok=True)
    (place / "typed" / "part-00000.parquet").write_bytes(content)
    with pytest.raises(PipelineError, match="expected halffloat; write it again"):
        open_outputs(place / "typed", SIGMOID, Listed("x"))


def test_a_bomb_of_zeros_is_refused_by_its_header(place, monkeypatch):
    # 64 MB of zeros in 64 KB; the limit is 1 GB and made smaller here
    monkeypatch.setattr(arrays, "IMAGE_BYTES", 2**25)
    folder = place / "bomb"
    folder.mkdir()
    np.savez_compressed(folder / "x.npz", np.zeros((2, 2048, 4096), np.float32))
    assert (folder / "x.npz").stat().st_size < 2**17
    (source,) = open_outputs(folder, SIGMOID, Listed("x")).sources.values()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PipelineError, match="has 4,096×2,048 pixels, its truth 6×4; predict at the size of the truth"):
        source.read(item("x"))
    with pytest.raises(PipelineError, match="at most 33,554,432 are read at once"):
        list(arrays.read_outputs(folder / "x.npz"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**14  # KB


def test_a_pickle_is_never_opened(place):
    class Evil:
        def __reduce__(self):
            return print, ("opened",)

    folder = place / "pickle"
    folder.mkdir()
    np.save(folder / "x.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    (source,) = open_outputs(folder, SIGMOID, Listed("x")).sources.values()
    with pytest.raises(PipelineError, match="never unpickled"):
        source.read(item("x"))
