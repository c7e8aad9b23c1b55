import io

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from PIL import Image

from reluviz.core.functions import predict
from reluviz.data.dataset import Dataset
from reluviz.plots import FitPicture, VotesPicture, curves, history_png
from reluviz.plots.history import HEIGHT, image_rows
from reluviz.plots.style import GREY, SIZE, printable_name
from reluviz.plots.votes import effective_votes, round_up_scale

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


def predicted(model, parameters, x):
    p = {name: np.array(value)[None] for name, value in parameters.items()}
    return predict(model, p, np.asarray(x, float))[0]


def pixels(png):
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        assert image.size == SIZE
        return np.array(image.convert("RGB"))


def visible(png):
    """Return the pixels of a picture as bytes. (File bytes may differ: compression depends on unused memory.)"""
    return pixels(png).tobytes()


def picture_text(picture):
    return " ".join(text.get_text() for text in picture.canvas.figure.findobj(matplotlib.text.Text))


def vote_arguments(data, parameters, model="relu"):
    """Return the arguments of VotesPicture.png after the parameters, with shares of both signs."""
    rng = np.random.default_rng(2)
    residuals = predicted(model, parameters, data.x) - data.y
    return 7, rng.normal(scale=0.1, size=len(data.x)), rng.uniform(size=len(data.x)), residuals, data.x


# units facing right, left, always on, always off, level and on, level and off
UNITS = network([1, -2, 1, -1, 0, 0], [-0.3, 1.2, 5, -1, 0.5, -0.5], [1, -3, 0.5, 2, 1, 1])


def test_the_line_of_the_learned_function_is_exact():
    picture = FitPicture("relu", dataset(), seed=0)
    p = random_network(20)
    picture.png(p, 0, LOSSES)
    x, f = picture.artists.learned_function.line.get_data()
    grid = np.linspace(0, 1, 777)
    np.testing.assert_allclose(np.interp(grid, x, f), predicted("relu", p, grid), atol=1e-12)


def test_each_hidden_relu_is_drawn_where_it_is_active():
    ends = curves.hidden_unit_lines(UNITS, 0.0, 1.0)
    for k, (w, b) in enumerate(zip(UNITS["input_slope"], UNITS["bias"], strict=True)):
        grid = np.linspace(*ends[k, :, 0], 101)
        np.testing.assert_allclose(
            np.interp(grid, ends[k, :, 0], ends[k, :, 1]), np.maximum(w * grid + b, 0), atol=1e-15
        )
    # active: right of the elbow, left of it, everywhere, nowhere (one point with height 0), everywhere, everywhere
    np.testing.assert_allclose(ends[:, :, 0], [[0.3, 1], [0, 0.6], [0, 1], [0, 0], [0, 1], [0, 1]])
    np.testing.assert_allclose(ends[:, 1, 1], [0.7, 0, 6, 0, 0.5, 0], atol=1e-15)


def test_the_picture_has_the_hidden_relus_of_the_parameters():
    picture = FitPicture("relu", dataset(), seed=0)
    picture.png(UNITS, 0, LOSSES)
    np.testing.assert_array_equal(
        np.array(picture.artists.hidden_lines.get_segments()), curves.hidden_unit_lines(UNITS, 0.0, 1.0)
    )


def test_markers_show_unit_status_and_orientation():
    data = dataset()
    last = (data.x[-1] + 1) / 2  # an elbow inside the domain, to the right of every training point
    p = network([1, -2, 1, -1, 4], [-0.3, 1.2, -last, last, 9], [1, -3, 1, 1, 1])
    picture = FitPicture("relu", data, seed=0)
    picture.png(p, 0, LOSSES)
    right, left = picture.artists.triangles[1], picture.artists.triangles[-1]
    np.testing.assert_allclose(right.get_offsets()[:, 0], [0.3, last])
    np.testing.assert_allclose(left.get_offsets()[:, 0], [0.6, last])
    white, grey = (1, 1, 1, 1), to_rgba(GREY)
    bent, dead = right.get_facecolor(), right.get_edgecolor()
    assert tuple(bent[0]) != white
    assert tuple(right.get_facecolor()[1]) == white
    assert tuple(dead[1]) == grey
    assert tuple(left.get_facecolor()[1]) == white  # linear: hollow, but not grey
    assert tuple(left.get_edgecolor()[1]) != grey
    stems = np.array(picture.artists.stems.get_segments())
    np.testing.assert_allclose(stems[:, 0, 0], [0.3, 0.6, last])  # the dead unit has none
    counts = {name: text.get_text() for name, text in picture.artists.unit_counts.counts.items()}
    assert counts == {"bent": "2", "linear": "2", "dead": "1", "left": "1", "right": "0"}


