// The kinks of a chain from snapshot to snapshot: which of them is the same kink, which appear and which disappear.

/**
 * Pair two sorted lists of places in their order, so that the sum of the distances is least. A place may stay without a
 * partner, which costs half the limit; so no pair is farther apart than the limit.
 * @returns {[number|null, number|null][]} indices in both lists
 */
export function alignPlaces(before, after, limit) {
  const n = before.length, m = after.length, width = m + 1, cost = new Float64Array((n + 1) * width);
  for (let i = 1; i <= n; i++) cost[i * width] = (i * limit) / 2;
  for (let j = 1; j <= m; j++) cost[j] = (j * limit) / 2;
  const paired = (i, j) => cost[(i - 1) * width + j - 1] + Math.abs(before[i - 1] - after[j - 1]);
  const alone = (i, j) => limit / 2 + Math.min(cost[(i - 1) * width + j], cost[i * width + j - 1]);
  for (let i = 1; i <= n; i++) for (let j = 1; j <= m; j++) cost[i * width + j] = Math.min(paired(i, j), alone(i, j));
  const pairs = [];
  for (let i = n, j = m; i || j; ) {
    if (i && j && paired(i, j) <= alone(i, j)) pairs.push([--i, --j]);
    else if (j && (!i || cost[i * width + j - 1] <= cost[(i - 1) * width + j])) pairs.push([null, --j]);
    else pairs.push([--i, null]);
  }
  return pairs.reverse();
}

/** The places of kinks by their unit: a number for layer and unit -> places from left to right. */
export function placesByUnit(kinks) {
  const found = new Map();
  for (const { x, layer, unit } of kinks) {
    const key = unitKey(layer, unit);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(x);
  }
  return found;
}

const LAYERS = 4096;
const unitKey = (layer, unit) => unit * LAYERS + layer;
export const layerOf = (key) => key % LAYERS;
export const unitOf = (key) => Math.floor(key / LAYERS);

/** The places of the kinks of one unit. @param {Map<number, number[]>} byUnit */
export const placesOfUnit = (byUnit, layer, unit) => byUnit.get(unitKey(layer, unit)) ?? [];

/**
 * Call one of three functions for each kink of two snapshots: `move(key, from, to)` where it is in both, `birth(key, to)` and
 * `death(key, from)`. A kink remains with its unit.
 * @param {Map<number, number[]>} before as placesByUnit gives them
 */
export function followKinks(before, after, limit, { move, birth, death }) {
  const none = [];
  for (const key of new Set([...before.keys(), ...after.keys()])) {
    const from = before.get(key) ?? none, to = after.get(key) ?? none;
    for (const [i, j] of alignPlaces(from, to, limit)) {
      if (i === null) birth(key, to[j]);
      else if (j === null) death(key, from[i]);
      else move(key, from[i], to[j]);
    }
  }
}
