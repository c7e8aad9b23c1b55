"""The pictures of a report show the values of its replicas."""

import hashlib
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from report_groups import diverge, groups_of_runs, make_group, make_groups, optimizer_groups

from reluviz.__main__ import main
from reluviz.analysis import load_run
from reluviz.analysis.report import pictures
from reluviz.analysis.report.groups import Group, Groups, Replica
from reluviz.analysis.report.pictures import layout, scale, styles, ticks
from reluviz.analysis.report.pictures.elbow_paths import median_replica
from reluviz.analysis.report.pictures.final_values import draw_final_values
from reluviz.analysis.report.pictures.loss_curves import draw_loss_curves
from reluviz.analysis.report.pictures.unit_counts import draw_unit_counts
from reluviz.errors import UserError

Points = np.ndarray[Any, np.dtype[np.float64]]


def drawn_pictures(groups: Groups) -> dict[str, pictures.Picture]:
    return {picture.name: picture for picture in pictures.draw_pictures(groups)}


def panel_axes(picture: pictures.Picture) -> list[Any]:
    return [axes for axes in picture.figure.axes if axes.get_xlabel() != "" or axes.lines or axes.collections]


def edges(area: PolyCollection) -> tuple[Points, Points]:
    """Return the lower and the upper edge of a drawn band, as points (update, loss)."""
    # matplotlib draws an area along the lower edge and back along the upper one
    (path,) = area.get_paths()
    count = (len(path.vertices) - 3) // 2
    corners = np.asarray(path.vertices)
    return corners[1 : count + 1], corners[count + 2 : 2 * count + 2][::-1]


def title_of(figure: Any, axes: Any) -> str:
    """Return the title above a panel."""
    box = axes.get_position()
    near = [text for text in figure.texts if abs(text.get_position()[0] - box.x0) < 1e-6]
    above = [text for text in near if text.get_position()[1] > box.y1 - 1e-6]
    return str(min(above, key=lambda text: text.get_position()[1]).get_text())


def test_the_bands_of_the_course_figure_are_the_quartiles_of_numpy() -> None:
    groups = optimizer_groups()
    shown = drawn_pictures(groups)
    by_optimizer, by_width = shown["optimizers"], shown["loss-test"]
    seen = 0
    for picture, panel, line in ((by_optimizer, "optimizer", "model.width"), (by_width, "model.width", "optimizer")):
        values = styles.setting_values(groups, panel)
        assert len(panel_axes(picture)) == 3
        for value, axes in zip(values, panel_axes(picture), strict=True):
            assert title_of(picture.figure, axes) == f"{panel.split('.')[-1]} = {value}"
            shown_groups = [group for group in groups.groups if group.settings[panel] == value]
            assert [group.settings[line] for group in shown_groups] == list(styles.setting_values(groups, line))
            for group, area, median in zip(shown_groups, axes.collections, axes.lines, strict=True):
                low, high = edges(area)
                q25, q75 = np.percentile(group.curves["loss/test"], [25, 75], axis=0)
                assert low[:, 0].tolist() == high[:, 0].tolist() == group.updates.tolist()
                assert low[:, 1].tolist() == q25.tolist()
                assert high[:, 1].tolist() == q75.tolist()
                assert median.get_ydata().tolist() == np.median(group.curves["loss/test"], axis=0).tolist()
                seen += 1
    assert seen == 18
    # the figure of the course shows the percentiles 0.25 and 0.75 instead of the quartiles
    wrong = np.percentile(groups.groups[0].curves["loss/test"], [0.25, 0.75], axis=0)
    assert (edges(panel_axes(by_width)[0].collections[0])[1][:, 1] > 1.02 * wrong[1]).all()


def test_a_value_has_the_same_colour_in_all_pictures() -> None:
    groups = optimizer_groups()
    shown = drawn_pictures(groups)
    value_styles = styles.Styles(groups)
    for key, pictured in (("optimizer", ["loss-test", "loss-train", "units"]), ("model.width", ["optimizers"])):
        colours = [value_styles.of(key, value).colour for value in styles.setting_values(groups, key)]
        assert len(set(colours)) == 3
        for name in pictured:
            for axes in panel_axes(shown[name]):
                assert [line.get_color() for line in axes.lines] == colours
    for name, key in (("final-model-width", "optimizer"), ("final-optimizer", "model.width")):
        colours = [value_styles.of(key, value).colour for value in styles.setting_values(groups, key)]
        used = {line.get_color() for axes in panel_axes(shown[name]) for line in axes.lines}
        assert used == set(colours)


