"""Files of outputs and their declarations to a report: what they hold, and what speaks against what was said."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipelines.channels import Activation, Declaration, Values
from pipelines.datasets.base import Finding
from pipelines.errors import ShapeError
from pipelines.imports.readers.arrays import read_outputs
from pipelines.misuse import Evidence, MisuseCheck, check_pair
from pipelines.progress import Progress
from pipelines.sentences import count_of


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
        findings = [*(finding for head in self.heads for finding in head.findings), *self.pair]
        return all(finding.severity != "error" for finding in findings)

    def text(self) -> str:
        """A line for each head, then one for each of its findings; at last those of the pair."""
        lines: list[str] = []
        for head in self.heads:
            line = f"{head.head} {head.values}: {count_of(head.images, 'image')}, {count_of(head.pixels, 'pixel')}"
            if head.lowest is not None:
                line += f", {count_of(head.channels, 'channel')}, values {head.lowest:.4g} to {head.highest:.4g}"
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
    seen, declared = check.evidence or Evidence(low=(), high=()), check.declaration
    return HeadReport(
        head=declared.head,
        values=declared.values,
        images=seen.images,
        pixels=seen.pixels,
        channels=seen.channels,
        lowest=seen.lowest if seen.finite else None,
        highest=seen.highest if seen.finite else None,
        findings=check.findings(),
    )


def _lines(findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return ["  nothing speaks against what was declared"]
    return [f"  {finding.severity:<8}{finding.code}: {finding.message}" for finding in findings]
