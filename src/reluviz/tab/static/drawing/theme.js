// Colours: the palette of Okabe and Ito, as in reluviz/plots/style.py. Orange is positive or rightwards, blue negative or
// leftwards; side, height or shape always carries the same information.

const LIGHT = {
  paper: "#ffffff", ink: "#1a1a1a", soft: "#5f5f5f", faint: "#a3a3a3", grid: "#ececec", point: "#8c8c8c", zero: "#c9c9c9",
  truth: "#009e73", plus: "#d55e00", minus: "#0072b2", neutral: "#b3b3b3", reference: "#8a5aa8", now: "#1a1a1a",
  ramp: ["#00568a", "#4a90c2", "#9c9c9c", "#e58a3c", "#b84a00"],
  runs: ["#1a1a1a", "#aa4499", "#2f9fd8", "#b98a00"],
};
const DARK = {
  paper: "#1e1f22", ink: "#f2f2f2", soft: "#b4b6ba", faint: "#777a80", grid: "#303237", point: "#8f9299", zero: "#50535a",
  truth: "#2cc79c", plus: "#ff8a3d", minus: "#5ab4f0", neutral: "#75787e", reference: "#c39be0", now: "#f2f2f2",
  ramp: ["#58b2f5", "#4b8dbd", "#8d9096", "#d98a4a", "#ff8f45"],
  runs: ["#f2f2f2", "#e58ad2", "#6cc5f5", "#e3b93c"],
};

/** Dash patterns of the runs, which distinguish them in print as their colours do on the screen. */
export const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3]];

export const palette = (dark) => (dark ? DARK : LIGHT);

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
