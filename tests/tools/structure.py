"""The grain of the product code in a few numbers: how many modules there are, how long, and how they hang together.

    python -m tests.tools.structure [PACKAGE ...]

Prints a markdown table for the packages (default: pipelines and dashboard). Lines are all lines of a file, as
`wc -l` counts them; an import's lines are all lines of the statement. The longest chain counts modules, each of which
imports the next when it is imported itself; imports inside functions and for types do not count. A module has a
single importer when exactly one other module of the product names it.
"""

import argparse
import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("pipelines", "dashboard")


@dataclass(frozen=True)
class Module:
    """One file. imports: modules of the product it names at its top; later: those named inside functions."""

    lines: int
    import_lines: int
    skips: int
    imports: set[str] = field(default_factory=set)
    later: set[str] = field(default_factory=set)


def name_of(path: Path) -> str:
    """The dotted name of a file; a package's is that of its __init__."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read(packages: tuple[str, ...]) -> dict[str, Module]:
    """Every module of the packages."""
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    known = {name_of(path) for path in paths}
    modules = {}
    for path in paths:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        statements = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        at_top = {id(node) for node in _at_top(tree)}
        module = Module(
            lines=text.count("\n"),
            import_lines=sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in statements),
            skips=text.count("# fmt: skip"),
        )
        for node in statements:
            named = set(_named(node, known)) - {name_of(path)}
            (module.imports if id(node) in at_top else module.later).update(named)
        modules[name_of(path)] = module
    return modules


def _at_top(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported, those under `if` and `try` too; not what only types need."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.If | ast.Try | ast.With):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]


def _named(node: ast.stmt, known: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return
    for name in names:
        while name and name not in known:
            name = name.rpartition(".")[0]
        if name:
            yield name


def longest_chain(modules: Mapping[str, Module]) -> list[str]:
    """The longest chain of imports. Raises ValueError, which names it, for a circle."""
    above: list[str] = []  # from the module that was asked about down to the present one

    @cache
    def below(name: str) -> tuple[str, ...]:
        if name in above:
            raise ValueError(f"imports go in a circle: {' → '.join([*above[above.index(name) :], name])}")
        above.append(name)
        longest = max((below(other) for other in sorted(modules[name].imports)), key=len, default=())
        above.pop()
        return (name, *longest)

    return list(max((below(name) for name in modules), key=len, default=()))


def table(packages: tuple[str, ...]) -> list[tuple[str, str]]:
    """Label and value of each row."""
    modules = read(packages)
    lines = sum(module.lines for module in modules.values())
    importers: dict[str, set[str]] = {name: set() for name in modules}
    for name, module in modules.items():
        for other in module.imports | module.later:
            importers[other].add(name)
    single = [name for name, users in importers.items() if len(users) == 1]
    beside = [
        name for name in single if next(iter(importers[name])).rpartition(".")[0] == name.rpartition(".")[0]
    ]  # fmt: skip
    longest = max(modules, key=lambda name: modules[name].lines)
    rows = [
        ("product lines", f"{lines:,}"),
        ("modules", f"{len(modules)}"),
        ("mean length", f"{lines / len(modules):.0f}"),
        ("longest", f"{modules[longest].lines} ({longest})"),
        ("import lines", f"{100 * sum(module.import_lines for module in modules.values()) / lines:.1f} %"),
    ]
    for package in packages:
        inside = read((package,))
        chain = longest_chain(inside)
        if len(inside) > 1:
            rows.append((f"longest chain of imports in {package}", f"{len(chain)}"))
    return [
        *rows,
        ("modules with a single importer", f"{len(single)}, {len(beside)} of them beside it"),
        ("`# fmt: skip`", f"{sum(module.skips for module in modules.values())}"),
    ]


def main() -> int:
    """Print the table. Returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("packages", nargs="*", default=PACKAGES)
    rows = table(tuple(parser.parse_args().packages))
    print("| | |\n| --- | --- |")
    for label, value in rows:
        print(f"| {label} | {value} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
