"""Files of outputs as no honest program writes them, hundreds of each kind; and a process that reads them, measured.

python hostile_outputs.py make KIND COUNT FOLDER writes them; python hostile_outputs.py read KIND FOLDER reads each as
an import would, and prints as JSON what came of them and by how much its memory grew.
"""

import io
import json
import os
import pickle
import random
import resource
import shutil
import struct
import sys
import zipfile
import zlib
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tifffile
from PIL import Image

VALUES = np.linspace(-3, 3, 48, dtype=np.float32).reshape(2, 4, 6)
BODY = VALUES.tobytes()
BOMB = 100_000_000  # bytes that a bomb unpacks to
EXTREME = (0, 1, 2, 6, 24, 48, 255, 65_535, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
# File of each kind below the folder that is given, and what is said of it.
PLACES = {
    "npy": "x.npy", "npz": "x.npz", "nnunet": "x.npz", "safetensors": "x.safetensors", "parquet": "part-00000.parquet",
    "png": "a/x.png", "tiff": "a/x.tif", "torch": "x.pt",
}  # fmt: skip


def damaged(rng, content, other):
    """A sound file with a part cut, flipped, doubled, overwritten or exchanged."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at, kind = rng.randrange(len(changed) or 1), rng.randrange(6)
        if kind == 0:
            del changed[at:]
        elif kind == 1 and changed:
            changed[min(at, len(changed) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del changed[at : at + rng.randrange(1, 60)]
        elif kind == 3:
            changed[at:at] = changed[at : at + rng.randrange(1, 60)]
        elif kind == 4:
            width = rng.choice([1, 2, 4, 8])
            order = rng.choice(["little", "big"])
            changed[at : at + width] = rng.choice(EXTREME).to_bytes(8, "little")[:width][
                :: 1 if order == "little" else -1
            ]
        else:
            changed[at:] = other[rng.randrange(len(other)) :]
    return bytes(changed)


# NumPy -------------------------------------------------------------------------------------------------------------

DESCRIPTIONS = (
    "'<f4'", "'>f8'", "'|O'", "'O'", "'<U99999999'", "'V16'", "'M8[ns]'", "'<c16'", "'|b1'", "'<f2'", "'x'", "7",
    "None",
    "[('a', '<f4'), ('b', '|O')]", "('<f4', (2, 4))", "'<i0'", "'|S0'", "{}", "'<f4" + "4" * 400 + "'",
)  # fmt: skip
HEADERS = (
    "", "{", "{}", "[" * 90, "(" * 3000, "__import__('os').system('touch evil')", "{'shape': (1,)}", "\x00" * 40,
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4, 6), 'more': 1}", "1" * 9000,
    "{'descr': '<f4'" + " " * 20_000,
    "lambda: 0", "{'descr': '<f4', 'fortran_order': 3, 'shape': (2, 4, 6)}", "'\\N{'", "{**{}}",
)  # fmt: skip


def claimed_shape(rng):
    sides = (-1, 0, 1, 2, 3, 4, 6, 24, 5000, 2**20, 2**31, 2**40, 2**63, 10**30, "None", "True", "2.0", "'a'")
    return f"({', '.join(str(rng.choice(sides)) for _ in range(rng.randrange(7)))},)"


def npy_claiming(rng, body=BODY):
    """A .npy file whose header says something else than what follows."""
    if rng.random() < 0.3:
        text = rng.choice(HEADERS)
    else:
        order = rng.choice(["False", "True", "0", "None"])
        shape = rng.choice([claimed_shape(rng), "(2, 4, 6)"])
        text = f"{{'descr': {rng.choice(DESCRIPTIONS)}, 'fortran_order': {order}, 'shape': {shape}, }}"
    version = rng.choice([(1, 0), (1, 0), (1, 0), (2, 0), (3, 0), (9, 9), (0, 0)])
    told = rng.choice([len(text), len(text), len(text), 0, 65_535, 2**32 - 1])
    width = 2 if version == (1, 0) else 4
    size = min(told, 2 ** (8 * width) - 1).to_bytes(width, "little")
    return b"\x93NUMPY" + bytes(version) + size + text.encode() + body


def npy_pickled():
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}, print], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def npy(values=VALUES):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def npz_of(members, *, packed=zipfile.ZIP_DEFLATED):
    """A .npz of (name, bytes), whatever the names are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packed, compresslevel=9) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, packed)
    return buffer.getvalue()


