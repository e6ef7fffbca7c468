"""Files of outputs and their declarations to a report: what they hold, and what speaks against what was said."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipelines.datasets.base import Finding
from pipelines.errors import ShapeError
from pipelines.misuse.declaration import Activation, Declaration, Values
from pipelines.misuse.files import read_outputs
from pipelines.misuse.findings import MisuseCheck, check_pair, plural
from pipelines.progress import Progress


class HeadReport(BaseModel):
    """What the files of one head hold and what speaks against its declaration.

    lowest, highest: of the finite values; None when there are none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: Activation
    values: Values
    images: int
    pixels: int
    channels: int
    lowest: float | None
    highest: float | None
    findings: tuple[Finding, ...]


class OutputsReport(BaseModel):
    """One head, or a pair with what stands against comparing it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    heads: tuple[HeadReport, ...]
    pair: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings are allowed."""
        every = [one for head in self.heads for one in head.findings] + list(self.pair)
        return all(one.severity != "error" for one in every)

    def text(self) -> str:
        """A line for each head, then one for each of its findings; at last those of the pair."""
        lines: list[str] = []
        for head in self.heads:
            line = f"{head.head} {head.values}: {plural(head.images, 'image')}, {plural(head.pixels, 'pixel')}"
            if head.lowest is not None:
                line += f", {plural(head.channels, 'channel')}, values {head.lowest:.4g} to {head.highest:.4g}"
            lines += [line, *_lines(head.findings)]
        if len(self.heads) > 1:
            lines += ["the pair", *_lines(self.pair)]
        return "\n".join(lines)


def check_files(
    heads: Sequence[tuple[Declaration, Sequence[Path]]], *, progress: Progress | None = None
) -> OutputsReport:
    """Check the files of one head or two. heads: each declaration with its .npy and .npz files.

    Raises DatasetError or ShapeError, with the file's name, for what cannot be read as outputs.
    """
    shown = progress or Progress()  # without a stream it is silent
    checks = [MisuseCheck(declaration) for declaration, _ in heads]
    with shown.stage("check outputs", sum(len(paths) for _, paths in heads)):
        for check, (_, paths) in zip(checks, heads, strict=True):
            for path in paths:
                _add_file(check, path, shown)
                shown.advance()
    pair = check_pair(*checks) if len(checks) == 2 else ()
    return OutputsReport(heads=tuple(map(_head_report, checks)), pair=pair)


def _add_file(check: MisuseCheck, path: Path, progress: Progress) -> None:
    for image in read_outputs(path):
        try:
            check.add(image)
        except ShapeError as error:
            raise ShapeError(f"{path.name}: {error}") from None
        progress.check()


def _head_report(check: MisuseCheck) -> HeadReport:
    seen, declared = check.evidence, check.declaration
    counts = {"images": 0, "pixels": 0, "channels": 0}
    if seen is not None:
        counts = {"images": seen.images, "pixels": seen.pixels, "channels": seen.channels}
    some = seen is not None and seen.finite > 0
    return HeadReport(
        head=declared.head,
        values=declared.values,
        lowest=seen.lowest if seen and some else None,
        highest=seen.highest if seen and some else None,
        findings=check.findings(),
        **counts,
    )


def _lines(findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return ["  nothing speaks against what was declared"]
    return [f"  {one.severity:<8}{one.code}: {one.message}" for one in findings]
