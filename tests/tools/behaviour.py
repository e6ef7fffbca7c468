"""Whether a change of the code's structure kept what it does: records what real runs give, and compares two records.

    python tests/tools/behaviour.py record RUNS OUT    in a checkout before, and in one after
    python tests/tools/behaviour.py compare OUT OUT    names every difference; exit status 1 if there is one

RUNS is a folder of finished runs; it is copied, never written to. A record holds, of each run: what is stored
(metrics.parquet, verdict.json, counts), the same counted and measured anew from the predictions, every table and every
figure's data of the exported report with its text, and every element of every page with its usual controls. The
checkout is the working directory, so that this file can record with code that does not have it.
"""

import argparse
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

# What a protobuf element carries besides what a reader sees: names that Streamlit makes of places in the code.
_IDS: Final = {
    "id", "elementId", "formId", "fragmentId", "pageScriptHash", "scriptHash", "url", "mediaFileUrl", "page",
    "deferredFileId", "uuid", "token",
}  # fmt: skip
_SHOWN: Final = 20  # differences that are printed in full


# Record --------------------------------------------------------------------------------------------------------------


def record(runs: Path, out: Path) -> None:
    """Everything that the code of the working directory makes of the runs."""
    sys.path.insert(0, str(Path.cwd()))
    names = sorted(path.name for path in runs.iterdir() if (path / "manifest.json").exists())
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        copies = Path(scratch) / "runs"
        copies.mkdir()
        for name in names:
            shutil.copytree(runs / name, copies / name)
        for name in names:
            print(f"{name}: stored, exported, pages", flush=True)
            _stored(copies / name, out / name / "stored")
            _exported(copies, name, out / name / "export")
            _pages(copies, name, out / name / "pages")
        for name in names:
            print(f"{name}: counted and measured anew", flush=True)
            _command("evaluate", name, "--runs", str(copies))
            _stored(copies / name, out / name / "evaluated")


def _command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pipelines", *arguments], check=True, stdout=subprocess.DEVNULL)


def _stored(run: Path, to: Path) -> None:
    to.mkdir(parents=True)
    for path in sorted(run.rglob("*")):
        kept = path.name in ("metrics.parquet", "verdict.json", "image_scores.parquet") or "statistics" in str(
            path.relative_to(run)
        )
        if path.is_file() and kept:
            shutil.copy(path, to / str(path.relative_to(run)).replace("/", "__"))


class _Report(HTMLParser):
    """Figures' data by name, and the text that a reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.figures: dict[str, Any] = {}
        self.lines: list[str] = []
        self._figure: str | None = None
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag in ("script", "style")
        self._figure = dict(attrs).get("data-figure") if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        self._hidden, self._figure = False, None

    def handle_data(self, data: str) -> None:
        if self._figure is not None:
            self.figures[self._figure] = json.loads(data)
        elif not self._hidden and data.strip():
            self.lines.append(" ".join(data.split()))


def _exported(runs: Path, name: str, to: Path) -> None:
    to.mkdir(parents=True)
    _command("export", name, "--runs", str(runs), "--out", str(to))
    html = to / f"{name}-report.html"
    report = _Report()
    report.feed(html.read_text())
    _write(to / "figures.json", report.figures)
    (to / "report.txt").write_text("\n".join(report.lines))
    html.unlink()


def _pages(runs: Path, name: str, to: Path) -> None:
    """Every element of every page, its tables opened."""
    from streamlit.testing.v1 import AppTest

    os.environ["PIPELINES_RUNS"] = str(runs)
    to.mkdir(parents=True)
    scripts = Path.cwd() / "dashboard" / "pages"
    scripts = scripts if scripts.is_dir() else scripts.with_name("app_pages")
    at = AppTest.from_file(str(scripts.with_name("app.py")), default_timeout=300)
    at.query_params["run"] = name
    at.run()
    for script in sorted(scripts.glob("[a-z]*.py")):
        at.switch_page(f"{scripts.name}/{script.name}").run()
        for expander in at.expander:
            if expander.label == "Table and download":
                at.session_state[expander.key] = True
        at.run()
        _write(to / f"{script.stem}.json", list(_elements(at.main)))


def _elements(block: Any) -> Iterator[dict[str, Any]]:
    from google.protobuf.json_format import MessageToDict

    for child in block.children.values():
        if hasattr(child, "children"):
            yield from _elements(child)
        elif child.type == "arrow_data_frame":
            yield {"type": child.type, "table": child.value.to_csv()}
        else:
            proto = getattr(child, "proto", None)
            yield {"type": child.type, **(_seen(MessageToDict(proto)) if proto is not None else {})}


def _seen(value: Any) -> Any:
    """Without names that Streamlit makes, and with figures' data as values instead of one long text."""
    if isinstance(value, dict):
        return {key: _seen(part) for key, part in value.items() if key not in _IDS}
    if isinstance(value, list):
        return [_seen(part) for part in value]
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return _seen(json.loads(value))
        except ValueError:
            return value
    return value


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False))


