"""The pictures of a report show the numbers of its replicas."""

import hashlib
import json
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from report_groups import diverge, group, of_runs, optimizers, study

from reluviz.analysis import load_run
from reluviz.analysis.report import pictures
from reluviz.analysis.report.groups import Group, Groups
from reluviz.analysis.report.pictures import bands, layout, scale, styles, ticks
from reluviz.analysis.report.pictures.elbows import median_replica
from reluviz.analysis.report.pictures.final import final
from reluviz.analysis.report.pictures.learning import learning
from reluviz.analysis.report.pictures.units import units
from reluviz.errors import UserError

# as matplotlib draws an area: along the lower edge, back along the upper one
Points = np.ndarray[Any, np.dtype[np.float64]]


def drawn(one: Groups) -> dict[str, pictures.Picture]:
    return {picture.name: picture for picture in pictures.drawn(one)}


def frames(picture: pictures.Picture) -> list[Any]:
    return [axes for axes in picture.figure.axes if axes.get_xlabel() != "" or axes.lines or axes.collections]


def edges(area: PolyCollection) -> tuple[Points, Points]:
    """The lower and the upper edge of a drawn band, as points (update, loss)."""
    (path,) = area.get_paths()
    count = (len(path.vertices) - 3) // 2
    corners = np.asarray(path.vertices)
    return corners[1 : count + 1], corners[count + 2 : 2 * count + 2][::-1]


def title_of(figure: Any, axes: Any) -> str:
    """The words that stand above a frame."""
    box = axes.get_position()
    near = [text for text in figure.texts if abs(text.get_position()[0] - box.x0) < 1e-6]
    above = [text for text in near if text.get_position()[1] > box.y1 - 1e-6]
    return str(min(above, key=lambda text: text.get_position()[1]).get_text())


def test_the_drawn_bands_of_the_courses_figure_are_the_quartiles_that_numpy_finds() -> None:
    one = optimizers()
    shown = drawn(one)
    by_optimizer, by_width = shown["optimizers"], shown["loss-test"]
    seen = 0
    for picture, panel, line in ((by_optimizer, "optimizer", "model.width"), (by_width, "model.width", "optimizer")):
        values = styles.values(one, panel)
        assert len(frames(picture)) == 3
        for value, axes in zip(values, frames(picture), strict=True):
            assert title_of(picture.figure, axes) == f"{panel.split('.')[-1]} = {value}"
            groups = [each for each in one.groups if each.settings[panel] == value]
            assert [each.settings[line] for each in groups] == list(styles.values(one, line))
            for each, area, median in zip(groups, axes.collections, axes.lines, strict=True):
                low, high = edges(area)
                q25, q75 = np.percentile(each.curves["loss/test"], [25, 75], axis=0)
                assert low[:, 0].tolist() == high[:, 0].tolist() == each.updates.tolist()
                assert low[:, 1].tolist() == q25.tolist()
                assert high[:, 1].tolist() == q75.tolist()
                assert median.get_ydata().tolist() == np.median(each.curves["loss/test"], axis=0).tolist()
                seen += 1
    assert seen == 18
    # what the course drew: the percentiles 0.25 and 0.75 instead of the quartiles
    wrong = np.percentile(one.groups[0].curves["loss/test"], [0.25, 0.75], axis=0)
    assert (edges(frames(by_width)[0].collections[0])[1][:, 1] > 1.02 * wrong[1]).all()


def test_a_value_has_one_colour_in_all_pictures() -> None:
    one = optimizers()
    shown = drawn(one)
    chosen = styles.Styles(one)
    for key, pictured in (("optimizer", ["loss-test", "loss-train", "units"]), ("model.width", ["optimizers"])):
        colours = [chosen.of(key, value).colour for value in styles.values(one, key)]
        assert len(set(colours)) == 3
        for name in pictured:
            for axes in frames(shown[name]):
                assert [line.get_color() for line in axes.lines] == colours
    for name, key in (("final-model-width", "optimizer"), ("final-optimizer", "model.width")):
        colours = [chosen.of(key, value).colour for value in styles.values(one, key)]
        used = {line.get_color() for axes in frames(shown[name]) for line in axes.lines}
        assert used == set(colours)