def test_marker_heights_have_the_sign_and_order_of_the_slope_jumps():
    artists = FitPicture("relu", dataset(), seed=0).artists
    height = artists.jumps.height(np.array([-1e300, -2.0, -0.1, 0.0, 0.1, 2.0, 1e300]))
    assert height[0] == -1
    assert height[-1] == 1
    assert height[3] == 0
    assert (np.diff(height) > 0).all()


def test_units_without_elbow_are_counted():
    picture = FitPicture("relu", dataset(), seed=0)
    picture.png(UNITS, 0, LOSSES)
    assert "2 without elbow" in picture_text(picture)


@pytest.mark.parametrize("model", ["constant", "linear", "relu"])
def test_all_pictures_of_a_run_have_the_same_limits(model):
    data = dataset()
    picture = FitPicture(model, data, seed=0)
    later = FitPicture(model, data, seed=0)
    small = random_network(5) if model == "relu" else {"theta": np.array(0.1)}
    large = random_network(5, scale=1e6) if model == "relu" else {"theta": np.array(1e6)}
    axes = [picture.artists.axes, picture.artists.jump_axes if model == "relu" else picture.artists.loss_axes]
    picture.png(small, 0, LOSSES)
    before = [each.limits.extents.tolist() for each in axes]
    picture.png(large, 1, LOSSES)
    assert [each.limits.extents.tolist() for each in axes] == before
    later.png(small, 1, LOSSES)
    assert later.artists.axes.limits.extents.tolist() == before[0]
    assert before[0][1] < data.y.min() < data.y.max() < before[0][3]


def test_a_picture_does_not_depend_on_earlier_snapshots():
    data, losses = dataset(), {"train": 1.0}
    used = FitPicture("relu", data, seed=0)
    used.png(random_network(6, scale=3), 5, losses)
    assert visible(used.png(UNITS, 6, losses)) != visible(used.png(UNITS, 7, losses))
    fresh = FitPicture("relu", data, seed=0)
    assert visible(used.png(UNITS, 6, losses)) == visible(fresh.png(UNITS, 6, losses))


def test_the_title_names_update_losses_and_run():
    picture = FitPicture("relu", dataset(), seed=17)
    picture.png(UNITS, 150_000, LOSSES)
    text = picture_text(picture)
    for part in ("update 150,000", "train 0.25", "test 0.125", "6 ReLUs", "sine", "seed 17"):
        assert part in text


def test_the_picture_of_the_constant_model_has_its_optimum_and_loss():
    data = dataset()
    picture = FitPicture("constant", data, seed=0)
    picture.png({"theta": np.array(0.3)}, 0, LOSSES)
    artists = picture.artists
    assert artists.optimum == pytest.approx(data.y.mean())
    np.testing.assert_array_equal(artists.learned_function.line.get_ydata(), [0.3, 0.3])
    assert artists.theta_marker.get_xdata()[0] == 0.3
    assert artists.theta_marker.get_ydata()[0] == pytest.approx(np.mean((0.3 - data.y) ** 2))


def test_the_picture_of_the_linear_model_has_its_optimum_and_loss():
    data = dataset()
    picture = FitPicture("linear", data, seed=0)
    picture.png({"theta": np.array(-0.2)}, 0, LOSSES)
    artists = picture.artists
    best = (data.x * data.y).sum() / (data.x**2).sum()
    assert artists.optimum == pytest.approx(best)
    np.testing.assert_allclose(artists.learned_function.line.get_ydata(), [0, -0.2])
    theta, loss = artists.parabola.get_data()
    expected = [np.mean((each * data.x - data.y) ** 2) for each in theta]
    np.testing.assert_allclose(loss, expected)
    assert theta.min() < 0 < theta.max()
    assert "θ = −0.2" in picture_text(picture)