def zeros_npz(shape, name):
    """A bomb: an array of zeros in a thousandth of its size."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open(name, "w") as file,
    ):
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        left = 4 * int(np.prod(shape))
        while left > 0:
            left -= file.write(bytes(min(left, 2**24)))
    return buffer.getvalue()


NAMES = ("sigmoid.npy", "x.npy", "../../evil.npy", "/evil.npy", "", "a/b.npy", "sigmoid", "sigmoid.npy", "\x00.npy",
         "é.npy",
         "probabilities.npy", "softmax.npy", "n" * 5000 + ".npy", "sigmoid.npy.npy")  # fmt: skip


def npz_claiming(rng, key="sigmoid.npy"):
    kind = rng.randrange(6)
    if kind == 0:
        return npz_of([(key, npy_claiming(rng))])
    if kind == 1:
        return npz_of([(rng.choice(NAMES), rng.choice([npy(), npy_pickled()])) for _ in range(rng.randrange(5))])
    if kind == 2:
        return npz_of([(key, npz_of([(key, npy())]))], packed=rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_BZIP2]))
    if kind == 3:  # encrypted, or packed by a method that nobody has
        content = bytearray(npz_of([(key, npy())]))
        for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            place = content.find(mark) + at
            content[place : place + 4] = struct.pack(
                "<HH", rng.choice([0, 1, 8, 0x2041]), rng.choice([0, 8, 9, 14, 98, 255])
            )
        return bytes(content)
    if kind == 4:  # other sizes than what is there
        content = bytearray(npz_of([(key, npy())]))
        place = content.find(b"PK\1\2") + 20
        content[place : place + 8] = struct.pack("<II", *(min(rng.choice(EXTREME), 2**32 - 1) for _ in range(2)))
        return bytes(content)
    return npz_of([(f"{number}.npy", b"") for number in range(rng.choice([0, 10, 300]))])


# safetensors -------------------------------------------------------------------------------------------------------


def safetensors(table, body=BODY, length=None):
    header = table if isinstance(table, bytes) else json.dumps(table).encode()
    return (len(header) if length is None else length).to_bytes(8, "little") + header + body


def safetensors_claiming(rng):
    kind = rng.randrange(6)
    if kind == 0:
        deep = rng.choice([50, 5_000, 50_000])
        return safetensors(
            rng.choice([b"[" * deep, b'{"a":' * deep, b"[" * deep + b"]" * deep, b'{"x":' + b"[" * deep])
        )
    if kind == 1:
        return safetensors({"sigmoid": {"dtype": "F32", "shape": [2, 4, 6], "data_offsets": [0, 192]}},
                           length=rng.choice(EXTREME))  # fmt: skip
    if kind == 2:
        return safetensors(
            rng.choice([b"", b"null", b"{}", b"[]", b'"x"', b"\xff\xfe", b'{"x":1}', b'{"x":{}}', b"{" * 9])
        )
    sides = (0, 1, 2, 4, 6, 24, 5000, 2**31, 2**62, -1, 1.5, None, "4")
    dtype = rng.choice(["F32", "F64", "BF16", "F16", "BOOL", "I64", "U8", "F8_E4M3", "C64", "O", 7, None, "F32" * 99])
    shape = rng.choice([[2, 4, 6], [rng.choice(sides) for _ in range(rng.randrange(6))], "246", None, {"a": 1}])
    offsets = rng.choice([[0, 192], [192, 0], [0, 10**18], [-192, 0], [0], [0, 1, 2], None, [0.0, 192.0], [100, 292]])
    one = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
    if kind == 3:
        return safetensors({"sigmoid": one})
    if kind == 4:
        names = ["sigmoid", "__metadata__", "", "../x", "softmax", "\u0000"]
        return safetensors({name: rng.choice([one, one | {"data_offsets": [0, 192]}, {"a": "b"}]) for name in names})
    return safetensors(
        {f"t{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(5000)}, b""
    )


# Parquet -----------------------------------------------------------------------------------------------------------

SPEC = {"head": "sigmoid", "kind": "overlapping", "classes": ["a", "b"], "channels": ["a", "b"], "sets": []}
TYPES = (
    pa.float16(), pa.float32(), pa.float64(), pa.int8(), pa.uint64(), pa.string(), pa.binary(), pa.bool_(), pa.null(),
    pa.list_(pa.float16()), pa.struct([("a", pa.float16())]), pa.uuid(), pa.json_(), pa.decimal128(9, 2), pa.date32(),
    pa.timestamp("ns"), pa.dictionary(pa.int32(), pa.string()), pa.binary(2), pa.map_(pa.string(), pa.int8()),
    pa.fixed_shape_tensor(pa.float16(), [2]),
)  # fmt: skip


def parquet(schema, columns, *, head=None, images='[["x", 4, 6]]', groups=1, rows=None, **options):
    buffer = io.BytesIO()
    noted = schema.with_metadata({"head": json.dumps(SPEC) if head is None else head})
    with pq.ParquetWriter(buffer, noted, compression="zstd", write_page_checksum=True, **options) as writer:
        for _ in range(groups):
            writer.write_table(pa.Table.from_arrays(columns, schema=noted), row_group_size=rows)
        writer.add_key_value_metadata({"images": images} if images is not None else {})
    return buffer.getvalue()


def plain_parquet(rows=24, **more):
    schema = pa.schema([pa.field(f"log_odds_{name}", pa.float16(), nullable=False) for name in "ab"])
    columns = [pa.array(np.resize(VALUES[index].astype(np.float16), rows)) for index in range(2)]
    return parquet(schema, columns, **more)


def parquet_claiming(rng):
    kind = rng.randrange(6)
    if kind == 0:
        types = [rng.choice(TYPES) for _ in range(2)]
        schema = pa.schema([pa.field(f"log_odds_{name}", one) for name, one in zip("ab", types, strict=True)])
        return parquet(schema, [pa.nulls(24, one) for one in types])
    if kind == 1:
        deep = rng.choice([5, 500, 50_000])
        return plain_parquet(head=rng.choice(["", "null", "[" * deep, '{"a":' * deep, "7", "{}", "\u0000", '"x"' * 99]))
    if kind == 2:
        change = rng.choice([
            {"classes": ["a"] * rng.choice([2, 70_000])}, {"channels": []}, {"head": "relu"}, {"kind": 7},
            {"sets": [[9]]},
            {"classes": ["a\nb", "b"]}, {"classes": []}, {"head": "softmax"}, {"more": 1}, {"channels": ["b", "a"]},
        ])  # fmt: skip
        return plain_parquet(head=json.dumps(SPEC | change))
    if kind == 3:
        sides = [rng.choice([0, -1, 1, 4, 6, 24, 65_535, 65_536, 2**40, 1.5, "4", None]) for _ in range(2)]
        name = rng.choice(["x", "", "x" * 9000, "../x", "x\n", 7, None])
        return plain_parquet(
            rng.choice([1, 23, 24, 25, 500]), images=json.dumps([[name, *sides]] * rng.choice([1, 1, 2, 900]))
        )
    if kind == 4:
        return plain_parquet(
            images=rng.choice(["", "[", "[" * 5000, "{}", '[["x"]]', "[[]]", None, "null", '[["x",4,6,7]]'])
        )
    name = rng.choice(["log_odds_a", "log_odds_c", "valid", "truth_a", "logsumexp"])
    schema = pa.schema([pa.field("log_odds_a", pa.float16()), pa.field("log_odds_b", pa.float16()),
                        pa.field(name, rng.choice(TYPES))])  # fmt: skip
    return parquet(schema, [pa.array(np.zeros(24, np.float16))] * 2 + [pa.nulls(24, schema.field(2).type)],
                   groups=rng.choice([1, 1, 2, 9]))  # fmt: skip


def varint(number, width=0):
    """A number as Thrift writes it, zigzag; with `width`, as many bytes although fewer would do."""
    left, out = number << 1, bytearray()
    while True:
        out.append(left & 127)
        left >>= 7
        if not left:
            break
    while len(out) < width:
        out.append(0)
    return bytes([byte | 128 for byte in out[:-1]] + [out[-1]])


def parquet_bomb(rng):
    """One page of a hundred megabytes in a few kilobytes, with a footer that says that it is small."""
    rows = BOMB // 2 + rng.randrange(1000)
    schema = pa.schema([pa.field("log_odds_a", pa.float16(), nullable=False)])
    spec = json.dumps(SPEC | {"kind": "binary", "classes": ["a"], "channels": ["a"]})
    content = parquet(
        schema, [pa.array(np.zeros(rows, np.float16))], head=spec, use_dictionary=False, data_page_size=2**31 - 1,
        write_batch_size=rows, max_rows_per_page=rows, rows=rows,
    )  # fmt: skip
    size = int.from_bytes(content[-8:-4], "little")
    footer = content[-8 - size : -8]
    facts = pq.read_metadata(io.BytesIO(content)).row_group(0)
    for old, new in ((rows, 24), (facts.column(0).total_uncompressed_size, 60), (facts.total_byte_size, 60)):
        footer = footer.replace(varint(old), varint(new, len(varint(old))))
    return content[: -8 - size] + footer + content[-8:]


def dictionary_bomb(rng):
    """A column whose dictionary is far larger than its rows, told truly: refused by the footer."""
    schema = pa.schema([pa.field("log_odds_a", pa.string()), pa.field("log_odds_b", pa.float16())])
    many = pa.array(["x" * rng.choice([2**16, 2**20])] * 24)
    return parquet(schema, [many, pa.array(np.zeros(24, np.float16))])


# Images ------------------------------------------------------------------------------------------------------------


def png(values):
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def chunk(name, content, *, crc=None, length=None):
    told = zlib.crc32(name + content) if crc is None else crc
    return struct.pack(">I", len(content) if length is None else length) + name + content + struct.pack(">I", told)


PACKED = b"a\0\0" + zlib.compress(bytes(3_000_000))  # of a chunk that unpacks to more than a text should


def png_claiming(rng, body=None):
    """A PNG with a header that says something else than what follows, and chunks that should not be there."""
    sides = [rng.choice([0, 1, 4, 6, 24, 100, 30_000, 70_000, 2**31 - 1, 2**32 - 1]) for _ in range(2)]
    if rng.random() < 0.4:
        sides = [6, 4]
    header = struct.pack(
        ">IIBBBBB", *sides, rng.choice([1, 2, 4, 8, 8, 16, 3]), rng.choice([0, 0, 2, 3, 4, 6, 9]),
        rng.choice([0, 0, 7]),
        0, rng.choice([0, 0, 1, 9]),
    )  # fmt: skip
    rows = zlib.compress(bytes(4 * 7)) if body is None else body
    between = b""
    for _ in range(rng.randrange(3)):
        name = rng.choice(
            [b"PLTE", b"tRNS", b"iCCP", b"zTXt", b"iTXt", b"acTL", b"fcTL", b"eXIf", b"IDAT", b"abcd", b"\xff" * 4]
        )
        content = rng.choice([b"", bytes(4), bytes(769), PACKED, b"\xff" * 40])
        between += chunk(
            name, content, crc=rng.choice([None, None, 0]), length=rng.choice([None, None, None, 2**31 - 1])
        )
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + between + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def tiff(values, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def tiff_claiming(rng, *, bomb=None):
    """A TIFF from its tags up, of which some say what cannot be."""
    tags = {
        256: 6, 257: 4, 258: 32, 259: 1, 262: 1, 273: 8, 277: 1, 278: 4, 279: 96, 339: 3,
    }  # fmt: skip
    body = VALUES[0].tobytes()
    if bomb is not None:
        body, tags = bomb, tags | {259: 8, 279: len(bomb)}
    for _ in range(rng.randrange(1, 4)):
        tag = rng.choice([*tags, 317, 320, 322, 323, 324, 325, 330, 270, 33432, 65_000])
        tags[tag] = min(rng.choice([*EXTREME, 5, 7, 8, 34712, 32773, 50000]), 2**32 - 1)
    at = 8 + len(body)
    kinds = (1, 3, 4, 4, 4, 5, 11, 12, 13, 99)
    entries = b"".join(
        struct.pack("<HHII", tag, rng.choice(kinds) if rng.random() < 0.1 else 4,
                    rng.choice([1] * 12 + [0, 2, 2**31, 2**32 - 1]), value)
        for tag, value in sorted(tags.items())
    )  # fmt: skip
    following = rng.choice([0, 0, 0, at, 8, 2**31])  # a page that follows itself
    count = rng.choice([len(tags)] * 6 + [0, 65_535])
    return (
        struct.pack("<2sHI", b"II", 42, at) + body + struct.pack("<H", count) + entries + struct.pack("<I", following)
    )


# torch.save --------------------------------------------------------------------------------------------------------


def torch_saved(content, **how):
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer, **how)
    return buffer.getvalue()


def torch_zip(pickled, body=BODY, packed=zipfile.ZIP_STORED):
    """A file of torch.save with any pickle in the place of its own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", body, packed)
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


