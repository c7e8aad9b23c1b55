import io

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from PIL import Image

from reluviz.core.functions_torch import predict
from reluviz.data.dataset import Dataset
from reluviz.plots import FitPicture, VotesPicture, curves, history_png
from reluviz.plots.history import ROWS, rows
from reluviz.plots.style import SIZE, SOFT, printable
from reluviz.plots.votes import effective, nice

LOSSES = {"loss/train": 0.25, "loss/test": 0.125}


def sine(x):
    return np.sin(9 * x)


def dataset(low=0.0, high=1.0, samples=50, target=sine, name="sine"):
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(low, high, samples))
    return Dataset(name, x, np.sin(9 * (x - low)) + rng.normal(scale=0.1, size=samples), (low, high), target=target)


def network(w, b, v=None, c=0.1):
    w, b = np.array(w, float), np.array(b, float)
    v = np.ones_like(w) if v is None else np.array(v, float)
    return {"input_slope": w, "bias": b, "output_weight": v, "output_bias": np.array(c)}


def random_network(width, low=0.0, high=1.0, scale=1.0):
    rng = np.random.default_rng(1)
    w = scale * rng.normal(size=width)
    return network(w, -rng.uniform(low, high, width) * w, rng.normal(size=width))


def exact(model, parameters, x):
    p = {name: torch.from_numpy(np.array(value)).unsqueeze(0) for name, value in parameters.items()}
    return predict(model, p, torch.from_numpy(np.asarray(x, float)))[0].numpy()


def pixels(png):
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        assert image.size == SIZE
        return np.array(image.convert("RGB"))


def shown(png):
    """What a picture shows, as bytes; those of its file may differ, since compression looks at unused memory."""
    return pixels(png).tobytes()


def words(picture):
    return " ".join(text.get_text() for text in picture.canvas.figure.findobj(matplotlib.text.Text))


def votes(data, parameters, model="relu"):
    """Arguments of VotesPicture.png after the parameters, with shares of both signs."""
    rng = np.random.default_rng(2)
    residuals = exact(model, parameters, data.x) - data.y
    return 7, rng.normal(scale=0.1, size=len(data.x)), rng.uniform(size=len(data.x)), residuals, data.x


# units facing right, left, always on, always off, level and on, level and off
UNITS = network([1, -2, 1, -1, 0, 0], [-0.3, 1.2, 5, -1, 0.5, -0.5], [1, -3, 0.5, 2, 1, 1])


def test_the_learned_function_is_drawn_exactly():
    picture = FitPicture("relu", dataset(), seed=0)
    p = random_network(20)
    picture.png(p, 0, LOSSES)
    x, f = picture.scene.learned.line.get_data()
    grid = np.linspace(0, 1, 777)
    np.testing.assert_allclose(np.interp(grid, x, f), exact("relu", p, grid), atol=1e-12)


def test_each_hidden_relu_is_drawn_at_its_height_where_it_is_on():
    ends = curves.hidden(UNITS, 0.0, 1.0)
    for k, (w, b) in enumerate(zip(UNITS["input_slope"], UNITS["bias"], strict=True)):
        grid = np.linspace(*ends[k, :, 0], 101)
        np.testing.assert_allclose(
            np.interp(grid, ends[k, :, 0], ends[k, :, 1]), np.maximum(w * grid + b, 0), atol=1e-15
        )
    # from the elbow to the right, to the left, everywhere, at one point with height 0, everywhere, everywhere
    np.testing.assert_allclose(ends[:, :, 0], [[0.3, 1], [0, 0.6], [0, 1], [0, 0], [0, 1], [0, 1]])
    np.testing.assert_allclose(ends[:, 1, 1], [0.7, 0, 6, 0, 0.5, 0], atol=1e-15)


def test_the_hidden_relus_on_the_canvas_are_those_of_the_parameters():
    picture = FitPicture("relu", dataset(), seed=0)
    picture.png(UNITS, 0, LOSSES)
    np.testing.assert_array_equal(np.array(picture.scene.units.get_segments()), curves.hidden(UNITS, 0.0, 1.0))