def test_the_colours_differ_for_the_colour_blind_too() -> None:
    # Machado, Oliveira and Fernandes (2009), severity 1: protan, deutan, tritan; on linear RGB
    blind = np.array(
        [
            [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
            [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
            [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
        ]
    )
    ramp = styles.Styles(study(*(group({"lr": i}, n=1, seed=i) for i in range(styles.MOST))))
    for names in (styles.NAMES, [ramp.of("lr", i).colour for i in range(styles.MOST)]):
        rgb = np.array([[int(name[i : i + 2], 16) / 255 for i in (1, 3, 5)] for name in names])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        for seen in np.einsum("kij,nj->kni", blind, linear).clip(0, 1):
            to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
            xyz = seen @ to_xyz.T / [0.9505, 1, 1.089]
            f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
            lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
            apart = np.linalg.norm(lab[:, None] - lab[None], axis=2) + 1e3 * np.eye(len(lab))
            assert apart.min() > 10  # about four times what can just be seen


def test_a_band_opens_upwards_where_a_quarter_of_the_replicas_has_diverged() -> None:
    one = diverge(group({}, n=8, snapshots=10), rows=[0, 1, 2], at=5)
    (axes,) = frames(drawn(study(one))["loss-test"])
    low, high = edges(axes.collections[0])
    kept = one.curves["loss/test"][3:]
    assert (high[5:, 1] > axes.get_ylim()[1]).all()
    assert (high[:5, 1] < axes.get_ylim()[1]).all()
    # of eight the lower quartile lies three quarters of the way from the second to the third
    ranked = np.sort(kept, axis=0)
    assert low[5:, 1] == pytest.approx(0.25 * ranked[1, 5:] + 0.75 * ranked[2, 5:])
    median = axes.lines[0].get_ydata()
    assert median[5:] == pytest.approx((ranked[3, 5:] + ranked[4, 5:]) / 2)


def test_quartiles_are_numpys_and_infinity_stays_infinity() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(31, 40))
    values[random.uniform(size=values.shape) < 0.2] = np.nan
    found = bands.quartiles(values)
    for column in range(40):
        known = values[~np.isnan(values[:, column]), column]
        assert found[:, column].tolist() == np.percentile(known, [25, 50, 75]).tolist()
    some = np.array([1, 2, 3, np.inf, np.inf])[:, None]
    assert bands.quartiles(some)[:, 0].tolist() == [2, 3, math.inf]
    assert bands.quartiles(np.array([1.0, np.inf])[:, None])[:, 0].tolist() == [math.inf] * 3
    assert bands.quartiles(np.full((4, 1), np.inf))[:, 0].tolist() == [math.inf] * 3
    assert np.isnan(bands.quartiles(np.full((4, 1), np.nan))).all()


def test_a_loss_of_zero_leaves_the_picture_downwards_and_no_loss_above_zero_makes_it_linear() -> None:
    one = group({}, n=5)
    one.curves["loss/test"][:, 6:] = 0
    one.curves["loss/train"][:] = 0
    shown = drawn(study(one))
    (test,), (train,) = frames(shown["loss-test"]), frames(shown["loss-train"])
    assert test.get_yscale() == "log"
    down = test.lines[-1]
    assert (down.get_marker(), down.get_xdata()[0]) == (7, one.updates[6])
    assert train.get_yscale() == "linear"
    assert train.get_ylim()[0] < 0 < train.get_ylim()[1]


def test_a_loss_that_explodes_does_not_press_the_others_together() -> None:
    wild = group({"lr": 5.0}, n=3, seed=1)
    wild.curves["loss/test"][:, 5:] *= 1e250
    calm = group({"lr": 0.1}, n=3)
    (axes,) = frames(drawn(study(calm, wild))["loss-test"])
    assert axes.get_ylim()[1] < 1e4


def test_marks_bars_and_dots_at_the_end_are_median_quartiles_and_replicas() -> None:
    one = study(*(group({"model.width": width}, n=20, seed=width) for width in (10, 20, 40)))
    picture = final(one, styles.Styles(one), "model.width", "loss/test", "x")
    assert picture is not None
    (axes,) = frames(picture)
    places = np.log10([10, 20, 40])
    ends = [each.final["loss/test"] for each in one.groups]
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    assert marks[0].get_xdata() == pytest.approx(places)
    assert marks[0].get_ydata().tolist() == [np.median(end) for end in ends]
    (bars,) = [each for each in axes.collections if isinstance(each, LineCollection)]
    for end, bar in zip(ends, bars.get_segments(), strict=True):
        assert bar[:, 1].tolist() == np.percentile(end, [25, 75]).tolist()
    dots = [each for each in axes.collections if isinstance(each, PathCollection)]
    for place, end, cloud in zip(places, ends, dots, strict=True):
        points = np.asarray(cloud.get_offsets())
        assert points[:, 1].tolist() == np.sort(end).tolist()
        assert (np.abs(points[:, 0] - place) < 0.5 * np.log10(2)).all()


def test_more_than_a_hundred_replicas_are_not_drawn_one_by_one() -> None:
    one = study(group({"a": "x"}, n=101), group({"a": "y"}, n=100, seed=1))
    picture = drawn(one)["final-a"]
    (axes,) = frames(picture)
    (cloud,) = [each for each in axes.collections if isinstance(each, PathCollection)]
    assert len(np.asarray(cloud.get_offsets())) == 100


def test_diverged_replicas_are_counted_above_their_place() -> None:
    one = study(diverge(group({"lr": 0.1}, n=8), [0, 1], 5), diverge(group({"lr": 1.0}, n=8, seed=1), range(8), 5))
    picture = drawn(one)["final-lr"]
    (axes,) = frames(picture)
    said = {round(text.get_position()[0], 9): text.get_text() for text in axes.texts}
    assert said == {-1.0: "▲2", 0.0: "▲8"}
    assert any("10 of 16 diverged" in text.get_text() for text in picture.figure.texts)


def test_where_every_replica_diverged_the_picture_says_so() -> None:
    one = study(diverge(group({}, n=4), range(4), 3))
    (axes,) = frames(drawn(one)["final"])
    assert [text.get_text() for text in axes.texts if "▲" not in text.get_text()] == ["every replica diverged"]


def test_numbers_stand_at_their_size_and_names_side_by_side() -> None:
    assert scale.Scale((10, 20, 40)).log
    assert not scale.Scale((10, 20, 30)).log
    assert scale.Scale((0.001, 0.1)).log
    assert not scale.Scale((0, 10, 100)).log
    assert scale.Scale((10, 20, 30)).place == {"10": 10, "20": 20, "30": 30}
    assert scale.Scale(("sgd", "adam")).place == {"sgd": 0, "adam": 1}
    assert scale.Scale((True, False)).place == {"True": 0, "False": 1}
    assert scale.Scale((None, 3)).place == {"None": 0, "3": 1}
    assert len(scale.Scale(tuple(f"name {i}" for i in range(40))).shown) == scale.MOST_NAMES


def test_the_counts_of_units_are_medians_and_quartiles() -> None:
    one = study(*(group({"optimizer": name}, seed=i) for i, name in enumerate(("sgd", "adam"))))
    picture = units(one, styles.Styles(one), "units")
    assert picture is not None
    for status, axes in zip(("bent", "linear", "dead"), frames(picture), strict=True):
        for each, area, line in zip(one.groups, axes.collections, axes.lines, strict=True):
            q25, median, q75 = np.percentile(each.curves[f"units/{status}"], [25, 50, 75], axis=0)
            low, high = edges(area)
            assert (low[:, 1].tolist(), high[:, 1].tolist()) == (q25.tolist(), q75.tolist())
            assert line.get_ydata().tolist() == median.tolist()


def test_a_model_without_units_has_no_picture_of_them() -> None:
    assert list(drawn(study(group({}, units=False)))) == ["loss-test", "loss-train", "final"]


def test_a_study_of_nothing_has_no_pictures() -> None:
    assert drawn(study()) == {}


def test_one_replica_has_a_line_and_no_band() -> None:
    one = study(group({}, n=1))
    (axes,) = frames(drawn(one)["loss-test"])
    assert len(axes.collections) == 0
    assert axes.lines[0].get_ydata().tolist() == one.groups[0].curves["loss/test"][0].tolist()


def test_without_curves_the_end_is_drawn_all_the_same() -> None:
    one = group({"a": "x"}, n=4)
    for curve in one.curves.values():
        curve[:] = np.nan
    assert list(drawn(study(one))) == ["final-a"]


def test_no_frame_has_more_lines_than_can_be_told_apart_and_what_is_left_out_is_counted() -> None:
    one = study(*(group({"lr": 1.2**i, "data": f"file {j}"}, n=2, seed=i) for i in range(40) for j in range(2)))
    picture = drawn(one)["loss-test"]
    assert [len(axes.lines) for axes in frames(picture)] == [2] * 12
    assert any("24 of 80 groups drawn" in text.get_text() for text in picture.figure.texts)
    alone = study(*(group({"data": f"file {j}"}, n=2, seed=j) for j in range(40)))
    (axes,) = frames(drawn(alone)["loss-test"])
    assert len(axes.lines) == styles.MOST
    names = [text.get_text() for text in drawn(alone)["loss-test"].figure.legends[0].get_texts()]
    assert (names[0], names[-1]) == ("data = file 0", "data = file 39")


def test_a_grid_of_two_settings_has_a_row_for_each_value_of_the_first() -> None:
    every = [(w, lr, o) for w in (5, 10) for lr in (0.1, 0.2, 0.3) for o in ("sgd", "adam")]
    one = study(*(group({"width": w, "lr": lr, "optimizer": o}, n=2) for w, lr, o in every))
    found = layout.layout(one, styles.Styles(one), 12)
    assert (found.key, found.columns) == ("optimizer", 3)
    assert [panel.title[0] for panel in found.panels[:3]] == [f"width = 5, lr = {lr}" for lr in (0.1, 0.2, 0.3)]


def test_ticks_are_round_and_few() -> None:
    assert ticks.logarithmic(0.0007, 2).labels == ["0.001", "0.01", "0.1", "1"]
    assert ticks.logarithmic(0.15, 0.9).labels == ["0.15", "0.2", "0.3", "0.4", "0.5", "0.7"]
    assert ticks.logarithmic(1e-12, 1).labels == ["10⁻¹²", "10⁻¹⁰", "10⁻⁸", "10⁻⁶", "10⁻⁴", "0.01", "1"]
    assert ticks.updates(0, 30_000, False, 4).labels == ["0", "10,000", "20,000", "30,000"]
    assert ticks.updates(0, 100_000, True, 9).labels == ["0", "1", "10", "100", "1,000", "10,000", "10⁵"]
    for low, high in ((1.0, 1.01), (3e-9, 4e-9), (0.5, 7.0)):
        assert 2 <= len(ticks.logarithmic(low, high).at) <= 9


def test_snapshots_that_crowd_at_the_start_are_shown_on_a_logarithmic_axis() -> None:
    one = group({}, n=2, snapshots=31)
    early = np.unique(np.logspace(0, 4.5, 31).round().astype(np.int64))[:30]
    log = Group(
        {}, one.replicas, one.final, np.array([0, *early]), {k: v[:, : len(early) + 1] for k, v in one.curves.items()}
    )
    assert frames(drawn(study(log))["loss-test"])[0].get_xscale() == "symlog"
    assert frames(drawn(study(one))["loss-test"])[0].get_xscale() == "linear"


def test_names_of_files_are_plain_and_no_two_are_alike(tmp_path: Path) -> None:
    settings = {"a/../b": 1, "a.b": 2, "A_B": 3, "<x>": 4}
    one = study(group(settings, n=2), group({key: value + 10 for key, value in settings.items()}, n=2, seed=1))
    found = pictures.write(one, tmp_path / "new" / "pictures", ["png"])
    names = [path.stem for path in found if path.stem.startswith("final")]
    assert names == ["final-a-b", "final-a-b-2", "final-a-b-3", "final-x"]
    assert sorted(found) == sorted((tmp_path / "new" / "pictures").iterdir())


def test_files_say_what_they_show_and_are_the_same_each_time(tmp_path: Path) -> None:
    one = study(*(group({"optimizer": name}, n=5, seed=i) for i, name in enumerate(("sgd", "adam"))))
    twice = [pictures.write(one, tmp_path / str(i), ["png", "svg", "pdf", "svg"]) for i in range(2)]
    sums = [[hashlib.sha256(path.read_bytes()).hexdigest() for path in found] for found in twice]
    assert sums[0] == sums[1]
    names = [path.name for path in twice[0]]
    assert names[:3] == ["final-optimizer.png", "final-optimizer.svg", "final-optimizer.pdf"]
    assert len(names) == len(set(names)) == 12
    svg = ElementTree.parse(tmp_path / "0" / "loss-test.svg")
    (work,) = svg.iter("{http://creativecommons.org/ns#}Work")
    told = {each.tag.rsplit("}", 1)[-1]: each.text or "" for each in work}
    assert told["title"] == "Test loss during training"
    last = np.median(one.groups[1].curves["loss/test"][:, -1])
    assert f"optimizer=adam ends at {last:.3g}" in told["description"]


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="format gif: must be one of png, svg, pdf"):
        pictures.write(study(group({})), tmp_path / "out", ["png", "gif"])
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*cannot be written"):
        pictures.write(study(group({})), tmp_path / "file", ["png"])


def test_the_median_run_is_the_replica_nearest_the_median() -> None:
    one = group({}, n=5)
    one.final["loss/test"][:] = [5, 1, 2.2, 9, 3]
    found = median_replica(one, "loss/test")
    assert found is not None
    assert found.row == 4
    one.final["loss/test"][:] = [np.inf, 1, np.inf, np.inf, 3]
    found = median_replica(one, "loss/test")
    assert found is not None
    assert found.row == 0
    one.final["loss/test"][:] = np.nan
    assert median_replica(one, "loss/test") is None


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real runs of three replicas."""
    folder = tmp_path_factory.mktemp("sweep")
    words = ["+exp=optimizers", "replicas=3", "updates=60", "snapshots.every=20", "callbacks=minimal"]
    words += ["model.width=5", "optimizer=adam,sgd", "engine=reference", f"hydra.sweep.dir={folder}"]
    done = subprocess.run(
        [sys.executable, "-m", "reluviz", "train", "-m", *words], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_elbows_of_real_runs_are_drawn_where_they_were(sweep: Path) -> None:
    one = of_runs(sweep, [{"optimizer": "adam"}, {"optimizer": "sgd"}])
    picture = drawn(one)["elbows"]
    for each, axes in zip(one.groups, picture.figure.axes, strict=False):
        ends = each.final["loss/test"]
        row = int(np.argmin(np.abs(ends - np.median(ends))))
        assert any(f"seed {each.replicas[row].seed}" in text.get_text() for text in picture.figure.texts)
        run = load_run(each.replicas[row].folder)
        dull, bright = (lines.get_segments() for lines in axes.collections)
        steps = {
            (run.updates[s], run.elbow[s, row, k], run.updates[s + 1], run.elbow[s + 1, row, k]): (s + 1, k)
            for s in range(len(run.updates) - 1)
            for k in range(5)
        }
        pairs = [(*map(float, a), *map(float, b)) for line in (*dull, *bright) for a, b in pairwise(line)]
        assert sorted(pairs) == sorted(steps)
        grey = {steps[*map(float, a), *map(float, b)] for line in dull for a, b in pairwise(line)}
        dead = run.unit_status[:, row] == 0
        assert grey == {(s, k) for s, k in steps.values() if dead[s, k]}
        for line, colour in zip(bright, axes.collections[1].get_colors(), strict=True):
            for a, b in pairwise(line):
                s, k = steps[*map(float, a), *map(float, b)]
                red, _, blue, _ = colour
                assert run.slope_jump[s, row, k] * (red - blue) > 0 or abs(red - blue) < 0.12


def test_a_run_that_cannot_be_read_costs_its_own_frame_only(sweep: Path, tmp_path: Path) -> None:
    one = of_runs(sweep, [{"optimizer": "adam"}, {"optimizer": "sgd"}])
    lost = Group(
        one.groups[0].settings,
        tuple(type(each)(tmp_path, each.row, each.seed, each.status) for each in one.groups[0].replicas),
        one.groups[0].final,
        one.groups[0].updates,
        one.groups[0].curves,
    )
    picture = drawn(Groups(one.folders, (lost, one.groups[1]), one.keys, (), 2))["elbows"]
    assert "1 of 2 groups" in picture.title
    assert "sgd" in picture.words
    assert "adam" not in picture.words


def test_the_drawn_end_is_what_the_runs_own_metrics_say(sweep: Path) -> None:
    one = of_runs(sweep, [{"optimizer": "adam"}, {"optimizer": "sgd"}])
    picture = learning(one, styles.Styles(one), "loss/test", "x")
    assert picture is not None
    for each, line in zip(one.groups, picture.figure.axes[0].lines, strict=True):
        said = json.loads((each.replicas[0].folder / "metrics.json").read_text())["loss/test"]
        assert line.get_ydata()[-1] == pytest.approx(np.median(said), rel=1e-4)
