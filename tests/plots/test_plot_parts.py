"""Cached text, cached figures, fast axes and fast encoding give the same pictures as matplotlib alone."""

import subprocess
import sys
import zlib
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from test_plots import LOSSES, UNITS, dataset, network, picture_text, pixels, random_network, visible, vote_arguments

from reluviz.data.dataset import Dataset
from reluviz.plots import FitPicture, VotesPicture, curves, encoding, figure_cache, for_run, history_png, text_cache
from reluviz.plots.axes import Axes, Ticks, round_ticks
from reluviz.plots.canvas import Canvas, new_figure
from reluviz.plots.history import (
    BAR_LEFT,
    BAR_TIP,
    BOTTOM,
    HEIGHT,
    LEFT,
    NO_VOTE_COLOUR,
    PALETTE,
    WIDTH,
    norm_colours,
)
from reluviz.plots.style import DPI, FONT, SIZE, plot_style
from reluviz.plots.text_cache import CachedTextRenderer, PlainText, pieces

FONTS = [("normal", 8.5), ("normal", 9.5), ("normal", 10), ("normal", 15), ("bold", 8.5), ("bold", 11.5)]
"""All weights and sizes that the pictures use."""
TEXTS = [
    "update 150,000",
    "loss  train 0.513  test 1.27e−05",
    "θ = −0.5   θ* = 1e+03",
    "effective votes 17.3 of 1,000 (N = 100,000)",
    "hidden relu(wₖ x + bₖ)",
    "dotted: 0.5 %, if all votes were alike",
    "▼ f(x) is below",
    "10⁻¹²",
    "jagged",
]


def font(weight, size):
    return FontProperties(family=FONT, weight=weight, size=size)


def draw_text(renderer_class, text, prop, x=20.0, y=40.0, angle=0.0, math=False):
    """Return the pixels of an orange text drawn by one of the renderers."""
    renderer = renderer_class(480, 60, DPI)
    image = np.asarray(renderer.buffer_rgba())
    image[:] = 255
    gc = renderer.new_gc()
    gc.set_foreground("#d55e00")
    renderer.draw_text(gc, x, y, text, prop, angle, math)
    return image[..., :3].astype(int)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(("weight", "size"), FONTS)
def test_cached_text_has_the_pixels_of_matplotlib_s_text(text, weight, size):
    prop = font(weight, size)
    ours, theirs = draw_text(CachedTextRenderer, text, prop), draw_text(RendererAgg, text, prop)
    assert (theirs != 255).sum() > 100
    # if kerning puts letters between pixels, matplotlib blends their overlaps twice
    whole = RendererAgg(9, 9, DPI).get_text_width_height_descent(text, prop, False)[0].is_integer()
    assert np.abs(ours - theirs).max() <= (0 if whole else 8)
    np.testing.assert_array_equal(
        draw_text(CachedTextRenderer, text, prop), ours
    )  # the second time all pieces are cached
    our_size = CachedTextRenderer(9, 9, DPI).get_text_width_height_descent(text, prop, False)
    assert our_size == RendererAgg(9, 9, DPI).get_text_width_height_descent(text, prop, False)


@pytest.mark.parametrize(("weight", "size"), FONTS)
def test_the_font_does_not_kern_digits(weight, size):
    agg = RendererAgg(9, 9, DPI)
    letters = "0123456789.,−+e% θx(▲"
    width = {each: agg.get_text_width_height_descent(each, font(weight, size), False)[0] for each in letters}
    for digit in "0123456789":
        for other in letters:
            for pair in (digit + other, other + digit):
                both = agg.get_text_width_height_descent(pair, font(weight, size), False)[0]
                assert both == width[digit] + width[other], pair


def test_a_new_number_is_composed_of_cached_digits():
    with plot_style():
        renderer = CachedTextRenderer(480, 60, DPI)
        key = renderer.font(font("normal", 10))
        pieces("update 0123456789,.", key)
        if pieces("0", key) is None:
            pytest.skip("this matplotlib draws between pixels")
        before = text_cache._piece.cache_info().misses
        assert len(pieces("987654321", key)) == 9
        assert text_cache._piece.cache_info().misses == before