def test_markers_tell_bent_linear_and_dead_apart_and_point_to_where_a_unit_is_on():
    data = dataset()
    last = (data.x[-1] + 1) / 2  # an elbow inside the domain and beyond every training point
    p = network([1, -2, 1, -1, 4], [-0.3, 1.2, -last, last, 9], [1, -3, 1, 1, 1])
    picture = FitPicture("relu", data, seed=0)
    picture.png(p, 0, LOSSES)
    right, left = picture.scene.triangles[1], picture.scene.triangles[-1]
    np.testing.assert_allclose(right.get_offsets()[:, 0], [0.3, last])
    np.testing.assert_allclose(left.get_offsets()[:, 0], [0.6, last])
    white, grey = (1, 1, 1, 1), to_rgba(SOFT)
    bent, dead = right.get_facecolor(), right.get_edgecolor()
    assert tuple(bent[0]) != white
    assert tuple(right.get_facecolor()[1]) == white
    assert tuple(dead[1]) == grey
    assert tuple(left.get_facecolor()[1]) == white  # linear: hollow, but not grey
    assert tuple(left.get_edgecolor()[1]) != grey
    stems = np.array(picture.scene.stems.get_segments())
    np.testing.assert_allclose(stems[:, 0, 0], [0.3, 0.6, last])  # none for the dead unit
    counts = {name: text.get_text() for name, text in picture.scene.tally.numbers.items()}
    assert counts == {"bent": "2", "linear": "2", "dead": "1", "left": "1", "right": "0"}


def test_the_height_of_a_marker_has_the_sign_and_order_of_the_slope_jumps():
    scene = FitPicture("relu", dataset(), seed=0).scene
    height = scene.height(np.array([-1e300, -2.0, -0.1, 0.0, 0.1, 2.0, 1e300]))
    assert height[0] == -1
    assert height[-1] == 1
    assert height[3] == 0
    assert (np.diff(height) > 0).all()


def test_units_without_elbow_are_counted():
    picture = FitPicture("relu", dataset(), seed=0)
    picture.png(UNITS, 0, LOSSES)
    assert "2 without elbow" in words(picture)


@pytest.mark.parametrize("model", ["constant", "linear", "relu"])
def test_limits_are_the_same_in_all_pictures_of_a_run(model):
    data = dataset()
    picture = FitPicture(model, data, seed=0)
    later = FitPicture(model, data, seed=0)
    small = random_network(5) if model == "relu" else {"theta": np.array(0.1)}
    large = random_network(5, scale=1e6) if model == "relu" else {"theta": np.array(1e6)}
    panels = [picture.scene.panel, picture.scene.strip if model == "relu" else picture.scene.bowl]
    picture.png(small, 0, LOSSES)
    before = [panel.view.extents.tolist() for panel in panels]
    picture.png(large, 1, LOSSES)
    assert [panel.view.extents.tolist() for panel in panels] == before
    later.png(small, 1, LOSSES)
    assert later.scene.panel.view.extents.tolist() == before[0]
    assert before[0][1] < data.y.min() < data.y.max() < before[0][3]


def test_a_second_snapshot_leaves_nothing_of_the_first():
    data, losses = dataset(), {"train": 1.0}
    used = FitPicture("relu", data, seed=0)
    used.png(random_network(6, scale=3), 5, losses)
    assert shown(used.png(UNITS, 6, losses)) != shown(used.png(UNITS, 7, losses))
    fresh = FitPicture("relu", data, seed=0)
    assert shown(used.png(UNITS, 6, losses)) == shown(fresh.png(UNITS, 6, losses))


def test_the_title_names_update_losses_and_run():
    picture = FitPicture("relu", dataset(), seed=17)
    picture.png(UNITS, 150_000, LOSSES)
    text = words(picture)
    for part in ("update 150,000", "train 0.25", "test 0.125", "6 ReLUs", "sine", "seed 17"):
        assert part in text