def torch_tensor(shape=(2, 4, 6), stride=(24, 6, 1), offset=0, held=48):
    """The pickle of a tensor that says this of itself."""
    import torch

    class Pickler(pickle.Pickler):
        def persistent_id(self, one):
            return ("storage", torch.FloatStorage, "0", "cpu", held) if one is self else None

        def reducer_override(self, one):
            if one is not Ellipsis:
                return NotImplemented
            return torch._utils._rebuild_tensor_v2, (self, offset, shape, stride, False, OrderedDict())

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump(Ellipsis)
    return buffer.getvalue()


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


def torch_claiming(rng):
    kind = rng.randrange(3)
    if kind == 0:
        sides = [rng.choice([*EXTREME, -1]) for _ in range(rng.randrange(5))]
        stride = tuple(rng.choice([0, 1, 6, 24, -1, 2**40]) for _ in sides)
        return torch_zip(torch_tensor(tuple(sides), stride, rng.choice([0, 0, 7, 2**40]), rng.choice([48, 0, 2**40])))
    if kind == 1:
        deep = []
        for _ in range(rng.choice([3, 300, 900])):
            deep = [deep]
        return torch_zip(pickle.dumps(rng.choice([Evil(), [Evil()], {"x": Evil()}, deep, {1: 2}, None, 7, {}, "x"]), 2))
    return torch_zip(
        rng.choice([b"", b"\x80\x02", b"\x80\x02.", b"cos\nsystem\n(S'touch evil'\ntR.", b"\x80\x02" + b"(" * 9999])
    )


