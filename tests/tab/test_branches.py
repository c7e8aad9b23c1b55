"""A branch, a run that trains in the page, is determined by its start, its changes and its number of updates."""

from typing import Any

import numpy as np
import pytest
from browser import javascript_modules, require_browser

from reluviz.core import theory
from reluviz.core.functions import mean_squared_error
from reluviz.data.targets import piecewise_linear

MAKE = """
  const {Branch} = await import('./trainer/branch.js');
  const {loadEngine} = await import('./trainer/session.js');
  const {noisySamples, TARGETS} = await import('./trainer/data_sets.js');
  const {initialState} = await import('./trainer/initial_state.js');
  const {completed, ...settingsModule} = await import('./trainer/settings.js');
  const {parse, textOf, MOST_UPDATES} = await import('./trainer/link.js');
  const engine = await loadEngine();
  const fresh = (given = {}) => {
    const settings = completed(given), {model, width, elbows, seed, data} = settings;
    const {x, y, xTest, yTest} = noisySamples(data, settings.n, settings.noise, settings.data_seed);
    const points = {x, y, target: TARGETS[data], xTest, yTest, domain: [0, 1]};
    const start = {width, elbows, seed, domain: [0, 1], positions: null, x, precision: 'float64'};
    const parameters = model === 'relu' ? initialState(start) : {theta: 0};
    return new Branch(engine, {name: 'branch', start: {kind: 'fresh'}, settings, points, parameters});
  };
  const list = (values) => Array.from(values, (one) => Number.isFinite(one) ? one : String(one));
  const mapped = (object, change) => Object.fromEntries(Object.entries(object).map(([key, one]) => [key, change(one)]));
  const plain = (p) => mapped(p, (value) => typeof value === 'number' ? value : Array.from(value));
  const all = (branch) => ({
    updates: Array.from(branch.update),
    values: list(branch.values),
    net: plain(branch.trainedNet(branch.S - 1, 0)),
    edits: branch.edits.map(({at, kind, values}) => ({at, kind, values})),
    chosen: {...branch.chosen},
    x: Array.from(branch.x),
    y: Array.from(branch.y),
    stride: branch.stride,
    losses: mapped(branch.scalars, ({update, value}) => [Array.from(update), list(value)]),
  });
  const repeated = (text, settings) => {
    const [{edits, updateCount: end}] = parse(text, []), branch = fresh(settings);
    for (const {at, kind, values} of edits) { branch.train(at - branch.updateCount); branch.edit(kind, values); }
    branch.train(end - branch.updateCount);
    branch.refreshHistory();
    return branch;
  };
"""


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Any:
    require_browser()
    with javascript_modules(request.getfixturevalue("browser")) as run:
        yield lambda code, given=None: run(MAKE + code, given)


def test_snapshots_and_parameters_do_not_depend_on_how_updates_are_grouped(run) -> None:
    found = run(
        """
        return [[3000], [1, 2, 997, 1500, 500], Array(30).fill(100)].map((parts) => {
          const branch = fresh({width: 5});
          for (const part of parts) branch.train(part);
          branch.refreshHistory();
          return all(branch);
        });"""
    )
    assert found[0] == found[1] == found[2]
    assert found[0]["updates"][:3] == [0, 1, 2]
    assert found[0]["updates"][-1] == 3000