def test_the_constant_model_is_drawn_with_its_optimum_and_its_loss():
    data = dataset()
    picture = FitPicture("constant", data, seed=0)
    picture.png({"theta": np.array(0.3)}, 0, LOSSES)
    scene = picture.scene
    assert scene.optimum == pytest.approx(data.y.mean())
    np.testing.assert_array_equal(scene.learned.line.get_ydata(), [0.3, 0.3])
    assert scene.ball.get_xdata()[0] == 0.3
    assert scene.ball.get_ydata()[0] == pytest.approx(np.mean((0.3 - data.y) ** 2))


def test_the_linear_model_is_drawn_with_its_optimum_and_its_loss():
    data = dataset()
    picture = FitPicture("linear", data, seed=0)
    picture.png({"theta": np.array(-0.2)}, 0, LOSSES)
    scene = picture.scene
    best = (data.x * data.y).sum() / (data.x**2).sum()
    assert scene.optimum == pytest.approx(best)
    np.testing.assert_allclose(scene.learned.line.get_ydata(), [0, -0.2])
    theta, loss = scene.parabola.get_data()
    expected = [np.mean((each * data.x - data.y) ** 2) for each in theta]
    np.testing.assert_allclose(loss, expected)
    assert theta.min() < 0 < theta.max()
    assert "θ = −0.2" in words(picture)


def test_a_far_start_widens_the_parabola_once_and_a_diverged_theta_is_an_arrow_at_the_edge():
    picture = FitPicture("constant", dataset(), seed=0)
    picture.png({"theta": np.array(3.0)}, 0, LOSSES)
    low, high = picture.scene.bowl.view.intervalx
    assert low < 3 < high
    assert picture.scene.ball.get_marker() == "o"
    picture.png({"theta": np.array(-1e200)}, 1, LOSSES)
    assert picture.scene.bowl.view.intervalx.tolist() == [low, high]
    assert picture.scene.ball.get_marker() == "<"
    assert low < picture.scene.ball.get_xdata()[0] < high
    assert picture.scene.learned.hint.get_text() == "▼ f(x) is below"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("model", ["constant", "linear", "relu"])
def test_parameters_that_are_not_finite_are_said_and_the_next_picture_is_whole_again(model, bad):
    data = dataset()
    good = random_network(4) if model == "relu" else {"theta": np.array(0.1)}
    name = "bias" if model == "relu" else "theta"
    broken = {**good, name: good[name] * bad}
    fit, vote = FitPicture(model, data, seed=0), VotesPicture(model, data, seed=0)
    first = shown(fit.png(good, 0, {})), shown(vote.png(good, *votes(data, good, model)))
    pixels(fit.png(broken, 1, {"train": np.nan}))
    pixels(vote.png(broken, *votes(data, broken, model)))
    assert "parameters are not finite" in words(fit)
    assert "parameters are not finite" in words(vote)
    assert not fit.scene.learned.line.get_visible()
    assert shown(vote.png(good, *votes(data, good, model))) == first[1]
    pixels(fit.png(good, 0, {}))
    assert fit.scene.learned.line.get_visible()
    assert "not finite" not in words(fit)


def test_a_function_that_overflows_is_said():
    picture = FitPicture("relu", dataset(), seed=0)
    pixels(picture.png(network([1e200], [0], [1e200]), 0, LOSSES))
    assert "function is not finite" in words(picture)


CASES = {
    "one unit": (dataset(), random_network(1)),
    "a thousand units": (dataset(), random_network(1000)),
    "five thousand units": (dataset(), random_network(5000)),
    "two points": (dataset(samples=2), random_network(3)),
    "two equal outputs": (Dataset("two", np.array([0.0, 1.0]), np.ones(2), (0.0, 1.0)), random_network(3)),
    "one x": (Dataset("one", np.zeros(3), np.arange(3.0), (0.0, 0.0)), random_network(3)),
    "a million points": (dataset(samples=10**6), random_network(5)),
    "far from 0": (dataset(1e6, 1e6 + 1, target=None), random_network(5, 1e6, 1e6 + 1)),
    "tiny x": (dataset(0, 1e-9, target=None), random_network(5, 0, 1e-9)),
    "huge weights": (dataset(), random_network(5, scale=1e200)),
    "denormal slope": (dataset(), network([1e-310, 1], [1, 0])),
    "a strange name": (dataset(name="$x_{ \n 数据 " + 50 * "a"), random_network(2)),
}


