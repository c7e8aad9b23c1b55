// Colours: the palette of Okabe and Ito, as in reluviz/plots/style.py. Orange is positive or rightwards, blue negative or
// leftwards; side, height or shape always carries the same information. In each plot the two have one meaning, which its
// caption says in words of these colours. Runs have neither.

import { count } from "../core/count.js";

const LIGHT = {
  paper: "#ffffff", ink: "#1a1a1a", soft: "#5f5f5f", faint: "#a3a3a3", grid: "#ececec", point: "#8c8c8c", zero: "#c9c9c9",
  truth: "#009e73", plus: "#d55e00", minus: "#0072b2", neutral: "#b3b3b3", reference: "#8a5aa8", now: "#1a1a1a",
  ramp: ["#00568a", "#4a90c2", "#9c9c9c", "#e58a3c", "#b84a00"],
  runs: ["#1a1a1a", "#aa4499", "#7d7d00", "#8c5a4b"],
  layers: ["#332288", "#aa4499", "#8a6d00", "#a0341b", "#5f5f5f"],
};
const DARK = {
  paper: "#1e1f22", ink: "#f2f2f2", soft: "#b4b6ba", faint: "#777a80", grid: "#303237", point: "#8f9299", zero: "#50535a",
  truth: "#2cc79c", plus: "#ff8a3d", minus: "#5ab4f0", neutral: "#75787e", reference: "#c39be0", now: "#f2f2f2",
  ramp: ["#58b2f5", "#4b8dbd", "#8d9096", "#d98a4a", "#ff8f45"],
  runs: ["#f2f2f2", "#e58ad2", "#cfc94f", "#cfa08f"],
  layers: ["#a99bff", "#e58ad2", "#e0c34a", "#e8805c", "#b4b6ba"],
};

/** Dash patterns of the runs, which distinguish them in print as their colours do on the screen. */
export const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3]];

export const palette = (dark) => (dark ? DARK : LIGHT);

/** The markers of hidden layers 1, 2, ..., as text; `Plot.marker` draws them. */
const LAYER_MARKERS = ["●", "■", "◆", "▲", "✚"];
const LAST_LAYER = LAYER_MARKERS.length;

/** The style of the kinks of a layer, counted from 1: colour, number of the marker from 0, and its text. The last style is that of all further layers. */
export function layerStyle(colours, layer) {
  const marker = Math.min(layer, LAST_LAYER) - 1;
  return { colour: colours.layers[marker], marker, text: LAYER_MARKERS[marker] };
}

/** The legend of kinks by layer, for setCaption. @param {number[]} counts of the kinks of each layer */
export function kinkLegend(colours, counts) {
  const shown = counts.slice(0, LAST_LAYER).map((_, l) => (l < LAST_LAYER - 1 ? counts[l] : counts.slice(l).reduce((sum, n) => sum + n, 0)));
  const parts = shown.map((n, l) => {
    const { colour, text } = layerStyle(colours, l + 1);
    return [`${text} ${count(n)} of layer ${l + 1}${l === LAST_LAYER - 1 && counts.length > LAST_LAYER ? "+" : ""}`, colour];
  });
  return ["kinks: ", ...parts.flatMap((part, l) => (l ? [", ", part] : [part]))];
}

/** The legend of slope jumps, for setCaption. */
export const bendLegend = (colours) => ["elbows bend f ", ["up", colours.plus], " or ", ["down", colours.minus]];

const MIN_CONTRAST = 4.5;
const readableColours = new Map();

/** A colour for text: mixed with black or white until its contrast with the paper is enough (WCAG 2.1, 1.4.3). */
export function readable(colour, paper) {
  const key = colour + paper;
  if (!readableColours.has(key)) {
    const far = luminance(paper) > 0.18 ? "#000000" : "#ffffff";
    let mixture = colour;
    for (let t = 0.05; t < 1 && contrast(mixture, paper) < MIN_CONTRAST; t += 0.05) mixture = mix(colour, far, t);
    readableColours.set(key, mixture);
  }
  return readableColours.get(key);
}

/** The contrast of two colours, 1 to 21. */
export function contrast(a, b) {
  const [low, high] = [luminance(a), luminance(b)].sort((p, q) => p - q);
  return (high + 0.05) / (low + 0.05);
}

function luminance(colour) {
  const [r, g, b] = [1, 3, 5].map((i) => {
    const c = parseInt(colour.slice(i, i + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

const mixed = new Map();

/** The colour of a slope jump at position t of the asinh scale, -1 to 1; in 17 steps, so that lines can be batched. */
export function diverging(colours, t) {
  const step = Math.round((Math.max(-1, Math.min(1, t || 0)) + 1) * 8);
  const key = colours.ramp[0] + step;
  if (!mixed.has(key)) {
    const position = (step / 16) * 4, i = Math.min(3, Math.floor(position));
    mixed.set(key, mix(colours.ramp[i], colours.ramp[i + 1], position - i));
  }
  return mixed.get(key);
}

function mix(a, b, t) {
  const channel = (i) => {
    const [p, q] = [a, b].map((c) => parseInt(c.slice(i, i + 2), 16));
    return Math.round(p + (q - p) * t).toString(16).padStart(2, "0");
  };
  return `#${channel(1)}${channel(3)}${channel(5)}`;
}

/** A colour with an opacity. */
export const faded = (colour, alpha) =>
  colour + Math.round(alpha * 255).toString(16).padStart(2, "0");