def test_a_far_start_widens_the_parabola_and_a_diverged_theta_is_an_arrow_at_the_edge():
    picture = FitPicture("constant", dataset(), seed=0)
    picture.png({"theta": np.array(3.0)}, 0, LOSSES)
    low, high = picture.artists.loss_axes.limits.intervalx
    assert low < 3 < high
    assert picture.artists.theta_marker.get_marker() == "o"
    picture.png({"theta": np.array(-1e200)}, 1, LOSSES)
    assert picture.artists.loss_axes.limits.intervalx.tolist() == [low, high]
    assert picture.artists.theta_marker.get_marker() == "<"
    assert low < picture.artists.theta_marker.get_xdata()[0] < high
    assert picture.artists.learned_function.hint.get_text() == "▼ f(x) is below"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("model", ["constant", "linear", "relu"])
def test_parameters_that_are_not_finite_give_a_notice_in_that_picture_only(model, bad):
    data = dataset()
    good = random_network(4) if model == "relu" else {"theta": np.array(0.1)}
    name = "bias" if model == "relu" else "theta"
    broken = {**good, name: good[name] * bad}
    fit, vote = FitPicture(model, data, seed=0), VotesPicture(model, data, seed=0)
    first = visible(fit.png(good, 0, {})), visible(vote.png(good, *vote_arguments(data, good, model)))
    pixels(fit.png(broken, 1, {"train": np.nan}))
    pixels(vote.png(broken, *vote_arguments(data, broken, model)))
    assert "parameters are not finite" in picture_text(fit)
    assert "parameters are not finite" in picture_text(vote)
    assert not fit.artists.learned_function.line.get_visible()
    assert visible(vote.png(good, *vote_arguments(data, good, model))) == first[1]
    pixels(fit.png(good, 0, {}))
    assert fit.artists.learned_function.line.get_visible()
    assert "not finite" not in picture_text(fit)


def test_a_function_that_overflows_gives_a_notice():
    picture = FitPicture("relu", dataset(), seed=0)
    pixels(picture.png(network([1e200], [0], [1e200]), 0, LOSSES))
    assert "function is not finite" in picture_text(picture)


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
    pixels(VotesPicture("relu", data, seed=0).png(p, *vote_arguments(data, p)))


def test_of_a_million_points_a_few_are_drawn_including_the_first_and_the_last():
    data, _ = CASES["a million points"]
    picture = FitPicture("relu", data, seed=0)
    points = next(each for each in picture.canvas.figure.artists if each.get_label() == "training points")
    x = points.get_xdata()
    assert len(x) <= 2000
    assert x[0] == data.x[0]
    assert x[-1] == data.x[-1]


def test_every_point_has_a_stem_with_the_height_of_its_share():
    data, p = dataset(), random_network(8)
    picture = VotesPicture("relu", data, seed=0)
    update, shares, norms, residuals, x = vote_arguments(data, p)
    pixels(picture.png(p, update, shares, norms, residuals, x))
    scale = round_up_scale(np.abs(shares).max())
    for sign, line in picture.stems.items():
        some = np.sign(shares) == sign
        np.testing.assert_array_equal(line.get_xdata()[1::3], x[some])
        np.testing.assert_allclose(line.get_ydata()[1::3] * scale, shares[some])
        np.testing.assert_array_equal(line.get_ydata()[0::3], 0)
    np.testing.assert_allclose(np.array(picture.equal_share_line.get_ydata()) * scale, 1 / 50)
    white = (picture.points.get_facecolor() == 1).all(axis=1)  # white discs, which turn larger discs into rings
    offsets = picture.points.get_offsets()
    np.testing.assert_allclose(offsets[~white, 1], data.y, atol=1e-9)
    np.testing.assert_allclose(offsets[white, 1], data.y[shares < 0], atol=1e-9)
    assert f"effective votes {effective_votes(norms):.1f} of 50" in picture_text(picture)
    assert [label.get_text() for label in picture.scale_labels] == ["50 %", "−50 %"]


def test_without_a_gradient_there_are_no_votes():
    data, p = dataset(), random_network(8)
    picture = VotesPicture("relu", data, seed=0)
    picture.png(p, *vote_arguments(data, p))
    _, _, _, residuals, x = vote_arguments(data, p)
    pixels(picture.png(p, 8, np.full(50, np.nan), np.zeros(50), residuals, x))
    assert "no gradient, no votes" in picture_text(picture)
    assert all(len(line.get_xdata()) == 0 for line in picture.stems.values())
    picture.png(p, *vote_arguments(data, p))
    assert "no votes" not in picture_text(picture)