@pytest.mark.parametrize("case", CASES)
def test_extreme_cases_give_a_picture(case):
    data, p = CASES[case]
    pixels(FitPicture("relu", data, seed=0).png(p, 0, LOSSES))
    pixels(VotesPicture("relu", data, seed=0).png(p, *votes(data, p)))


def test_few_of_a_million_points_are_drawn_the_first_and_the_last_among_them():
    data, _ = CASES["a million points"]
    picture = FitPicture("relu", data, seed=0)
    points = next(each for each in picture.canvas.figure.artists if each.get_label() == "training points")
    x = points.get_xdata()
    assert len(x) <= 2000
    assert x[0] == data.x[0]
    assert x[-1] == data.x[-1]


def test_every_point_has_a_stem_of_its_share():
    data, p = dataset(), random_network(8)
    picture = VotesPicture("relu", data, seed=0)
    update, shares, norms, residuals, x = votes(data, p)
    pixels(picture.png(p, update, shares, norms, residuals, x))
    scale = nice(np.abs(shares).max())
    for sign, line in picture.stems.items():
        some = np.sign(shares) == sign
        np.testing.assert_array_equal(line.get_xdata()[1::3], x[some])
        np.testing.assert_allclose(line.get_ydata()[1::3] * scale, shares[some])
        np.testing.assert_array_equal(line.get_ydata()[0::3], 0)
    np.testing.assert_allclose(np.array(picture.equal.get_ydata()) * scale, 1 / 50)
    white = (picture.points.get_facecolor() == 1).all(axis=1)  # the discs that make rings of others
    offsets = picture.points.get_offsets()
    np.testing.assert_allclose(offsets[~white, 1], data.y, atol=1e-9)
    np.testing.assert_allclose(offsets[white, 1], data.y[shares < 0], atol=1e-9)
    assert f"effective votes {effective(norms):.1f} of 50" in words(picture)
    assert [label.get_text() for label in picture.labels] == ["50 %", "−50 %"]


def test_without_gradient_nobody_votes():
    data, p = dataset(), random_network(8)
    picture = VotesPicture("relu", data, seed=0)
    picture.png(p, *votes(data, p))
    _, _, _, residuals, x = votes(data, p)
    pixels(picture.png(p, 8, np.full(50, np.nan), np.zeros(50), residuals, x))
    assert "no gradient: nobody votes" in words(picture)
    assert all(len(line.get_xdata()) == 0 for line in picture.stems.values())
    picture.png(p, *votes(data, p))
    assert "nobody votes" not in words(picture)


