"""Memory of the server while a large archive is uploaded and unpacked: `python -m benchmarks.uploads --gigabytes 2`.

A zip of that size, stored without compression, is sent to the running app over HTTP in the pieces that a browser sends.
Peaks are VmHWM of /proc/<pid>/status, set back just before; growth is the peak less what was resident by then.
"""

import argparse
import http.client
import json
import os
import tempfile
import time
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

from dashboard.upload.server import PIECE, TOKEN
from dashboard.upload.tokens import issue
from pipelines.uploads import ARCHIVES, Uploads
from tests.browser import driver

MIB = 1024**2
OWNER = "0" * 64


def main() -> None:
    """Print how much the server grew, and how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of the archive")
    parser.add_argument(
        "--folder", type=Path, help="where there is room for three times as much; default: the system's"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        runs = Path(place) / "runs"
        archive = make_archive(Path(place) / "data.zip", int(options.gigabytes * 1024) - 1)
        with driver.server(runs, cwd=Path(place)) as address:
            client = Client(address, runs)
            warm_up(client)
            measure(client, archive, server_process(urlsplit(address).port or 0))


def make_archive(path: Path, mebibytes: int) -> Path:
    """A zip of so many MiB of noise in files of 16 MiB."""
    block = os.urandom(MIB)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for start in range(0, mebibytes, 16):
            archive.writestr(f"data/{start:05d}.npy", block * min(16, mebibytes - start))
    return path


class Client:
    """Speaks to the app as its page does in a browser."""

    def __init__(self, address: str, runs: Path) -> None:
        self.host = urlsplit(address).netloc
        self.token = issue(Uploads(runs).key(), OWNER, ARCHIVES)
        self.connection = http.client.HTTPConnection(self.host)

    def ask(self, method: str, path: str, body: bytes | None = None) -> dict:
        """One request; the answer must be a good one."""
        headers = {TOKEN: self.token, "origin": f"http://{self.host}"}
        self.connection.request(method, f"/upload{path}", body, headers)
        answer = self.connection.getresponse()
        said = json.loads(answer.read())
        if answer.status != 200:
            raise SystemExit(f"{answer.status}: {said['message']}")
        return said

    def send(self, archive: Path) -> dict:
        """All of a file, piece by piece."""
        question = {"name": archive.name, "size": archive.stat().st_size}
        said = self.ask("POST", "", json.dumps(question).encode())
        with archive.open("rb") as file:
            while piece := file.read(PIECE):
                said = self.ask("PUT", f"/{said['id']}?offset={said['offset']}", piece)
        return said


def warm_up(client: Client) -> None:
    """A small upload first, so that what is loaded once is not counted."""
    with tempfile.TemporaryDirectory() as place:
        small = make_archive(Path(place) / "small.zip", 17)
        said = client.send(small)
    while said["state"] not in ("ready", "refused"):
        time.sleep(0.1)
        said = client.ask("GET", f"/{said['id']}")
    client.ask("DELETE", f"/{said['id']}")


def measure(client: Client, archive: Path, server: int) -> None:
    """Upload, unpack, and print."""
    Path(f"/proc/{server}/clear_refs").write_text("5")  # the peak starts anew
    before, began = memory(server, "VmRSS"), time.perf_counter()
    said = client.send(archive)
    sent, peak = time.perf_counter() - began, memory(server, "VmHWM")
    unpacking = 0
    while said["state"] not in ("ready", "refused"):
        unpacking = max([unpacking, *(memory(child, "VmHWM") for child in children(server))])
        time.sleep(0.1)
        said = client.ask("GET", f"/{said['id']}")
    whole, at_end = time.perf_counter() - began, memory(server, "VmHWM")
    size = archive.stat().st_size / MIB
    print(f"archive                      {size:8.0f} MiB, {said['state']} {said['message']}")
    print(f"server before                {before:8.1f} MiB")
    print(f"grown while it was received  {peak - before:8.1f} MiB at most, in {sent:.1f} s ({size / sent:.0f} MiB/s)")
    print(f"grown until it was unpacked  {at_end - before:8.1f} MiB at most, {whole - sent:.1f} s more")
    print(f"the process that unpacked    {unpacking:8.1f} MiB at most")


def memory(process: int, name: str) -> float:
    """A line of the process's status, MiB; 0 when it has gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), 0.0)


def children(process: int) -> list[int]:
    """Processes that a process has started."""
    found = []
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        found += [int(number) for number in tasks.read_text().split()]
    return found


def server_process(port: int) -> int:
    """The process among ours that serves the port."""
    return next(child for child in children(os.getpid()) if f"--server.port={port}" in command_of(child))


def command_of(process: int) -> list[str]:
    """Its command line."""
    return Path(f"/proc/{process}/cmdline").read_text().split("\0")


if __name__ == "__main__":
    main()
