"""Images as the networks saw them to one parquet file of JPEGs, so that a run can be looked at without its data set."""

import io
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipelines.arrays import Float32Array
from pipelines.storage import files

_SCHEMA = pa.schema([pa.field("image", pa.string(), nullable=False), pa.field("jpeg", pa.binary(), nullable=False)])


class PreviewWriter:
    """Writes one row and row group an image; the file appears under its name only when all went well."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._temporary = path, path.with_name(path.name + ".new")
        self._writer = pq.ParquetWriter(self._temporary, _SCHEMA, **files.COMPRESSION)

    def write(self, name: str, image: Float32Array) -> None:
        """Add one image, (H, W, 3) float32 in [0, 1]."""
        buffer = io.BytesIO()
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
        self._writer.write_table(pa.table({"image": [name], "jpeg": [buffer.getvalue()]}, schema=_SCHEMA))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        if kind is None:
            files.sync_file(self._temporary)
            os.replace(self._temporary, self._path)
        else:
            self._temporary.unlink(missing_ok=True)