# All of a kind -----------------------------------------------------------------------------------------------------

GREY = np.arange(24, dtype=np.uint8).reshape(4, 6)
HONEST = {
    "npy": [npy(), npy(np.asfortranarray(VALUES.astype(np.float64)))],
    "npz": [npz_of([("sigmoid.npy", npy())]), npz_of([("sigmoid.npy", npy())], packed=0)],
    "nnunet": [npz_of([("probabilities.npy", npy(VALUES[:, None] / 6 + 0.5))])],
    "safetensors": [safetensors({"sigmoid": {"dtype": "F32", "shape": [2, 4, 6], "data_offsets": [0, 192]}})],
    "parquet": [plain_parquet()],
    "png": [png(GREY), png(GREY.astype(np.uint16) * 100)],
    "tiff": [tiff(VALUES[0]), tiff(GREY, compression="zlib"), tiff(VALUES[0], compression="lzw", tile=(16, 16))],
}
CLAIMING = {
    "npy": npy_claiming,
    "npz": npz_claiming,
    "nnunet": lambda rng: npz_claiming(rng, "probabilities.npy"),
    "safetensors": safetensors_claiming,
    "parquet": parquet_claiming,
    "png": png_claiming,
    "tiff": tiff_claiming,
    "torch": torch_claiming,
}