def test_colours_differ_for_colour_blind_readers_too() -> None:
    # Machado, Oliveira and Fernandes (2009), severity 1: protan, deutan, tritan; on linear RGB
    colour_vision = np.array(
        [
            [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
            [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
            [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
        ]
    )
    ramp = styles.Styles(make_groups(*(make_group({"lr": i}, n=1, seed=i) for i in range(styles.MAX_COLOURS))))
    for names in (styles.NAME_COLOURS, [ramp.of("lr", i).colour for i in range(styles.MAX_COLOURS)]):
        rgb = np.array([[int(name[i : i + 2], 16) / 255 for i in (1, 3, 5)] for name in names])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        for seen in np.einsum("kij,nj->kni", colour_vision, linear).clip(0, 1):
            to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
            xyz = seen @ to_xyz.T / [0.9505, 1, 1.089]
            f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
            lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
            distances = np.linalg.norm(lab[:, None] - lab[None], axis=2) + 1e3 * np.eye(len(lab))
            assert distances.min() > 10  # about four times the smallest visible difference


def test_the_upper_quartile_is_above_the_picture_once_a_quarter_of_the_replicas_has_diverged() -> None:
    group = diverge(make_group({}, n=8, snapshots=10), rows=[0, 1, 2], snapshot=5)
    (axes,) = panel_axes(drawn_pictures(make_groups(group))["loss-test"])
    low, high = edges(axes.collections[0])
    kept = group.curves["loss/test"][3:]
    assert (high[5:, 1] > axes.get_ylim()[1]).all()
    assert (high[:5, 1] < axes.get_ylim()[1]).all()
    # the lower quartile of eight values lies three quarters of the way from the second to the third
    ranked = np.sort(kept, axis=0)
    assert low[5:, 1] == pytest.approx(0.25 * ranked[1, 5:] + 0.75 * ranked[2, 5:])
    median = axes.lines[0].get_ydata()
    assert median[5:] == pytest.approx((ranked[3, 5:] + ranked[4, 5:]) / 2)


def test_a_loss_of_zero_has_an_arrow_downwards_and_a_picture_of_zeros_is_linear() -> None:
    group = make_group({}, n=5)
    group.curves["loss/test"][:, 6:] = 0
    group.curves["loss/train"][:] = 0
    shown = drawn_pictures(make_groups(group))
    (test,), (train,) = panel_axes(shown["loss-test"]), panel_axes(shown["loss-train"])
    assert test.get_yscale() == "log"
    arrow = test.lines[-1]
    assert (arrow.get_marker(), arrow.get_xdata()[0]) == (7, group.updates[6])
    assert train.get_yscale() == "linear"
    assert train.get_ylim()[0] < 0 < train.get_ylim()[1]


def test_an_exploding_loss_does_not_extend_the_axis_beyond_the_other_losses() -> None:
    exploding = make_group({"lr": 5.0}, n=3, seed=1)
    exploding.curves["loss/test"][:, 5:] *= 1e250
    stable = make_group({"lr": 0.1}, n=3)
    (axes,) = panel_axes(drawn_pictures(make_groups(stable, exploding))["loss-test"])
    assert axes.get_ylim()[1] < 1e4


def test_the_final_picture_has_marks_at_medians_bars_between_quartiles_and_a_dot_for_each_replica() -> None:
    groups = make_groups(*(make_group({"model.width": width}, n=20, seed=width) for width in (10, 20, 40)))
    picture = draw_final_values(groups, styles.Styles(groups), "model.width", "loss/test", "x")
    assert picture is not None
    (axes,) = panel_axes(picture)
    places = np.log10([10, 20, 40])
    ends = [group.final["loss/test"] for group in groups.groups]
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    assert marks[0].get_xdata() == pytest.approx(places)
    assert marks[0].get_ydata().tolist() == [np.median(end) for end in ends]
    (bars,) = [artist for artist in axes.collections if isinstance(artist, LineCollection)]
    for end, bar in zip(ends, bars.get_segments(), strict=True):
        assert bar[:, 1].tolist() == np.percentile(end, [25, 75]).tolist()
    dots = [artist for artist in axes.collections if isinstance(artist, PathCollection)]
    for place, end, cloud in zip(places, ends, dots, strict=True):
        points = np.asarray(cloud.get_offsets())
        assert points[:, 1].tolist() == np.sort(end).tolist()
        assert (np.abs(points[:, 0] - place) < 0.5 * np.log10(2)).all()


def test_more_than_a_hundred_replicas_are_not_drawn_as_dots() -> None:
    groups = make_groups(make_group({"a": "x"}, n=101), make_group({"a": "y"}, n=100, seed=1))
    picture = drawn_pictures(groups)["final-a"]
    (axes,) = panel_axes(picture)
    (cloud,) = [artist for artist in axes.collections if isinstance(artist, PathCollection)]
    assert len(np.asarray(cloud.get_offsets())) == 100


def test_diverged_replicas_are_counted_above_their_group() -> None:
    groups = make_groups(
        diverge(make_group({"lr": 0.1}, n=8), [0, 1], 5), diverge(make_group({"lr": 1.0}, n=8, seed=1), range(8), 5)
    )
    picture = drawn_pictures(groups)["final-lr"]
    (axes,) = panel_axes(picture)
    texts = {round(text.get_position()[0], 9): text.get_text() for text in axes.texts}
    assert texts == {-1.0: "▲2", 0.0: "▲8"}
    assert any("10 of 16 diverged" in text.get_text() for text in picture.figure.texts)


def test_if_every_replica_diverged_the_picture_says_so() -> None:
    groups = make_groups(diverge(make_group({}, n=4), range(4), 3))
    (axes,) = panel_axes(drawn_pictures(groups)["final"])
    assert [text.get_text() for text in axes.texts if "▲" not in text.get_text()] == ["every replica diverged"]


def test_numbers_are_drawn_to_scale_and_names_at_equal_distances() -> None:
    assert scale.Scale((10, 20, 40)).log
    assert not scale.Scale((10, 20, 30)).log
    assert scale.Scale((0.001, 0.1)).log
    assert not scale.Scale((0, 10, 100)).log
    assert scale.Scale((10, 20, 30)).positions == {"10": 10, "20": 20, "30": 30}
    assert scale.Scale(("sgd", "adam")).positions == {"sgd": 0, "adam": 1}
    assert scale.Scale((True, False)).positions == {"True": 0, "False": 1}
    assert scale.Scale((None, 3)).positions == {"None": 0, "3": 1}
    assert len(scale.Scale(tuple(f"name {i}" for i in range(40))).shown) == scale.MAX_NAMES


def test_the_unit_counts_are_medians_and_quartiles() -> None:
    groups = make_groups(*(make_group({"optimizer": name}, seed=i) for i, name in enumerate(("sgd", "adam"))))
    picture = draw_unit_counts(groups, styles.Styles(groups), "units")
    assert picture is not None
    for status, axes in zip(("bent", "linear", "dead"), panel_axes(picture), strict=True):
        for group, area, line in zip(groups.groups, axes.collections, axes.lines, strict=True):
            q25, median, q75 = np.percentile(group.curves[f"units/{status}"], [25, 50, 75], axis=0)
            low, high = edges(area)
            assert (low[:, 1].tolist(), high[:, 1].tolist()) == (q25.tolist(), q75.tolist())
            assert line.get_ydata().tolist() == median.tolist()


def test_a_model_without_units_has_no_picture_of_units() -> None:
    assert list(drawn_pictures(make_groups(make_group({}, units=False)))) == ["loss-test", "loss-train", "final"]


def test_without_groups_there_are_no_pictures() -> None:
    assert drawn_pictures(make_groups()) == {}


def test_one_replica_has_a_line_and_no_band() -> None:
    groups = make_groups(make_group({}, n=1))
    (axes,) = panel_axes(drawn_pictures(groups)["loss-test"])
    assert len(axes.collections) == 0
    assert axes.lines[0].get_ydata().tolist() == groups.groups[0].curves["loss/test"][0].tolist()


def test_without_curves_the_final_values_are_drawn() -> None:
    group = make_group({"a": "x"}, n=4)
    for curve in group.curves.values():
        curve[:] = np.nan
    assert list(drawn_pictures(make_groups(group))) == ["final-a"]


def test_the_lines_in_a_panel_are_limited_and_the_drawn_groups_are_counted() -> None:
    groups = make_groups(
        *(make_group({"lr": 1.2**i, "data": f"file {j}"}, n=2, seed=i) for i in range(40) for j in range(2))
    )
    picture = drawn_pictures(groups)["loss-test"]
    assert [len(axes.lines) for axes in panel_axes(picture)] == [2] * 12
    assert any("24 of 80 groups drawn" in text.get_text() for text in picture.figure.texts)
    groups = make_groups(*(make_group({"data": f"file {j}"}, n=2, seed=j) for j in range(40)))
    (axes,) = panel_axes(drawn_pictures(groups)["loss-test"])
    assert len(axes.lines) == styles.MAX_COLOURS
    names = [text.get_text() for text in drawn_pictures(groups)["loss-test"].figure.legends[0].get_texts()]
    assert (names[0], names[-1]) == ("data = file 0", "data = file 39")


def test_panels_for_two_settings_have_a_row_for_each_value_of_the_first() -> None:
    combinations = [(w, lr, o) for w in (5, 10) for lr in (0.1, 0.2, 0.3) for o in ("sgd", "adam")]
    groups = make_groups(*(make_group({"width": w, "lr": lr, "optimizer": o}, n=2) for w, lr, o in combinations))
    found = layout.make_layout(groups, styles.Styles(groups), 12)
    assert (found.colour_key, found.columns) == ("optimizer", 3)
    assert [panel.title[0] for panel in found.panels[:3]] == [f"width = 5, lr = {lr}" for lr in (0.1, 0.2, 0.3)]


def test_ticks_are_round_and_few() -> None:
    assert ticks.log_ticks(0.0007, 2).labels == ["0.001", "0.01", "0.1", "1"]
    assert ticks.log_ticks(0.15, 0.9).labels == ["0.15", "0.2", "0.3", "0.4", "0.5", "0.7"]
    assert ticks.log_ticks(1e-12, 1).labels == ["10⁻¹²", "10⁻¹⁰", "10⁻⁸", "10⁻⁶", "10⁻⁴", "0.01", "1"]
    assert ticks.update_ticks(30_000, False, 4).labels == ["0", "10,000", "20,000", "30,000"]
    assert ticks.update_ticks(100_000, True, 9).labels == ["0", "1", "10", "100", "1,000", "10,000", "10⁵"]
    for low, high in ((1.0, 1.01), (3e-9, 4e-9), (0.5, 7.0)):
        assert 2 <= len(ticks.log_ticks(low, high).at) <= 9


def test_updates_have_a_logarithmic_axis_if_most_snapshots_are_near_the_start() -> None:
    group = make_group({}, n=2, snapshots=31)
    early = np.unique(np.logspace(0, 4.5, 31).round().astype(np.int64))[:30]
    log = Group(
        {},
        group.replicas,
        group.final,
        np.array([0, *early]),
        {k: v[:, : len(early) + 1] for k, v in group.curves.items()},
    )
    assert panel_axes(drawn_pictures(make_groups(log))["loss-test"])[0].get_xscale() == "symlog"
    assert panel_axes(drawn_pictures(make_groups(group))["loss-test"])[0].get_xscale() == "linear"


def test_file_names_are_made_of_letters_and_digits_and_are_unique(tmp_path: Path) -> None:
    settings = {"a/../b": 1, "a.b": 2, "A_B": 3, "<x>": 4}
    groups = make_groups(
        make_group(settings, n=2), make_group({key: value + 10 for key, value in settings.items()}, n=2, seed=1)
    )
    found = pictures.write(groups, tmp_path / "new" / "pictures", ["png"])
    names = [path.stem for path in found if path.stem.startswith("final")]
    assert names == ["final-a-b", "final-a-b-2", "final-a-b-3", "final-x"]
    assert sorted(found) == sorted((tmp_path / "new" / "pictures").iterdir())


@pytest.mark.long
def test_files_have_title_and_description_and_are_reproducible(tmp_path: Path) -> None:
    groups = make_groups(*(make_group({"optimizer": name}, n=5, seed=i) for i, name in enumerate(("sgd", "adam"))))
    twice = [pictures.write(groups, tmp_path / str(i), ["png", "svg", "pdf", "svg"]) for i in range(2)]
    sums = [[hashlib.sha256(path.read_bytes()).hexdigest() for path in found] for found in twice]
    assert sums[0] == sums[1]
    names = [path.name for path in twice[0]]
    assert names[:3] == ["final-optimizer.png", "final-optimizer.svg", "final-optimizer.pdf"]
    assert len(names) == len(set(names)) == 12
    svg = ElementTree.parse(tmp_path / "0" / "loss-test.svg")
    (work,) = svg.iter("{http://creativecommons.org/ns#}Work")
    metadata = {element.tag.rsplit("}", 1)[-1]: element.text or "" for element in work}
    assert metadata["title"] == "Test loss during training"
    last = np.median(groups.groups[1].curves["loss/test"][:, -1])
    assert f"optimizer=adam ends at {last:.3g}" in metadata["description"]


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="format gif: must be one of png, svg, pdf"):
        pictures.write(make_groups(make_group({})), tmp_path / "out", ["png", "gif"])
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_created_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*cannot be written"):
        pictures.write(make_groups(make_group({})), tmp_path / "file", ["png"])


def test_the_median_replica_is_the_one_nearest_to_the_median() -> None:
    group = make_group({}, n=5)
    group.final["loss/test"][:] = [5, 1, 2.2, 9, 3]
    found = median_replica(group, "loss/test")
    assert found is not None
    assert found.row == 4
    group.final["loss/test"][:] = [np.inf, 1, np.inf, np.inf, 3]
    found = median_replica(group, "loss/test")
    assert found is not None
    assert found.row == 0
    group.final["loss/test"][:] = np.nan
    assert median_replica(group, "loss/test") is None


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trained runs of three replicas each."""
    folder = tmp_path_factory.mktemp("sweep")
    overrides = ["+exp=optimizers", "replicas=3", "updates=60", "snapshots.every=20", "callbacks=minimal"]
    overrides += ["model.width=5", "optimizer=adam,sgd", "engine=reference", f"hydra.sweep.dir={folder}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["reluviz", "train", "-m", *overrides])
        assert main() == 0
    return folder


@pytest.mark.long
def test_the_elbow_paths_of_trained_runs_are_drawn_at_their_recorded_positions(sweep: Path) -> None:
    groups = groups_of_runs(sweep, [{"optimizer": "adam"}, {"optimizer": "sgd"}])
    picture = drawn_pictures(groups)["elbows"]
    for group, axes in zip(groups.groups, picture.figure.axes, strict=False):
        ends = group.final["loss/test"]
        row = int(np.argmin(np.abs(ends - np.median(ends))))
        assert any(f"seed {group.replicas[row].seed}" in text.get_text() for text in picture.figure.texts)
        run = load_run(group.replicas[row].folder)
        grey_lines, coloured_lines = (lines.get_segments() for lines in axes.collections)
        steps = {
            (run.updates[s], run.elbow[s, row, k], run.updates[s + 1], run.elbow[s + 1, row, k]): (s + 1, k)
            for s in range(len(run.updates) - 1)
            for k in range(5)
        }
        pairs = [(*map(float, a), *map(float, b)) for line in (*grey_lines, *coloured_lines) for a, b in pairwise(line)]
        assert sorted(pairs) == sorted(steps)
        grey_steps = {steps[*map(float, a), *map(float, b)] for line in grey_lines for a, b in pairwise(line)}
        dead = run.unit_status[:, row] == 0
        assert grey_steps == {(s, k) for s, k in steps.values() if dead[s, k]}
        for line, colour in zip(coloured_lines, axes.collections[1].get_colors(), strict=True):
            for a, b in pairwise(line):
                s, k = steps[*map(float, a), *map(float, b)]
                red, _, blue, _ = colour
                assert run.slope_jump[s, row, k] * (red - blue) > 0 or abs(red - blue) < 0.12


def test_a_run_that_cannot_be_read_has_no_panel_and_the_other_runs_do(sweep: Path, tmp_path: Path) -> None:
    groups = groups_of_runs(sweep, [{"optimizer": "adam"}, {"optimizer": "sgd"}])
    lost = Group(
        groups.groups[0].settings,
        tuple(Replica(tmp_path, old.row, old.seed, old.status) for old in groups.groups[0].replicas),
        groups.groups[0].final,
        groups.groups[0].updates,
        groups.groups[0].curves,
    )
    picture = drawn_pictures(Groups(groups.folders, (lost, groups.groups[1]), groups.keys, (), 2))["elbows"]
    assert "1 of 2 groups" in picture.title
    assert "sgd" in picture.description
    assert "adam" not in picture.description


def test_the_last_drawn_median_agrees_with_metrics_json(sweep: Path) -> None:
    groups = groups_of_runs(sweep, [{"optimizer": "adam"}, {"optimizer": "sgd"}])
    picture = draw_loss_curves(groups, styles.Styles(groups), "loss/test", "x")
    assert picture is not None
    for group, line in zip(groups.groups, picture.figure.axes[0].lines, strict=True):
        losses = json.loads((group.replicas[0].folder / "metrics.json").read_text())["loss/test"]
        assert line.get_ydata()[-1] == pytest.approx(np.median(losses), rel=1e-4)