@pytest.mark.parametrize(
    "changes",
    [{"angle": 30.0}, {"angle": 90.0}, {"text": "$x^2$", "math": True}],
    ids=["rotated by 30 degrees", "vertical", "formula"],
)
def test_rotated_text_and_formulas_are_drawn_by_matplotlib(changes):
    arguments = {"text": "update 12", "prop": font("normal", 10), "x": 40.3, "y": 45.6, **changes}
    ours, theirs = draw_text(CachedTextRenderer, **arguments), draw_text(RendererAgg, **arguments)
    assert (ours != 255).any()
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.filterwarnings("ignore:Glyph")
def test_letters_missing_in_the_font_are_drawn_by_matplotlib():
    arguments = "数 12", font("normal", 10), 40.3, 45.6
    assert pieces("数 12", CachedTextRenderer(9, 9, DPI).font(arguments[1])) is None
    np.testing.assert_array_equal(draw_text(CachedTextRenderer, *arguments), draw_text(RendererAgg, *arguments))


def test_a_matplotlib_with_another_interface_draws_all_text(monkeypatch):
    monkeypatch.delattr(text_cache.backend_agg, "get_hinting_flag", raising=True)
    prop = font("normal", 10.75)  # a size that is not cached
    renderer = CachedTextRenderer(480, 60, DPI)
    assert pieces("update 12", renderer.font(prop)) is None
    monkeypatch.undo()
    assert pieces("update 12", renderer.font(prop)) is None
    np.testing.assert_array_equal(
        draw_text(CachedTextRenderer, "update 12", prop, 40.3, 45.6),
        draw_text(RendererAgg, "update 12", prop, 40.3, 45.6),
    )


def test_letters_between_pixels_are_drawn_by_matplotlib():
    with matplotlib.rc_context({"text.hinting": "none"}):
        arguments = "update 1,234.567", font("normal", 10), 40.3, 45.6
        assert pieces(arguments[0], CachedTextRenderer(9, 9, DPI).font(arguments[1])) is None
        np.testing.assert_array_equal(draw_text(CachedTextRenderer, *arguments), draw_text(RendererAgg, *arguments))


def test_texts_at_the_same_height_have_the_same_baseline():
    canvas = Canvas(new_figure())
    with plot_style():
        for x, text in ((0.1, "nnn"), (0.3, "lnl"), (0.5, "1n1")):
            canvas.add_text(x, 0.501, text, size=15, va="center")
        canvas.add_text(0.7, 0.501, "npn", size=15, va="center")
    image = pixels(canvas.png()).min(axis=-1)
    lowest = [np.nonzero((image[:, at : at + 60] < 128).any(axis=1))[0].max() for at in (90, 280, 470)]
    assert len(set(lowest)) == 1
    assert np.nonzero((image[:, 660:740] < 128).any(axis=1))[0].max() > lowest[0]


def test_texts_are_aligned_left_centre_and_right():
    canvas = Canvas(new_figure())
    with plot_style():
        for y, ha in ((0.2, "left"), (0.5, "center"), (0.8, "right")):
            canvas.add_text(0.5, y, "III", size=15, ha=ha)
    image = pixels(canvas.png()).min(axis=-1)
    ends = [np.nonzero((image[600 - at - 30 : 600 - at + 5] < 128).any(axis=0))[0] for at in (120, 300, 480)]
    left, centre, right = ((ink.min() + ink.max()) / 2 for ink in ends)
    assert centre == pytest.approx(SIZE[0] / 2, abs=1)
    assert ends[0].min() >= SIZE[0] / 2 > ends[2].max()
    assert left - centre == pytest.approx(centre - right, abs=1)


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1), (-0.02, 1.02), (-1.3, 0.9), (1000, 1000.5), (-3e6, 4e6), (2e-9, 3e-9), (0, 152), (1e6, 1e6 + 1)],
)
def test_ticks_equal_those_of_matplotlib_s_axes(low, high):
    with plot_style():
        axes = Figure(figsize=(9.6, 6)).add_axes((0.1, 0.1, 0.85, 0.85))
        axes.set_xlim(low, high)
        places = axes.get_xticks()
        slack = 1e-9 * (high - low)  # a tick at the edge is drawn
        inside = (places >= low - slack) & (places <= high + slack)
        labels = [label.get_text() for label in axes.get_xticklabels()]
        ours = round_ticks(low, high)
    np.testing.assert_allclose(ours.at, places[inside])
    assert ours.labels == [label for label, kept in zip(labels, inside, strict=True) if kept]
    assert ours.offset == axes.xaxis.get_major_formatter().get_offset()