# Compare -------------------------------------------------------------------------------------------------------------


def compare(before: Path, after: Path) -> int:
    """Prints what differs and how much was compared; returns the number of files that differ."""
    names = {
        base: {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()} for base in (before, after)
    }
    differing = 0
    for name in sorted(names[before] | names[after]):
        where = [base for base in (before, after) if name in names[base]]
        problems = _differences(before / name, after / name) if len(where) == 2 else [f"only in {where[0]}"]
        differing += bool(problems)
        for problem in problems[:_SHOWN]:
            print(f"{name}: {problem}")
        if len(problems) > _SHOWN:
            print(f"{name}: … and {len(problems) - _SHOWN} more")
    print(f"{len(names[before] | names[after])} files compared, {differing} differ")
    return differing


def _differences(before: Path, after: Path) -> list[str]:
    if before.read_bytes() == after.read_bytes():
        return []
    if before.suffix == ".parquet":
        return _frames(pq.read_table(before).to_pandas(), pq.read_table(after).to_pandas())
    if before.suffix == ".json":
        return list(_values(json.loads(before.read_text()), json.loads(after.read_text()), ""))
    try:
        lines = [path.read_text().splitlines() for path in (before, after)]
    except UnicodeDecodeError:
        return ["other bytes"]
    return [line for line in difflib.unified_diff(*lines, lineterm="", n=0) if re.match(r"[+-](?![+-])", line)]


def _frames(before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    """Exact: an interval that moves in its last digit is a difference. Other bytes of the same table are none."""
    if list(before.columns) != list(after.columns) or len(before) != len(after):
        return [f"{before.shape} {list(before.columns)} became {after.shape} {list(after.columns)}"]
    return [
        f"column {name} differs in {count} of {len(before)} rows"
        for name in before.columns
        if (count := int(np.sum([not _same(*pair) for pair in zip(before[name], after[name], strict=True)])))
    ]


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, (list, np.ndarray)):
        return np.array_equal(before, after)
    return before == after or (before != before and after != after) or (before is None and after is None)


def _values(before: Any, after: Any, where: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            if key in _IDS:
                continue
            if key not in before or key not in after:
                yield f"{where}.{key} {'new' if key in after else 'gone'}"
            else:
                yield from _values(before[key], after[key], f"{where}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for at, pair in enumerate(zip(before, after, strict=True)):
            yield from _values(*pair, f"{where}[{at}]")
    elif _plain(before) != _plain(after):
        short = [json.dumps(value, ensure_ascii=False)[:200] for value in (before, after)]
        yield f"{where}: {short[0]} became {short[1]}"


def _plain(value: Any) -> Any:
    """Markup and scripts without white space that nobody sees."""
    return re.sub(r"\s+", " ", re.sub(r"\s*(<[^<>]*>)\s*", r"\1", value)).strip() if isinstance(value, str) else value


def main() -> None:
    """Record or compare, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("record", "compare"))
    parser.add_argument("first", type=Path, metavar="RUNS|OUT")
    parser.add_argument("second", type=Path, metavar="OUT")
    given = parser.parse_args()
    if given.action == "record":
        record(given.first.resolve(), given.second.resolve())
    else:
        sys.exit(bool(compare(given.first, given.second)))


if __name__ == "__main__":
    main()
