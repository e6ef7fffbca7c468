"""Strangers' files: where they are kept, what they may be, and how archives become folders (docs/uploads.md)."""

from pipelines.errors import UploadError
from pipelines.uploads.archives import ARCHIVES, Unpacked, root_of, unpack
from pipelines.uploads.limits import Limits, Quota, size_text
from pipelines.uploads.locks import in_use, upload_folder
from pipelines.uploads.names import allowed_path, data_roots
from pipelines.uploads.workspace import Receiver, Upload, Uploads, receiving

__all__ = [
    "ARCHIVES",
    "Limits",
    "Quota",
    "Receiver",
    "Unpacked",
    "Upload",
    "UploadError",
    "Uploads",
    "allowed_path",
    "data_roots",
    "in_use",
    "receiving",
    "root_of",
    "size_text",
    "unpack",
    "upload_folder",
]