def test_our_axes_draw_at_the_same_pixels_as_matplotlib_s():
    canvas = Canvas(new_figure())
    box = (0.1, 0.2, 0.5, 0.6)
    our_axes = Axes(canvas, box, (-1, 3), (10, 30))
    matplotlib_axes = new_figure().add_axes(box, xlim=(-1, 3), ylim=(10, 30))
    points = np.array([[-1, 10], [0, 25], [3, 30], [7, -4]])
    np.testing.assert_allclose(our_axes.data_transform.transform(points), matplotlib_axes.transData.transform(points))
    np.testing.assert_allclose(our_axes.axes_transform.transform(points), matplotlib_axes.transAxes.transform(points))
    line = our_axes.add_line([-1, 9], [20, 20], color="black", linewidth=5)
    image = pixels(canvas.png()).min(axis=-1)
    inked = np.nonzero((image < 128).any(axis=0))[0]
    np.testing.assert_array_equal(line.get_xdata(), [-1, 9])
    assert (inked.min(), inked.max()) == (96, 575)  # clipped at the right edge, where x is 3


def test_new_ticks_and_grid_replace_the_old_ones():
    canvas = Canvas(new_figure())
    our_axes = Axes(canvas, (0.1, 0.1, 0.8, 0.8), (0, 1), (0, 1))
    with plot_style():
        for ticks in (Ticks([0.1, 0.9], ["a", "b"]), Ticks([0.5], ["c"])):
            our_axes.draw_ticks(ticks, ticks, "x")
            our_axes.draw_grid(ticks, ticks)
    written = [each.get_text() for each in canvas.figure.findobj(PlainText)]
    assert sorted(filter(None, written)) == ["c", "c", "x"]
    columns = np.nonzero((pixels(canvas.png())[100, 100:900] < 250).all(axis=-1))[0]
    assert abs(columns - 380).max() <= 1  # one grid line, in the middle


def test_a_ring_of_two_discs_looks_like_a_disc_with_an_edge():
    data, p = dataset(), random_network(8)
    picture = VotesPicture("relu", data, seed=0)
    update, shares, norms, residuals, x = vote_arguments(data, p)
    ours = pixels(picture.png(p, update, shares, norms, residuals, x)).astype(int)
    known = picture.points.get_facecolor()
    rings = np.nonzero((known == 1).all(axis=1))[0]
    picture.points.set_edgecolor(np.delete(known, rings, axis=0))
    faces = np.delete(known, rings, axis=0)
    faces[shares < 0] = 1
    picture.points.set_facecolor(faces)
    picture.points.set_linewidth(1)
    picture.points.set_offsets(np.delete(picture.points.get_offsets(), rings, axis=0))
    picture.points.set_sizes((np.sqrt(np.delete(picture.points.get_sizes(), rings)) - 1) ** 2, DPI)
    theirs = pixels(picture.canvas.png()).astype(int)
    assert np.abs(ours - theirs).max() <= 20
    assert (np.abs(ours - theirs) > 8).sum() < 200  # of 1.7 million


def test_a_picture_has_the_pixels_of_its_buffer_with_each_compressor(monkeypatch):
    picture = FitPicture("relu", dataset(), seed=0)
    buffer = np.asarray(picture.canvas._renderer.buffer_rgba())
    for compress in (encoding.compress, zlib.compress):
        monkeypatch.setattr(encoding, "compress", compress)
        np.testing.assert_array_equal(pixels(picture.png(UNITS, 1, LOSSES)), buffer[..., :3])


