// The state of the view as plain numbers, for tests and for the browser's console.

import { elbows, slopeJumps, STATUS } from "../core/elbows.js";
import { LOSS_TEST, LOSS_TRAIN } from "../core/tags.js";
import { MOST_POINTS } from "../trainer/settings.js";

const AXES = ["functionView", "slopeView", "votes", "units", "loss", "parabola", "path"];

/** What the view shows now. @param {import("./app.js").App} app */
export function report(app) {
  const { state } = app;
  const now = state.now();
  const functionHits = app.functionView.hits;
  const played = app.frameTimes.filter((f) => f.played).map((f) => f.spent).sort((a, b) => a - b);
  const position = (view, x, y) => {
    const box = view.plot.canvas.getBoundingClientRect();
    return { x: box.left + x * view.plot.zoom, y: box.top + y * view.plot.zoom };
  };
  return {
    ready: Boolean(app.ready && (now || !app.runList.element.hidden)),
    runs: state.listing.map((entry) => entry.run),
    selected: state.selected.map(({ name }) => name),
    list: app.runList.element.hidden ? null : Array.from(app.runList.rows, ([run, row]) => ({ run, ...Object.fromEntries(["name", "updates", "train", "test", "finding"].map((key) => [key, row[key].textContent])) })),
    labels: state.selected.map(({ name }) => state.labelOf(name)),
    failures: Object.fromEntries(state.failures),
    focus: state.focus,
    replica: state.replica,
    model: now?.run.model.name ?? null,
    update: state.update,
    snapshots: now ? Array.from(now.run.update) : [],
    total: now?.run.total ?? 0,
    finding: app.runBar.finding.hidden ? null : app.runBar.finding.textContent,
    stride: now?.run.stride ?? 1,
    following: state.followingLatest,
    playing: state.playing,
    scale: state.scale,
    unit: state.unit,
    point: state.point,
    dark: state.dark,
    measure: state.measure,
    mode: state.mode,
    whatIf: Boolean(now?.whatIf),
    editsPoints: app.pointEditor.on,
    x: now && now.run.x.length <= MOST_POINTS ? Array.from(now.run.x) : null,
    y: now && now.run.x.length <= MOST_POINTS ? Array.from(now.run.y) : null,
    thetaOptimum: now?.run.thetaOptimum ?? null,
    noiseFloor: now?.run.noiseFloor ?? null,
    thetaAxis: app.parabola.range ?? null,
    limits: app.functionView.plot.xScale ? ["xScale", "yScale"].map((axis) => [app.functionView.plot[axis].low, app.functionView.plot[axis].high]) : null,
    lambda: now?.whatIf?.solved ? now.whatIf.lambda : null,
    hover: state.hover,
    tooltip: app.tooltip.element.hidden ? null : Array.from(app.tooltip.element.children, (line) => line.textContent),
    training: app.training.on,
    engine: app.training.loaded?.name ?? null,
    trainingMessage: app.training.message,
    canTrain: Boolean(now) && app.training.reason === null,
    branches: app.training.branches.map(branchReport),
    message: app.message.hidden ? null : app.messageLines.textContent,
    net: now ? plain(now.net) : null,
    elbows: now?.run.model.hasUnits ? Array.from(elbows(now.net)) : null,
    kinks: now?.run.model.architecture ? functionHits?.kinks.map(({ place, layer, unit, jump }) => ({ x: place, layer, unit, jump })) : null,
    kinksDrawn: app.kinksThroughTime.drawn ?? null,
    slopeJumps: now?.run.model.hasUnits ? Array.from(slopeJumps(now.net)) : null,
    status: now?.status ? Array.from(now.status, (code) => STATUS[code]) : null,
    residual: now ? Array.from(now.residual) : null,
    share: now ? Array.from(now.votes.share) : null,
    lossTrain: now?.lossTrain ?? null,
    lossTest: now?.lossTest ?? null,
    lossRun: now?.lossRun ?? null,
    lossTestRun: now?.lossTestRun ?? null,
    votesDrawn: app.votes.drawn ?? null,
    leaving: app.functionView.leaving ?? [],
    pointUpdate: app.functionView.pointUpdate ?? null,
    frames: { count: played.length, median: quantile(played, 0.5), p95: quantile(played, 0.95) },
    axisNames: Object.fromEntries(AXES.map((name) => [name, app[name].element.hidden ? null : { name: app[name].plot.yName ?? null, numbers: app[name].plot.yNumbers ?? [] }])),
    table: app.loss.table.element.hidden ? null : app.loss.table.rows.map(({ run, now, final }) => ({ run: run.name, now, final })),
    fans: { elbows: unitsOf(functionHits?.fans), units: unitsOf(app.units.fans) },
    places: {
      elbows: (functionHits?.elbows ?? []).map(({ k, x, y }) => ({ k, ...position(app.functionView, x, y) })),
      points: Array.from({ length: (functionHits?.points.length ?? 0) / 2 }, (_, i) => ({ i, ...position(app.functionView, functionHits.points[2 * i], functionHits.points[2 * i + 1]) })),
      kinks: (functionHits?.kinks ?? []).map(({ layer, unit, place, x, y }) => ({ layer, unit, place, ...position(app.functionView, x, y) })),
      unitsByLayer: app.unitsByLayer.places.map(({ k, x, y }) => ({ k, ...position(app.unitsByLayer, x, y) })),
      units: (app.units.hits ?? []).map(({ k, x, y }) => ({ k, ...position(app.units, x, y) })),
      theta: app.parabola.handle ? position(app.parabola, app.parabola.handle.x, app.parabola.handle.y) : null,
    },
  };
}

const unitsOf = (fans) => (fans ?? []).map((fan) => fan.map(({ k }) => k));

const quantile = (sorted, q) => (sorted.length ? sorted[Math.floor(q * (sorted.length - 1))] : null);

/** A branch as plain values. */
function branchReport(branch) {
  const { name, isControl, updateCount, from, chosen, edits, stopped, stride, S, scalars } = branch;
  const last = (tag) => (scalars[tag]?.value.length ? scalars[tag].value[scalars[tag].value.length - 1] : null);
  return {
    name, isControl: Boolean(isControl), update: updateCount, from, settings: { ...chosen }, stopped: stopped?.update ?? null, stride, snapshots: S,
    edits: edits.map(({ at, kind, values }) => ({ at, kind, values: [...values] })), points: branch.x.length,
    net: plain(branch.trainedNet(S - 1, 0)), lossTrain: last(LOSS_TRAIN), lossTest: last(LOSS_TEST),
  };
}

const plain = (net) => Object.fromEntries(Object.entries(net).map(([key, value]) => [key, value instanceof Float64Array ? Array.from(value) : value]));
