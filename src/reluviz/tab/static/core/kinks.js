// Where a chain bends: its kinks and linear pieces on an interval, and the unit that each kink belongs to. A twin of
// core/kinks.py, which describes the method.
//
// Sizes: M pieces, so M + 1 ends; W units of a layer. Arrays over ends and units are flat, the units of an end side by side.

import { affine, placeOfUnit, transposed } from "./models/architecture.js";

const MAX_PIECES = 100000, SMALLEST_JUMP = 1e-12, ROUNDINGS = 8;

/**
 * @typedef {object} Pieces
 * @property {Float64Array} ends from low to high, [M + 1]
 * @property {Float64Array} value f at the ends, [M + 1]
 * @property {Float64Array} slope f' on the pieces, [M]
 * @property {{end: number, layer: number, unit: number}[]} crossings where the pre-activation of a unit changes between z > 0
 *   and z <= 0: the index in ends, the layer from 1 and the unit from 0; in this order
 * @property {boolean} capped whether there are too many pieces, so that f is only interpolated
 */

/**
 * The pieces of a chain on [low, high], low < high; null if its function is not finite.
 * @param {import("./models/architecture.js").Architecture} architecture
 * @param {any} p the parameters @returns {Pieces|null}
 */
export function chainPieces(architecture, p, low, high, most = MAX_PIECES) {
  const lines = { ends: Float64Array.of(low, high), value: Float64Array.of(low, high), slope: Float64Array.of(1), crossings: [], capped: false, most };
  let inputs = 1;
  architecture.hidden.forEach((units, l) => {
    const { weight, bias } = architecture.keys[l];
    addLayer(lines, p[weight], p[bias], inputs, units, architecture, l + 1);
    inputs = units;
  });
  const { ends, crossings, capped } = lines;
  const value = affine(p.v, [p.c], lines.value, ends.length, inputs, 1);
  const slope = capped ? Float64Array.from({ length: ends.length - 1 }, (_, m) => (value[m + 1] - value[m]) / (ends[m + 1] - ends[m])) : affine(p.v, null, lines.slope, ends.length - 1, inputs, 1);
  if (![...value, ...slope].every(Number.isFinite)) return null;
  crossings.sort((a, b) => a.end - b.end || a.layer - b.layer || a.unit - b.unit);
  return { ends, value, slope, crossings, capped };
}

/** Replace the lines of h_(l-1) by those of h_l, and cut pieces where a pre-activation changes its sign. */
function addLayer(lines, weight, bias, inputs, units, architecture, layer) {
  const columns = transposed(weight, units, inputs), count = lines.ends.length;
  let z = affine(columns, bias, lines.value, count, inputs, units), slope = affine(columns, null, lines.slope, count - 1, inputs, units);
  const rounding = affine(columns.map(Math.abs), bias.map(Math.abs), lines.value.map(Math.abs), count, inputs, units);
  for (let i = 0; i < z.length; i++) {
    rounding[i] *= ROUNDINGS * Number.EPSILON;
    if (Math.abs(z[i]) <= rounding[i]) z[i] = 0;
  }
  const found = signChanges(lines, z, slope, rounding, units);
  if (found.length) [z, slope] = cut(lines, z, slope, units, found);
  lines.value = z.map(architecture.activate);
  let before = null;
  for (let m = 0; m < lines.ends.length - 1; m++) {
    const active = new Uint8Array(units), at = m * units;
    for (let k = 0; k < units; k++) {
      // the larger of the two ends has the sign of the piece
      const left = z[at + k], right = z[at + units + k], inside = Math.abs(left) >= Math.abs(right) ? left : right;
      active[k] = inside > 0;
      slope[at + k] *= architecture.gate(inside);
      if (before && active[k] !== before[k]) lines.crossings.push({ end: m, layer, unit: k });
    }
    before = active;
  }
  lines.slope = slope;
}

/** The places where pre-activations change their sign within a piece: sorted, with how far rounding may have moved them. */
function signChanges({ ends }, z, slope, rounding, units) {
  const found = [], largest = ROUNDINGS * Number.EPSILON * Math.max(Math.abs(ends[0]), Math.abs(ends[ends.length - 1]));
  for (let m = 0; m < ends.length - 1; m++) {
    for (let k = 0; k < units; k++) {
      const start = z[m * units + k], stop = z[(m + 1) * units + k];
      if (!(start * stop < 0)) continue;
      // from the nearer end, where fewer digits are lost
      const length = ends[m + 1] - ends[m], fromLeft = Math.abs(start) <= Math.abs(stop);
      const place = (fromLeft ? ends[m] : ends[m + 1]) + ((fromLeft ? start : stop) / (start - stop)) * length;
      const blur = Math.min(rounding[m * units + k] / Math.abs(slope[m * units + k]), length);
      found.push({ unit: k, place, blur: (blur || 0) + largest });
    }
  }
  return found.sort((a, b) => a.place - b.place || a.unit - b.unit);
}