def test_some_votes_that_are_not_finite_leave_the_others_standing():
    data, p = dataset(), random_network(8)
    update, shares, norms, residuals, x = votes(data, p)
    shares[:10], norms[5], residuals[3], shares[11] = np.nan, np.inf, np.nan, -np.inf
    picture = VotesPicture("relu", data, seed=0)
    pixels(picture.png(p, update, shares, norms, residuals, x))
    drawn = sum(len(line.get_xdata()) // 3 for line in picture.stems.values())
    assert drawn == np.isfinite(shares).sum()


def test_the_share_of_a_recorded_sample_is_one_of_all_samples():
    data, p = dataset(samples=100), random_network(3)
    update, shares, norms, residuals, x = (v if np.isscalar(v) else v[::2] for v in votes(data, p))
    picture = VotesPicture("relu", data, seed=0)
    picture.png(p, update, shares, norms, residuals, x)
    np.testing.assert_allclose(np.array(picture.equal.get_ydata()) * nice(np.abs(shares).max()), 1 / 100)
    assert "of 50 (N = 100)" in words(picture)


def test_effective_votes_are_between_one_and_the_number_of_voters():
    assert effective(np.full(7, 1e-200)) == pytest.approx(7)
    assert effective(np.array([3.0, 0, 0])) == 1
    assert np.isnan(effective(np.zeros(3)))
    assert np.isnan(effective(np.array([1.0, np.nan])))


@pytest.mark.parametrize(("value", "scale"), [(0.031, 0.05), (1.0, 1.0), (2.0, 2.0), (7.0, 10.0), (1e-320, 1e-320)])
def test_scales_are_one_two_or_five_times_a_power_of_ten(value, scale):
    assert nice(value) == pytest.approx(scale)


def test_a_row_of_the_history_is_the_sample_whose_x_is_nearest():
    norms = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    image = rows(np.array([1.0, 0.0, 0.25]), norms, 0.0, 1.0)
    assert image.shape == (ROWS, 2)
    np.testing.assert_array_equal(image[0], [2, 5])
    np.testing.assert_array_equal(image[int(0.2 * ROWS)], [3, 6])
    np.testing.assert_array_equal(image[-1], [1, 4])


@pytest.mark.parametrize(
    "norms",
    [
        np.geomspace(1e-12, 1, 60).reshape(3, 20),
        np.zeros((3, 20)),
        np.full((3, 20), np.nan),
        np.full((3, 20), 0.5),
        np.where(np.arange(60) % 7 == 0, np.inf, 1e-300).reshape(3, 20),
        np.ones((1, 20)),
        np.ones((5, 1)),
        np.array([[1e-310, 1e307]]),
    ],
    ids=[
        "many decades",
        "zeros",
        "nan",
        "all alike",
        "inf and tiny",
        "one snapshot",
        "one sample",
        "extremes",
    ],
)
def test_the_history_of_votes_is_a_picture_whatever_the_norms(norms):
    pixels(history_png(np.linspace(0, 1, norms.shape[1]), np.arange(len(norms)) ** 3, norms))


def test_the_history_is_darker_where_votes_are_quieter():
    norms = np.tile(np.geomspace(1e-3, 1, 10), (4, 1))
    image = pixels(history_png(np.linspace(0, 1, 10), np.arange(4), norms)).mean(axis=-1)
    column = image[80:530, 400]  # from the largest x down to the smallest
    assert (np.diff(column) <= 0).all()
    assert len(np.unique(column)) == 10


def test_the_history_refuses_norms_of_another_shape():
    with pytest.raises(ValueError, match=r"\[snapshots, samples\]"):
        history_png(np.arange(3.0), np.arange(2), np.ones((3, 2)))


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_picture_is_saved_whole_and_always_with_the_same_bytes(kind, tmp_path):
    files = []
    for folder in ("a", "b"):
        path = tmp_path / f"{folder}.{kind}"
        picture = FitPicture("relu", dataset(), seed=0)
        before = shown(picture.png(UNITS, 3, LOSSES))
        picture.save(path)
        files.append(path.read_bytes())
        assert shown(picture.png(UNITS, 3, LOSSES)) == before
    assert files[0] == files[1]
    if kind == "svg":
        # what moves is in the file as well
        assert files[0].count(b"LineCollection") >= 2
        assert b"update 3" in files[0]
        assert b"loss  train 0.25" in files[0]


def test_drawing_leaves_the_settings_of_matplotlib_alone():
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.family": "serif", "axes.facecolor": "black"}):
        p = random_network(3)
        picture = FitPicture("relu", dataset(), seed=0)
        picture.png(p, 0, LOSSES)
        assert matplotlib.rcParams["font.family"] == ["serif"]
    assert dict(matplotlib.rcParams) == before


def test_names_are_drawn_on_one_line_with_glyphs_that_exist():
    assert printable("a\n b 数") == "a b ?"
    assert len(printable(100 * "x")) == 24