def test_a_long_history_thins_itself_to_multiples_and_early_updates(run) -> None:
    found = run(
        """
        const branch = fresh({width: 2, batch: 1}), sizes = [];
        for (let i = 0; i < 40; i++) { branch.train(2500); sizes.push(branch.S); }
        branch.refreshHistory();
        return {...all(branch), sizes};"""
    )
    updates, stride = np.array(found["updates"]), found["stride"]
    assert max(found["sizes"]) < 330
    # the smallest power of two that leaves at most 256 multiples
    assert stride == 512
    assert set(range(0, 100_000 + 1, stride)) <= set(updates)
    others = [int(update) for update in updates if update % stride]
    assert others[:16] == [*range(1, 16), 16]
    assert all(update // (update & -update) < 16 for update in others if update != 100_000)


def test_losses_are_those_of_the_snapshots(run) -> None:
    found = run("const branch = fresh({width: 20}); branch.train(300); branch.refreshHistory(); return all(branch);")
    data = piecewise_linear()
    assert (found["x"], found["y"]) == (data.x.tolist(), data.y.tolist())
    updates, train = found["losses"]["loss/train"]
    assert updates == found["updates"]
    values = np.array(found["values"]).reshape(len(updates), -1)
    w, b, v, c = np.split(values, [20, 40, 60], axis=1)
    p = {"input_slope": w, "bias": b, "output_weight": v, "output_bias": c[:, 0]}
    np.testing.assert_allclose(train, mean_squared_error("relu", p, data.x, data.y), rtol=1e-12)
    np.testing.assert_allclose(
        found["losses"]["loss/test"][1], mean_squared_error("relu", p, data.x_test, data.y_test), rtol=1e-12
    )
    # a batch loss belongs to an update, and the start has made none
    assert found["losses"]["loss/batch"][0] == updates[1:]


EDITS = [
    ("e", [3, 0.25]),
    ("j", [2, -1.5]),
    ("i", [1, 2.5]),
    ("v", [4, 0.75]),
    ("o", [0]),
    ("a", [0.5, 0]),
    ("d", [2]),
    ("p", [1]),
    ("l", [0.01]),
    ("b", [7]),
    ("s", [2]),
    ("r", [1]),
    ("n", [0.3, 5]),
    ("x", [10, 0.75, -0.5]),
    ("y", [0.5, 2]),
    ("z", [3]),
    ("w", [0.1, 1, 0.2, 2, 0.9, 0.5, 0.4, 0.4]),
    ("g", [1, 50, 0.2, 3]),
]


@pytest.mark.parametrize(("kind", "values"), EDITS, ids=[kind for kind, _ in EDITS])
def test_each_change_is_taken_back_and_repeated_bit_for_bit(run, kind, values) -> None:
    found = run(
        """
        const branch = fresh({width: 6, batch: 3});
        branch.train(100);
        branch.refreshHistory();
        const before = all(branch);
        const made = branch.edit(given.kind, given.values);
        const edited = all(branch);
        branch.train(50);
        branch.refreshHistory();
        const after = all(branch), text = textOf([Object.assign(branch, {number: 1, isControl: false})], []);
        const same = all(repeated(text, {width: 6, batch: 3}));
        branch.undo();
        return {made, before, edited, after, same, undone: all(branch), text};""",
        {"kind": kind, "values": values},
    )
    assert found["made"]
    assert found["edited"]["edits"] == [{"at": 100, "kind": kind, "values": values}]
    assert found["edited"] != found["before"]
    assert found["undone"] == found["before"]
    assert found["same"] == found["after"]


def test_changes_move_what_they_say(run) -> None:
    found = run(
        """
        const branch = fresh({width: 4}), steps = {};
        const step = (kind, ...values) => { branch.edit(kind, values); steps[kind] = all(branch); };
        steps.start = all(branch);
        step('e', 1, 0.3); step('j', 2, -2); step('a', 0.6, 3); step('d', 0); step('p', 1);
        return steps;"""
    )
    start, moved, jump, added, deleted, split = (found[key]["net"] for key in ("start", "e", "j", "a", "d", "p"))
    assert -moved["b"][1] / moved["w"][1] == pytest.approx(0.3)
    assert moved["w"] == start["w"]
    assert jump["v"][2] * abs(jump["w"][2]) == pytest.approx(-2)
    assert [len(added[key]) for key in "wbv"] == [5, 5, 5]
    assert (-added["b"][4] / added["w"][4], added["v"][4] * abs(added["w"][4])) == pytest.approx((0.6, 3))
    assert (deleted["w"][0], deleted["b"][0], deleted["v"][0]) == (0, 0, 0)
    assert deleted["w"][1:] == added["w"][1:]
    assert split["v"][1] == split["v"][5] == deleted["v"][1] / 2
    elbows = sorted(-split["b"][k] / split["w"][k] for k in (1, 5))
    assert elbows == pytest.approx([0.295, 0.305])


def test_a_deleted_unit_stays_deleted_while_the_others_learn(run) -> None:
    found = run(
        """
        return ['sgd', 'momentum', 'adam'].map((optimizer) => {
          const branch = fresh({width: 5, optimizer, lr: 0.01});
          branch.train(20); branch.edit('d', [2]); branch.train(100);
          const {w, b, v} = branch.trainedNet(branch.S - 1, 0);
          return [w[2], b[2], v[2], w[1] !== branch.trainedNet(0, 0).w[1]];
        });"""
    )
    assert found == [[0, 0, 0, True]] * 3


def test_a_drag_is_one_change(run) -> None:
    found = run(
        """
        const branch = fresh({width: 4, n: 10});
        branch.train(5);
        branch.edit('x', [3, 0.2, 1]);
        for (const x of [0.5, 0.9, 0.95]) branch.edit('x', [3, x, 2], {replace: true});
        const other = fresh({width: 4, n: 10});
        other.train(5);
        other.edit('x', [3, 0.95, 2]);
        return [all(branch), all(other)];"""
    )
    assert found[0] == found[1]
    assert found[0]["edits"] == [{"at": 5, "kind": "x", "values": [3, 0.95, 2]}]
    assert found[0]["x"] == sorted(found[0]["x"])


def test_divergence_stops_a_branch(run) -> None:
    found = run(
        """
        const branch = fresh({model: 'linear', data: 'piecewise_linear', lr: 20});
        const on = branch.train(100000);
        const at = branch.stopped.update, more = branch.train(10);
        const again = [branch.updateCount, more];
        branch.undo();
        const calm = fresh({model: 'linear', lr: 0.2});
        return {on, at, again, calm: calm.train(1000), last: calm.trainedNet(calm.S - 1, 0).theta};"""
    )
    assert not found["on"]
    assert found["at"] < 100
    assert found["again"] == [found["at"], False]
    data = piecewise_linear()
    assert found["calm"]
    assert found["last"] == pytest.approx(theory.linear.optimum(data.x, data.y), rel=1e-9)


def test_a_clone_goes_on_as_the_branch_would(run) -> None:
    found = run(
        """
        const branch = fresh({width: 6, optimizer: 'adam', sampler: 'epoch'});
        branch.train(70); branch.edit('a', [0.5, 0]); branch.train(30);
        const copy = branch.clone('control');
        for (const one of [branch, copy]) { one.train(900); one.refreshHistory(); }
        return [all(branch), all(copy)];"""
    )
    assert found[0] == found[1]


def test_numbers_survive_an_address_exactly(run) -> None:
    random = np.random.default_rng(0)
    doubles = [*random.normal(size=200), *(random.normal(size=50) * 10.0 ** random.integers(-300, 300, size=50))]
    values = [float(one) for one in doubles] + [0.0, 0.5, -1e-300, 1e21, 5e-324, 1.7976931348623157e308, 2.0**53]
    found = run(
        """
        const branch = {number: 2, isControl: true, start: {kind: 'fresh'}, from: 0, updateCount: 99};
        const text = textOf([{...branch, edits: [{at: 12, kind: 'w', values: given}]}], []);
        return {text, parsed: parse(text, [])};""",
        values,
    )
    assert found["parsed"] == [
        {
            "number": 2,
            "isControl": True,
            "start": {"kind": "fresh"},
            "edits": [{"at": 12, "kind": "w", "values": values}],
            "updateCount": 99,
        }
    ]
    assert set(found["text"]) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize(
    "text", ["1", "1B", "1Bf", "1Bg_A", "1Bf_", "1Bf_A<", "<script>", "1Bf__proto__", "2Bf_A", "1Bf______A"]
)
def test_other_text_is_no_branch(run, text) -> None:
    assert run("return parse(given, []);", "1Bf_A")[0]["updateCount"] == 0
    found = run("return parse(given, []);", text)
    assert found is None or (text, found) == ("1", [])


def test_settings_are_completed_within_their_ranges(run) -> None:
    found = run(
        """
        const linear = {model: 'linear', width: 'x', lr: '-1', n: '10', batch: 50, sampler: 'epoch', seed: 1.5};
        return [completed(), completed(linear), completed({optimizer: 'adam', data: '<b>'})];"""
    )
    standard, linear, adam = found
    assert (standard["model"], standard["width"], standard["lr"], standard["sampler"]) == (
        "relu",
        20,
        0.02,
        "with_replacement",
    )
    assert (linear["width"], linear["lr"], linear["n"], linear["batch"], linear["seed"]) == (20, 0.2, 10, 10, 0)
    assert (adam["lr"], adam["data"]) == (0.001, "piecewise_linear")