def test_votes_that_are_not_finite_are_left_out():
    data, p = dataset(), random_network(8)
    update, shares, norms, residuals, x = vote_arguments(data, p)
    shares[:10], norms[5], residuals[3], shares[11] = np.nan, np.inf, np.nan, -np.inf
    picture = VotesPicture("relu", data, seed=0)
    pixels(picture.png(p, update, shares, norms, residuals, x))
    stems = sum(len(line.get_xdata()) // 3 for line in picture.stems.values())
    assert stems == np.isfinite(shares).sum()


def test_the_equal_share_is_one_over_the_number_of_all_samples():
    data, p = dataset(samples=100), random_network(3)
    update, shares, norms, residuals, x = (v if np.isscalar(v) else v[::2] for v in vote_arguments(data, p))
    picture = VotesPicture("relu", data, seed=0)
    picture.png(p, update, shares, norms, residuals, x)
    np.testing.assert_allclose(
        np.array(picture.equal_share_line.get_ydata()) * round_up_scale(np.abs(shares).max()), 1 / 100
    )
    assert "of 50 (N = 100)" in picture_text(picture)


def test_effective_votes_are_between_one_and_the_number_of_samples():
    assert effective_votes(np.full(7, 1e-200)) == pytest.approx(7)
    assert effective_votes(np.array([3.0, 0, 0])) == 1
    assert np.isnan(effective_votes(np.zeros(3)))
    assert np.isnan(effective_votes(np.array([1.0, np.nan])))


@pytest.mark.parametrize(("value", "scale"), [(0.031, 0.05), (1.0, 1.0), (2.0, 2.0), (7.0, 10.0), (1e-320, 1e-320)])
def test_scales_are_one_two_or_five_times_a_power_of_ten(value, scale):
    assert round_up_scale(value) == pytest.approx(scale)


def test_a_row_of_the_history_picture_shows_the_sample_whose_x_is_nearest():
    norms = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    image = image_rows(np.array([1.0, 0.0, 0.25]), norms, 0.0, 1.0)
    assert image.shape == (HEIGHT, 2)
    np.testing.assert_array_equal(image[0], [2, 5])
    np.testing.assert_array_equal(image[int(0.2 * HEIGHT)], [3, 6])
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
        "all equal",
        "inf and tiny",
        "one snapshot",
        "one sample",
        "extremes",
    ],
)
def test_extreme_norms_give_a_history_picture(norms):
    pixels(history_png(np.linspace(0, 1, norms.shape[1]), np.arange(len(norms)) ** 3, norms))


def test_smaller_norms_are_darker_in_the_history_picture():
    norms = np.tile(np.geomspace(1e-3, 1, 10), (4, 1))
    image = pixels(history_png(np.linspace(0, 1, 10), np.arange(4), norms)).mean(axis=-1)
    column = image[80:530, 400]  # from the largest x down to the smallest
    assert (np.diff(column) <= 0).all()
    assert len(np.unique(column)) == 10


def test_norms_of_the_wrong_shape_are_an_error():
    with pytest.raises(ValueError, match=r"\[snapshots, samples\]"):
        history_png(np.arange(3.0), np.arange(2), np.ones((3, 2)))


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_saved_picture_is_complete_and_reproducible(kind, tmp_path):
    files = []
    for folder in ("a", "b"):
        path = tmp_path / f"{folder}.{kind}"
        picture = FitPicture("relu", dataset(), seed=0)
        before = visible(picture.png(UNITS, 3, LOSSES))
        picture.save(path)
        files.append(path.read_bytes())
        assert visible(picture.png(UNITS, 3, LOSSES)) == before
    assert files[0] == files[1]
    if kind == "svg":
        # animated artists are in the file, too
        assert files[0].count(b"LineCollection") >= 2
        assert b"update 3" in files[0]
        assert b"loss  train 0.25" in files[0]


def test_drawing_does_not_change_the_settings_of_matplotlib():
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.family": "serif", "axes.facecolor": "black"}):
        p = random_network(3)
        picture = FitPicture("relu", dataset(), seed=0)
        picture.png(p, 0, LOSSES)
        assert matplotlib.rcParams["font.family"] == ["serif"]
    assert dict(matplotlib.rcParams) == before


def test_names_are_printed_on_one_line_with_characters_of_the_font():
    assert printable_name("a\n b 数") == "a b ?"
    assert len(printable_name(100 * "x")) == 24
