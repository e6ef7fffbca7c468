"""Footers of strangers' parquet files, read first in a process of its own: Arrow's library ends the process on some.

What it cannot bear, such as level histograms of the wrong length, is thrown in C++ where Python has no hold of it (seen
with pyarrow 26). One such process serves all files; it is started anew when a footer has ended it.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

_SECONDS: Final = 60.0  # a footer may take
_READER: Final = """
import json, sys
import pyarrow.parquet as pq
for line in sys.stdin:
    try:
        with pq.ParquetFile(json.loads(line), arrow_extensions_enabled=False) as file:
            for number in range(file.metadata.num_row_groups):
                group = file.metadata.row_group(number)
                for column in range(group.num_columns):
                    group.column(column)
    except Exception:
        pass  # is told by whoever reads the file next
    print("read", flush=True)
"""
_lock: Final = threading.Lock()
_running: list["subprocess.Popen[bytes]"] = []


def can_be_read(path: Path) -> bool:
    """Whether a parquet file's footer can be read without ending the process; damage that can be told is no matter."""
    with _lock:
        reader = _reader()
        assert reader.stdin is not None
        assert reader.stdout is not None
        try:
            reader.stdin.write(json.dumps(os.fspath(path.resolve())).encode() + b"\n")
            reader.stdin.flush()
            told, _, _ = select.select([reader.stdout], [], [], _SECONDS)
            answer = reader.stdout.readline() if told else b""
        except OSError:
            answer = b""
        if answer != b"read\n":
            _end()
            return False
    return True


def _reader() -> "subprocess.Popen[bytes]":
    if _running and _running[0].poll() is None:
        return _running[0]
    _end()
    _running.append(
        subprocess.Popen(
            [sys.executable, "-c", _READER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    )
    return _running[0]


def _end() -> None:
    for one in _running:
        one.kill()
        for pipe in (one.stdin, one.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        one.wait()
    _running.clear()
