"""The contract of predictions parquet as JSON Schema: what a part says of itself, and which columns it has.

`python -m pipelines.store.contract` prints docs/predictions.schema.json; docs/predictions-contract.md explains it.
"""

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from pipelines.datasets.base import Finding
from pipelines.heads import HeadSpec
from pipelines.layouts import predictions_schema
from pipelines.store.predictions import LARGEST_SIDE

_ID: Final = "https://json-schema.org/draft/2020-12/schema"
_CLASS: Final = "CLASS"  # stands for a class's name in the columns below


class Column(BaseModel):
    """One column. type: as Arrow calls it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    type: str
    nullable: bool


Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]


class Part(BaseModel):
    """What one part-*.parquet says of itself: the metadata head, images and findings, and its columns.

    head: the last layer, its classes and channels. images: name, height and width of each row group, in order.
    findings: what the outputs look like that they should not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: HeadSpec
    images: tuple[tuple[str, Side, Side], ...]
    findings: tuple[Finding, ...] = ()
    columns: tuple[Column, ...]


def describe_part(path: Path) -> Part:
    """The description of a part, as the schema checks it. The file is trusted: for files of one's own."""
    with pq.ParquetFile(path) as file:
        schema, notes = file.schema_arrow, file.metadata.metadata
    columns = [{"name": field.name, "type": str(field.type), "nullable": field.nullable} for field in schema]
    return Part.model_validate(
        {
            "head": json.loads(schema.metadata[b"head"]),
            "images": json.loads(notes[b"images"]),
            "findings": json.loads(notes.get(b"findings", b"[]")),
            "columns": columns,
        }
    )


def json_schema() -> dict[str, Any]:
    """The contract: the models above, with the names and types that columns may have (layouts.predictions_schema)."""
    contract = Part.model_json_schema(mode="serialization")
    layout = predictions_schema((_CLASS,), extra_channels=(_CLASS,), logsumexp=True, soft=True)
    allowed = []
    for field in layout:
        pattern = "^" + re.escape(field.name).replace(_CLASS, ".+") + "$"
        properties = {"name": {"pattern": pattern}, "type": {"const": str(field.type)}, "nullable": {"const": False}}
        allowed.append({"properties": properties})
    contract["$defs"]["Column"]["oneOf"] = allowed
    needed = [name for name in layout.names if name in ("image", "y", "x")]
    contract["properties"]["columns"]["allOf"] = [
        {"contains": {"properties": {"name": {"const": name}}}} for name in needed
    ]
    return {"$schema": _ID, **contract, "title": "Predictions of one head and seed"}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n")