/** The first index at which sorted values are not below a place. */
function firstNotBelow(values, place, low = 0, high = values.length) {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < place) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Cut pieces at the places of sign changes. @returns {[Float64Array, Float64Array]} z and slope on the new pieces */
function cut(lines, z, slope, units, found) {
  const { ends, most } = lines;
  const apart = [];
  for (const { unit, place, blur } of found) {
    // a place that rounding cannot tell from an end of a piece is that end; nor can it tell close places from each other
    const after = Math.min(Math.max(firstNotBelow(ends, place), 1), ends.length - 1);
    const nearest = ends[after] - place < place - ends[after - 1] ? after : after - 1;
    if (Math.abs(ends[nearest] - place) <= blur) z[nearest * units + unit] = 0;
    else {
      const last = apart[apart.length - 1];
      if (last && place - last.latest <= Math.max(blur, last.blur)) (last.units.push(unit), (last.latest = place), (last.blur = blur));
      else apart.push({ place, latest: place, blur, units: [unit] });
    }
  }
  const room = Math.max(0, most - ends.length + 1);
  let places = apart;
  if (apart.length > room) {
    lines.capped = true;
    places = room ? Array.from({ length: room }, (_, i) => apart[Math.round((i * (apart.length - 1)) / Math.max(1, room - 1))]) : [];
  }
  if (!places.length) return [z, slope];
  const count = ends.length + places.length, moved = new Int32Array(ends.length);
  const newEnds = new Float64Array(count), newZ = new Float64Array(count * units), newSlope = new Float64Array((count - 1) * units);
  let to = 0, next = 0;
  for (let m = 0; m < ends.length; m++) {
    moved[m] = to;
    newEnds[to] = ends[m];
    newZ.set(z.subarray(m * units, (m + 1) * units), to * units);
    if (m === ends.length - 1) break;
    const onPiece = slope.subarray(m * units, (m + 1) * units);
    newSlope.set(onPiece, to * units);
    for (to += 1; next < places.length && places[next].place < ends[m + 1]; next++, to++) {
      const { place, units: crossing } = places[next], part = (place - ends[m]) / (ends[m + 1] - ends[m]);
      newEnds[to] = place;
      for (let k = 0; k < units; k++) newZ[to * units + k] = z[m * units + k] * (1 - part) + z[(m + 1) * units + k] * part;
      for (const k of crossing) newZ[to * units + k] = 0;
      newSlope.set(onPiece, to * units);
    }
  }
  for (const crossing of lines.crossings) crossing.end = moved[crossing.end];
  lines.ends = newEnds;
  return [newZ, newSlope];
}

/**
 * A place where f bends; layer and unit are those of the unit that changes between z > 0 and z <= 0 there.
 * @typedef {{x: number, value: number, jump: number, after: number, layer: number, unit: number}} Kink jump: of f', after: f' after it
 */

/**
 * The kinks of f between two places: where f' jumps by more than a tiny part of its total variation. A kink at which units of several
 * layers change belongs to the lowest.
 * @param {Pieces} pieces
 * @returns {Kink[]} from left to right; layer 0 for a kink of no unit
 */
export function kinksOf({ ends, value, slope, crossings }, low = -Infinity, high = Infinity) {
  let variation = 0;
  for (let m = 1; m < slope.length; m++) variation += Math.abs(slope[m] - slope[m - 1]);
  const found = [];
  for (let m = 1, c = 0; m < slope.length; m++) {
    while (c < crossings.length && crossings[c].end < m) c++;
    const jump = slope[m] - slope[m - 1];
    if (!(Math.abs(jump) > SMALLEST_JUMP * variation) || !(ends[m] >= low && ends[m] <= high)) continue;
    const owner = crossings[c]?.end === m ? crossings[c] : { layer: 0, unit: 0 };
    found.push({ x: ends[m], value: value[m], jump, after: slope[m], layer: owner.layer, unit: owner.unit });
  }
  return found;
}

/** The places where the pre-activation of a unit, counted through all layers, changes its sign. @param {Pieces} pieces */
export function crossingsOf(architecture, { ends, crossings }, index) {
  const { layer, unit } = placeOfUnit(architecture, index);
  return crossings.filter((one) => one.layer === layer && one.unit === unit).map(({ end }) => ends[end]);
}

/** The same function on another interval: the first and the last piece go on beyond the ends. @param {Pieces} pieces */
export function piecesOn({ ends, value, slope, crossings, capped }, low, high) {
  const inner = Array.from(ends.keys()).filter((m) => m > 0 && m < ends.length - 1 && ends[m] > low && ends[m] < high), first = inner[0] ?? firstNotBelow(ends, low, 1, ends.length - 1);
  const [atLow, atHigh] = valuesOn({ ends, value, slope }, [low, high]), moved = new Map(inner.map((m, i) => [m, i + 1]));
  return {
    ends: Float64Array.of(low, ...inner.map((m) => ends[m]), high),
    value: Float64Array.of(atLow, ...inner.map((m) => value[m]), atHigh),
    slope: Float64Array.of(slope[first - 1], ...inner.map((m) => slope[m])),
    crossings: crossings.filter(({ end }) => moved.has(end)).map((one) => ({ ...one, end: moved.get(one.end) })),
    capped,
  };
}

/** The function of the user's x, from the one as trained. @param {Pieces} pieces */
export const piecesInUserUnits = (pieces, { userX, userY, userSlope }) => ({ ...pieces, ends: pieces.ends.map(userX), value: pieces.value.map(userY), slope: pieces.slope.map(userSlope) });

/** f at sorted or unsorted places; outside the interval the first and the last piece go on. @param {Pieces} pieces */
export function valuesOn({ ends, value, slope }, x) {
  const last = slope.length - 1;
  return Float64Array.from(x, (place) => {
    const m = Math.min(last, Math.max(0, firstNotBelow(ends, place) - 1));
    const nearest = place - ends[m] <= ends[m + 1] - place ? m : m + 1;
    return value[nearest] + slope[m] * (place - ends[nearest]);
  });
}
