// Triangles that coincide, drawn as a fan, so that each can be seen and picked; with their number.

/** Triangles within this distance in x and in y coincide, in pixels. */
const NEAR = 1.5;
/** The distance of neighbours in a fan, and the height of a fan of many. */
const STEP = 5, MAX_HEIGHT = 20;
const MAX_NAMED = 8;

/**
 * Move places that coincide apart, upwards, or downwards below `top`; each of them gets `fan`, the units of its fan.
 * @param {{k: number, x: number, y: number, fan?: number[]}[]} places in pixels; y is changed
 * @returns {{k: number, x: number, y: number}[][]} the fans
 */
export function fanOut(places, top) {
  const groups = [];
  for (const place of [...places].sort((a, b) => a.x - b.x)) {
    let i = groups.length - 1;
    while (i >= 0 && place.x - groups[i][0].x <= NEAR && Math.abs(place.y - groups[i][0].y) > NEAR) i -= 1;
    if (i >= 0 && place.x - groups[i][0].x <= NEAR) groups[i].push(place);
    else groups.push([place]);
  }
  const fans = groups.filter((group) => group.length > 1);
  for (const fan of fans) {
    fan.sort((a, b) => a.k - b.k);
    const height = Math.min(MAX_HEIGHT, STEP * (fan.length - 1)), step = height / (fan.length - 1);
    const units = fan.map(({ k }) => k), direction = fan[0].y - height < top ? 1 : -1;
    fan.forEach((place, j) => {
      place.fan = units;
      place.y += direction * step * j;
    });
  }
  return fans;
}

/**
 * Write the number of its triangles beside each fan, as long as the numbers do not overlap.
 * @param {import("./plot.js").Plot} plot
 * @param {number} lift the height of what is drawn there already
 */
export function writeNumbers(plot, fans, lift) {
  let free = -Infinity;
  for (const fan of fans) {
    const { x } = fan[0], text = String(fan.length), onLeft = x + 8 + plot.measure(text, 10) > plot.width;
    if (!onLeft && x + 8 < free) continue;
    plot.text(text, onLeft ? x - 8 : x + 8, Math.min(...fan.map(({ y }) => y)) - 2 - lift, { size: 10, bold: true, halo: true, align: onLeft ? "right" : "left", colour: plot.colours.ink });
    if (!onLeft) free = x + 10 + plot.measure(text, 10);
  }
}

/**
 * The unit nearest to the pointer, or null; of a fan that holds the selected unit, that one.
 * @param {(place: object) => number} distance of a place from the pointer
 */
export function unitNear(places, distance, radius, selected) {
  let best = null, nearest = radius;
  for (const place of places) {
    const d = distance(place);
    if (d < nearest) (nearest = d), (best = place);
  }
  return best?.fan?.includes(selected) ? selected : best?.k ?? null;
}

const fanOf = (places, k) => places.find((place) => place.k === k)?.fan;

/** The unit that a click on the selected unit selects: the next of its fan, or itself. */
export function nextInFan(places, k) {
  const fan = fanOf(places, k);
  return fan ? fan[(fan.indexOf(k) + 1) % fan.length] : k;
}

/** A line of the tooltip: which units coincide. */
export function fanNote(places, k) {
  const fan = fanOf(places, k);
  return fan ? [`${fan.length} units here: ${fan.slice(0, MAX_NAMED).join(", ")}${fan.length > MAX_NAMED ? ", …" : ""}; click again for the next`] : [];
}