def reused_pictures(model, data, seed, p, update=7):
    """Return the pixels of both pictures of a new run at one snapshot, with figures from the cache."""
    fit, vote = for_run(model, data, seed)
    return visible(fit.png(p, update, LOSSES)), visible(vote.png(p, *vote_arguments(data, p, model)))


def new_pictures(model, data, seed, p, update=7):
    fit, vote = FitPicture(model, data, seed), VotesPicture(model, data, seed)
    return visible(fit.png(p, update, LOSSES)), visible(vote.png(p, *vote_arguments(data, p, model)))


@pytest.mark.parametrize("model", ["constant", "linear", "relu"])
def test_reused_pictures_equal_new_ones(model):
    data = dataset(name=model)
    first = for_run(model, data, 3)
    if model == "relu":
        runs = [random_network(4), random_network(200), {**random_network(4), "bias": np.full(4, np.nan)}, UNITS]
    else:
        # near the optimum; far from it, which widens the parabola; not finite
        runs = [{"theta": np.array(theta)} for theta in (0.1, 3.0, np.nan, 0.2, -40.0, 0.3)]
    for seed, p in enumerate(runs):
        assert reused_pictures(model, data, seed, p) == new_pictures(model, data, seed, p)
        assert for_run(model, data, seed) == first
        assert f"seed {seed}" in picture_text(first[0])
        assert f"seed {seed}" in picture_text(first[1])


def test_runs_on_the_same_data_draw_the_background_once(monkeypatch):
    drawings = []
    draw = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda *each: (drawings.append(each), draw(*each)))
    for seed, width in enumerate((10, 20, 40)):
        reused_pictures("relu", dataset(name="a sweep"), seed, random_network(width))
    assert len(drawings) == 2
    assert "40 ReLUs, a sweep, seed 2" in picture_text(for_run("relu", dataset(name="a sweep"), 2)[0])


def test_other_data_get_new_pictures():
    data = dataset()
    first = for_run("relu", data, 0)
    same = Dataset(data.name, data.x.copy(), data.y.copy(), data.domain, target=lambda x: np.sin(9 * x))
    assert for_run("relu", same, 1) == first  # targets are compared by the values that are drawn
    moved = data.y.copy()
    moved[3] += 1e-9
    others = [
        replace(data, y=moved),
        replace(data, x=np.nextafter(data.x, 2)),
        replace(data, name="other"),
        replace(data, domain=(0.0, 1.5)),
        replace(data, target=np.cos),
        replace(data, target=None),
    ]
    for other in others:
        assert for_run("relu", other, 0)[0] not in for_run("relu", data, 0)
    assert for_run("linear", data, 0)[0] is not for_run("relu", data, 0)[0]


def test_the_number_of_cached_pictures_is_limited():
    for k in range(3 * figure_cache.MAX_CACHED):
        for_run("constant", dataset(samples=5 + k), 0)
        assert len(figure_cache._cache) <= figure_cache.MAX_CACHED


def test_the_history_picture_of_a_run_does_not_depend_on_earlier_runs():
    x, updates = np.linspace(0, 1, 20), np.arange(30) ** 2
    rng = np.random.default_rng(0)
    small, large = rng.uniform(1e-4, 1e-3, (30, 20)), rng.uniform(1, 50, (30, 20))
    first = visible(history_png(x, updates, small))
    assert visible(history_png(1e5 + x, updates[:7], large[:7])) != first
    assert visible(history_png(x, updates, small)) == first


def test_history_colours_are_on_a_logarithmic_scale():
    cividis = matplotlib.colormaps["cividis"](np.arange(256), bytes=True).view(np.uint32)[:, 0]
    np.testing.assert_array_equal(PALETTE, cividis)
    norms = np.array([1e-9, 1e-4, 1e-2, 1.0, 0.0, np.nan, np.inf, 1e-2 * 10 ** (4 / 256)])
    expected = [*cividis[[0, 0, 128, 255]], *3 * [NO_VOTE_COLOUR[0]], cividis[129]]
    np.testing.assert_array_equal(norm_colours(norms, -4.0, 0.0), expected)


