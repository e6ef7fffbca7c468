import re

from PIL import Image
from places import REPO

from pipelines.counting import grid
from pipelines.datasets.opening import open_dataset
from pipelines.judgement import Margin
from pipelines.metrics import METRICS
from pipelines.metrics.inference import FEWEST_GROUPS
from pipelines.temperature import PIXEL_BUDGET
from pipelines.verdict.reasons import FEWEST_SEEDS


def text(name):
    return (REPO / name).read_text()


def test_every_metric_has_its_line():
    lines = text("docs/metrics.md").splitlines()
    for metric in METRICS.values():
        row = next((line for line in lines if line.startswith(f"| `{metric.name}` |")), None)
        assert row is not None, metric.name
        assert ("| yes |" in row) == metric.per_class, metric.name
        assert (metric.better if metric.better != "neither" else "") in row, metric.name


def test_numbers_in_the_docs_are_those_of_the_code():
    assert f"grid of {grid.CELLS} cells" in text("docs/run-format.md")
    assert f"{PIXEL_BUDGET:,} evenly spaced" in text("docs/metrics.md")
    verdict = text("docs/verdict.md")
    assert f"| macro Dice | {Margin().dice:g} |" in verdict
    assert f"| Brier score | {100 * Margin().brier_relative:g}% |" in verdict
    assert FEWEST_SEEDS == 3
    assert "at least three seeds" in verdict
    assert FEWEST_GROUPS == 10
    assert "fewer than ten" in verdict


def test_links_in_the_documents_lead_somewhere():
    pages = [*REPO.glob("*.md"), *REPO.glob("docs/**/*.md")]
    assert len(pages) >= 6
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)


def test_the_example_of_a_data_set_is_valid(tmp_path):
    example = re.search(r"```toml\n(.*?)```", text("docs/data-formats.md"), re.DOTALL)
    assert example is not None
    (tmp_path / "dataset.toml").write_text(example[1])
    for folder in ("images", "masks/cell", "masks/nucleus"):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / folder / "a.png")
    opened = open_dataset(tmp_path)
    assert opened.classes == ("cell", "nucleus")
    assert opened.priority == ("nucleus", "cell")


def test_requirements_are_pinned():
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in text(name).splitlines():
            if line and not line.startswith(("#", "-r")):
                assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line), line
