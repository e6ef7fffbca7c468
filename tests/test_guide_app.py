"""The page "How to read this" as its readers use it, with a run and without one."""

import re

import opening
import pytest

from dashboard.displays.guide import PRESETS, names_of
from dashboard.how_to_read import HOW_TO_READ, PAGE_OF
from dashboard.menu import PAGES

GUIDE = "app_pages/guide.py"


@pytest.fixture
def guide(monkeypatch, real_runs, tmp_path):
    """Opens the page as a link would; runs=False: in a folder without any."""

    def open_page(*, runs=True, **query):
        return opening.open_page(monkeypatch, real_runs if runs else tmp_path, "guide", **query)

    return open_page


def html(at):
    return "".join(block.body for block in at.get("html"))


def cards(at):
    """What the two cards say: (head, number of labels)."""
    return re.findall(r'rd-name">(\w+)</span><span class="rd-count">([^<]+)<', html(at))


def shown_p(at):
    return re.findall(r'rd-p">([^<]+)<', html(at))


def button(at, label):
    return next(one for one in at.button if one.label == label)


def healthy(at):
    return not at.exception and not at.error


def test_page_opens_on_labels_that_overlap(guide):
    at = guide(run="cells")
    assert healthy(at)
    assert cards(at) == [("Sigmoid", "two labels"), ("Softmax", "one label")]
    assert len(at.get("plotly_chart")) == 4
    assert all(chart.proto.alt for chart in at.get("plotly_chart"))


def test_page_works_without_a_run(guide):
    at = guide(runs=False, figure="forest")
    assert healthy(at)
    assert len(cards(at)) == 2
    assert "Paired differences, with the margin" in html(at)
    assert not at.get("page_link")


def test_each_preset_puts_every_control_in_its_place(guide):
    at = guide(run="cells", temperature="2.5", cut="0.7")
    for name, preset in PRESETS.items():
        button(at, name).click().run()
        assert healthy(at), name
        assert at.segmented_control(key="channels").value == len(preset.logits)
        for key, logit in zip(("z1", "z2", "z3"), preset.logits, strict=False):
            assert at.slider(key=key).value == logit
        assert at.session_state["there"] == names_of(preset.truth)
        assert at.slider(key="temperature").value == 1
        assert at.slider(key="cut").value == 0.5
        assert any(one.key == "z0" for one in at.slider) == (preset.background is not None)
        assert [one.label for one in at.button if one.proto.type == "primary"] == [name]


def test_adding_to_all_moves_sigmoid_alone(guide):
    at = guide(run="cells")
    before = shown_p(at)
    button(at, "Add 2 to all").click().run()
    after = shown_p(at)
    assert [at.slider(key=key).value for key in ("z1", "z2", "z0")] == [4.2, 3.7, 2.0]
    assert before[:2] != after[:2]
    assert before[2:] == after[2:] == ["0.58", "0.35", "0.06"]
    assert button(at, "Add 2 to all").disabled  # 4.2 + 2 leaves the sliders
    button(at, "Take 2 from all").click().run()
    assert shown_p(at) == before


def test_a_link_opens_the_same_pixel(guide):
    at = guide(channels="3", z1="-1.5", z3="2", background="false", temperature="2", cut="0.3", there="debris")
    assert healthy(at)
    assert at.segmented_control(key="channels").value == 3
    assert [at.slider(key=key).value for key in ("z1", "z2", "z3")] == [-1.5, 1.7, 2.0]
    assert at.session_state["there"] == "debris"
    # σ(−1.5 / 2), σ(1.7 / 2), σ(2 / 2)
    assert shown_p(at)[:3] == ["0.32", "0.70", "0.73"]
    assert len(shown_p(at)) == 6


def test_fewer_classes_forget_truths_that_are_gone(guide):
    at = guide(channels="3", there="debris")
    at.segmented_control(key="channels").set_value(2).run()
    assert healthy(at)
    assert at.session_state["there"] == "cell and nucleus"
    at.segmented_control(key="channels").set_value(1).run()
    assert healthy(at)
    assert len(at.get("plotly_chart")) == 3  # one curve and the two miniatures


def test_sharing_the_target_out_bounds_the_loss(guide):
    at = guide(run="cells")
    assert "(ln 2)" not in html(at)
    at.segmented_control(key="coding").set_value("split").run()
    assert "0.693 (ln 2)" in html(at)


def test_miniatures_change_their_word(guide):
    at = guide(run="cells")
    assert "Open: not enough evidence" in html(at)
    at.slider(key="mini_width").set_value(0.004).run()
    assert "Sigmoid is better" in html(at)
    at.slider(key="mini_margin").set_value(0.03).run()
    assert "No practical difference" in html(at)
    at.select_slider(key="mini_stretch").set_value(0.5).run()
    assert "Under-confident" in html(at)


def test_every_explanation_has_its_anchor_and_link(guide):
    body = html(guide(run="cells"))
    assert sorted(re.findall(r'id="figure-(\w+)"', body)) == sorted(HOW_TO_READ)
    for figure in HOW_TO_READ:
        assert f'href="?run=cells&amp;figure={figure}"' in body


@pytest.mark.parametrize("figure", ["forest", "rates", "image_scores"])
def test_asked_figure_comes_first_with_the_way_back(guide, figure):
    at = guide(run="cells", figure=figure)
    assert healthy(at)
    first = next(block.body for block in at.get("html") if 'class="asked"' in block.body)
    assert HOW_TO_READ[figure][:30] in first.replace("&#x27;", "'").replace("&gt;", ">")
    assert html(at).count("entry marked") == 1
    back = [link.proto for link in at.get("page_link") if link.proto.label.startswith("Back to ")]
    assert [link.query_string for link in back] == ["run=cells"]
    assert f'class="from">A figure of the page {PAGES[PAGE_OF[figure]].title}<' in first
    assert len(at.get("plotly_chart")) == 4  # a miniature that is on top is not drawn again below


@pytest.mark.parametrize("figure", ["<img src=x onerror=alert(1)>", "![x](http://a.b/c.png)"])
def test_unknown_figure_says_so_and_shows_nothing_of_it(guide, figure):
    at = guide(run="cells", figure=figure)
    assert healthy(at)
    assert "No such figure" in at.info[0].proto.title
    everything = html(at) + "".join(one.value for one in [*at.markdown, *at.info, *at.caption])
    assert figure not in everything


def test_nonsense_in_the_link_falls_back(guide):
    at = guide(run="cells", figure="", z1="99", z2="x", there="nobody", channels="9", cut="7", mini_stretch="1000")
    assert healthy(at)
    assert len(cards(at)) == 2