def test_every_vote_is_in_the_column_of_its_snapshot_and_the_row_of_its_x():
    rng = np.random.default_rng(1)
    norms = 10 ** rng.uniform(-3, 0, (5, 4))
    norms[0, 0], norms[1, 1] = 0, 1
    image = pixels(history_png(np.array([0.0, 1, 2, 3]), np.arange(5), norms))
    positive = norms[norms > 0]
    expected = norm_colours(norms, np.log10(np.percentile(positive, 1)), 0.0).view(np.uint8).reshape(5, 4, 4)[..., :3]
    for column in range(5):
        for row in range(4):
            middle = SIZE[1] - 1 - BOTTOM - int(HEIGHT * row / 3 * 0.999), LEFT + int(WIDTH * (column + 0.5) / 5)
            np.testing.assert_array_equal(image[middle], expected[column, row])
    bar = image[SIZE[1] - BOTTOM - HEIGHT : SIZE[1] - BOTTOM - BAR_TIP, BAR_LEFT + 5].astype(int)
    np.testing.assert_array_equal(bar[0], PALETTE[-1:].view(np.uint8)[:3])
    np.testing.assert_array_equal(bar[-1], PALETTE[:1].view(np.uint8)[:3])


@pytest.mark.parametrize(
    ("norms", "labels"),
    [(np.geomspace(1e-4, 1, 9), ["10⁻³", "10⁻²", "10⁻¹", "10⁰"]), (np.linspace(0.2, 0.9, 9), ["0.2", "0.9"])],
    ids=["powers of ten", "less than one"],
)
def test_the_colour_bar_always_has_at_least_two_labels(norms, labels, monkeypatch):
    written = []
    add_offset_text = Axes.add_offset_text
    monkeypatch.setattr(
        Axes,
        "add_offset_text",
        lambda self, *each, **style: (written.append(each[2]), add_offset_text(self, *each, **style))[1],
    )
    history_png(np.arange(9.0), np.arange(2), np.stack([norms, norms]))
    assert [each for each in written if each in labels] == labels


def test_pictures_do_not_import_pyplot():
    code = (
        "import sys, numpy as np; from reluviz.plots import for_run, history_png;"
        "from reluviz.data.targets import sine; data = sine();"
        "fit, votes = for_run('constant', data, 0); fit.png({'theta': np.array(0.1)}, 0, {});"
        "history_png(data.x, np.arange(3), np.ones((3, 200)));"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_learned_function_follows_parameters_changed_in_place():
    p = random_network(5)
    before = curves.learned_function("relu", p, 0.0, 1.0)[1]
    p["output_bias"] += 1  # in place: the same arrays with other values
    np.testing.assert_allclose(curves.learned_function("relu", p, 0.0, 1.0)[1], before + 1)
    linear = {"theta": np.array(2.0)}
    np.testing.assert_array_equal(curves.learned_function("linear", linear, 0.0, 3.0)[1], [0, 6])
    np.testing.assert_array_equal(curves.learned_function("constant", linear, 0.0, 3.0)[1], [2, 2])


def test_a_network_that_overflows_does_not_change_the_pictures_of_the_next_run():
    data = dataset()
    reused_pictures("relu", data, 0, network([1e200], [0], [1e200]))
    assert reused_pictures("relu", data, 1, UNITS) == new_pictures("relu", data, 1, UNITS)


@pytest.mark.parametrize("first", [0.1, 3.0])
def test_a_new_picture_with_given_earlier_values_equals_one_that_drew_them(first):
    data = dataset(name="trail")
    drawn, new = (FitPicture("constant", data, seed=0) for _ in range(2))
    for update, theta in enumerate((first, 0.5, 0.2)):
        png = drawn.png({"theta": np.array(theta)}, update, LOSSES)
    assert visible(new.png({"theta": np.array(0.2)}, 2, LOSSES, (first, 0.5))) == visible(png)
    assert visible(new.png({"theta": np.array(0.2)}, 2, LOSSES, ())) != visible(png)