def honest(kind):
    """Sound files of a kind."""
    if kind != "torch":
        return HONEST[kind]
    import torch

    tensor = torch.tensor(VALUES)
    old = torch_saved(tensor, _use_new_zipfile_serialization=False)
    return [torch_saved(tensor), torch_saved({"sigmoid": tensor}), torch_zip(torch_tensor()), old]


def bombs(kind, rng):
    """A few files that unpack to a lot."""
    side = round((BOMB / 8) ** 0.5)
    deep = zlib.compress(bytes(BOMB), 9)
    header = struct.pack(">IIBBBBB", 6, 4, 8, 0, 0, 0, 0)
    wide = struct.pack(">IIBBBBB", 8000, 8000, 8, 0, 0, 0, 0)
    start, end = b"\x89PNG\r\n\x1a\n", chunk(b"IEND", b"")
    return {
        "npy": lambda: [npy_claiming(rng, b"") for _ in range(3)] + [npy_pickled()],
        "npz": lambda: [zeros_npz((2, side, side), "sigmoid.npy"), zeros_npz((4000, 100, 100), "sigmoid.npy"),
                        npz_of([("sigmoid.npy", npy_pickled())])],
        "nnunet": lambda: [zeros_npz((2, 1, side, side), "probabilities.npy")],
        "safetensors": lambda: [safetensors(b" " * 2**20, length=2**26 + 1), safetensors(b'{"a":' * 10**6)],
        "parquet": lambda: [parquet_bomb(rng), parquet_bomb(rng), dictionary_bomb(rng)],
        "png": lambda: [start + chunk(b"IHDR", one) + chunk(b"IDAT", deep) + end for one in (header, wide)],
        "torch": lambda: [torch_zip(torch_tensor(held=BOMB // 4), bytes(BOMB), zipfile.ZIP_DEFLATED),
                          torch_zip(torch_tensor((2, 2**20, 2**20), (0, 0, 0)))],
        "tiff": lambda: [tiff_claiming(rng, bomb=deep), tiff(np.zeros((8000, 8000), np.uint8), compression="zlib")],
    }[kind]()  # fmt: skip


def make(kind, count, folder):
    """Write so many files of a kind."""
    rng = random.Random(kind)
    sound = honest(kind)
    found = [*sound, *bombs(kind, rng)]
    while len(found) < count:
        found.append(CLAIMING[kind](rng) if len(found) % 2 else damaged(rng, rng.choice(sound), rng.choice(sound)))
    for number, content in enumerate(found):
        (folder / f"{number:04d}").write_bytes(content)


def said_of(kind):
    from pipelines.imports.sources import Said

    if kind in ("png", "tiff"):
        return Said("sigmoid", "probabilities")
    return Said("softmax", "probabilities", ("a", "b")) if kind == "nnunet" else Said("sigmoid", "logits", ("a", "b"))


def outcome(place, kind):
    """ "read", or the one line that it is refused with."""
    from listed import Listed, item

    from pipelines.errors import PipelineError
    from pipelines.imports.readers import open_outputs

    try:
        for source in open_outputs(place, said_of(kind), Listed("x")).sources.values():
            try:
                if source.absent(("x",)):
                    return "belongs to another image"
                values = source.read(item("x"))
                assert values.dtype.kind in "biuf", values.dtype
                assert values.nbytes < 2**20, values.shape
            finally:
                source.close()
    except PipelineError as error:
        text = str(error)
        assert text.isprintable(), text
        assert len(text) < 1500, text
        assert "; " in text, text  # what is wrong; what to do
        return text
    return "read"


def read(kind, folder):
    """Read every file as an import would."""
    place = Path.cwd() / "given"
    path = place / PLACES[kind]
    path.parent.mkdir(parents=True)
    seen, grown_from = Counter(), 0
    sound = len(HONEST[kind]) if kind in HONEST else 4  # of `honest`, told without PyTorch
    for number, one in enumerate(sorted(folder.iterdir())):
        shutil.copyfile(one, path)
        try:
            said = outcome(place, kind)
        except BaseException as error:
            raise AssertionError(f"{kind} file {one.name}") from error
        seen["".join(letter for letter in said if not letter.isdigit())[:60]] += 1
        if number == sound - 1:
            grown_from = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # libraries are loaded now
    shutil.rmtree(place)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown_from) / 1024
    print(json.dumps({"seen": seen, "grown": grown, "left": [str(path) for path in Path.cwd().rglob("*")]}))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    elif sys.argv[2] == "torch":
        from pipelines.imports.readers.torch_files import _process

        with _process.in_use():  # PyTorch is imported once
            read(sys.argv[2], Path(sys.argv[3]))
    else:
        read(sys.argv[2], Path(sys.argv[3]))
