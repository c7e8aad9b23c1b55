// A canvas with axes. One Plot for each canvas; it knows pixels and scales, and nothing of runs.

import { tick } from "./format.js";

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

/** Steps of 1, 2 or 5 times a power of ten. @returns {{values: number[], step: number}} */
export function ticks(low, high, most) {
  const span = high - low;
  if (!(span > 0) || !Number.isFinite(span)) return { values: [], step: 1 };
  const rough = span / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= rough * 0.999);
  const values = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) values.push(i * step);
  return { values, step };
}

/** The power or 1-2-5 number at or below a positive value. */
export function round125(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [5, 2, 1].find((m) => m * power <= value * 1.0001);
}

/** A scale: f maps a value to 0..1, g back. */
export const linear = (low, high) => ({
  low, high,
  f: (v) => (v - low) / (high - low),
  g: (t) => low + t * (high - low),
  marks: (most) => {
    const { values, step } = ticks(low, high, most);
    return values.map((value) => ({ value, label: tick(value, step) }));
  },
});

export function logarithmic(low, high) {
  const a = Math.log10(low), b = Math.log10(high);
  return {
    low, high,
    f: (v) => (Math.log10(v) - a) / (b - a),
    g: (t) => 10 ** (a + t * (b - a)),
    marks: (most) => decades(a, b, most),
  };
}

function decades(a, b, most) {
  const first = Math.ceil(a - 1e-9), last = Math.floor(b + 1e-9);
  const every = Math.max(1, Math.ceil((last - first + 1) / most));
  const marks = [];
  if (b - a < 0.7) {
    const { values, step } = ticks(10 ** a, 10 ** b, most);
    return values.filter((value) => value > 0).map((value) => ({ value, label: tick(value, step) }));
  }
  const multiples = (b - a) * 3 <= most ? [1, 2, 5] : [1];
  for (let e = first - 1; e <= last; e++) {
    if (multiples.length === 1 && (e - first) % every) continue;
    for (const m of multiples) {
      const value = m * 10 ** e;
      if (Math.log10(value) >= a - 1e-9 && Math.log10(value) <= b + 1e-9) marks.push({ value, label: tick(value, 10 ** e) });
    }
  }
  return marks;
}

/** Linear near 0, logarithmic far from it; symmetrical, 0 in the middle. */
export function asinhScale(unit, steepest) {
  const reach = Math.asinh(steepest);
  return {
    low: -steepest * unit, high: steepest * unit,
    f: (v) => 0.5 + 0.5 * Math.max(-0.97, Math.min(0.97, Math.asinh(v / unit) / reach)),
    g: (t) => unit * Math.sinh((2 * t - 1) * reach),
    marks: (most) => {
      const powers = most < 5 ? [10] : [1, 10, 100];
      const values = powers.filter((p) => p <= steepest * 0.5).flatMap((p) => [-p * unit, p * unit]);
      return [0, ...values].map((value) => ({ value, label: tick(value, Math.abs(value) || 1) }));
    },
  };
}

export class Plot {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.ctx = canvas.getContext("2d");
    this.margin = { left: 52, right: 14, top: 10, bottom: 22 };
    this.colours = null;
    this.layers = new Map();
    this.width = this.height = 0;
    this.zoom = 1;
  }

  /** Take the size that the layout gives, at the screen's own resolution. @returns {boolean} whether it has changed */
  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    const zoom = largeness();
    const ratio = Math.max(1, window.devicePixelRatio || 1) * zoom;
    const [width, height] = [clientWidth / zoom, clientHeight / zoom];
    const changed = width !== this.width || height !== this.height || ratio !== this.ratio;
    if (changed) {
      Object.assign(this, { width, height, ratio, zoom });
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.ctx.reluvizFont = null;
      this.layers.clear();
    }
    return changed;
  }

  get visible() {
    return this.width > 60 && this.height > 40;
  }

  get area() {
    const { left, right, top, bottom } = this.margin;
    return { left, top, right: this.width - right, bottom: this.height - bottom };
  }

  /** Use these scales from now on. */
  scales(x, y) {
    const { left, right, top, bottom } = this.area;
    this.sx = x;
    this.sy = y;
    this.X = (v) => left + x.f(v) * (right - left);
    this.Y = (v) => bottom - y.f(v) * (bottom - top);
    this.fromX = (px) => x.g((px - left) / (right - left));
    this.fromY = (py) => y.g((bottom - py) / (bottom - top));
  }

  begin(colours) {
    this.colours = colours;
    this.ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.ctx.clearRect(0, 0, this.width, this.height);
    this.ctx.lineJoin = "round";
    this.ctx.lineCap = "butt";
  }

  /** Draw what rarely changes once, and copy it in each frame. @param {string} key changes when the drawing does */
  layer(name, key, draw) {
    this.growing(name, key, 0, (from) => {
      if (from === null) draw();
    });
  }

  /**
   * A layer that is added to: `draw` gets the place up to which it has been drawn, null for nothing at all.
   * @param {number} to the place up to which it is to be drawn now
   */
  growing(name, key, to, draw) {
    let kept = this.layers.get(name);
    if (!kept || kept.key !== key || kept.to > to) {
      const canvas = kept?.canvas ?? document.createElement("canvas");
      // also clears it
      canvas.width = this.canvas.width;
      canvas.height = this.canvas.height;
      kept = { key, canvas, to: null };
      this.layers.set(name, kept);
    }
    if (kept.to === null || kept.to < to) {
      const own = this.ctx;
      this.ctx = kept.canvas.getContext("2d");
      this.ctx.reluvizFont = null;
      this.ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      this.ctx.lineJoin = "round";
      try {
        draw(kept.to);
      } finally {
        this.ctx = own;
      }
      kept.to = to;
    }
    const { canvas } = kept;
    this.ctx.save();
    this.ctx.setTransform(1, 0, 0, 1, 0, 0);
    this.ctx.drawImage(canvas, 0, 0);
    this.ctx.restore();
  }

  /** Thin axes: a light grid, and numbers outside. */
  axes({ xLabel = "", yLabel = "", xTicks = true, yTicks = true, zero = false, xMost, yMost } = {}) {
    const { ctx, colours } = this;
    const { left, right, top, bottom } = this.area;
    ctx.lineWidth = 1;
    const xs = this.sx.marks(xMost ?? Math.max(2, Math.floor((right - left) / 78)));
    const ys = this.sy.marks(yMost ?? Math.max(2, Math.floor((bottom - top) / 38)));
    ctx.strokeStyle = colours.grid;
    ctx.beginPath();
    for (const { value } of xs) this.#line(crisp(this.X(value)), top, crisp(this.X(value)), bottom);
    for (const { value } of ys) this.#line(left, crisp(this.Y(value)), right, crisp(this.Y(value)));
    ctx.stroke();
    if (zero && this.sy.f(0) >= 0 && this.sy.f(0) <= 1) {
      ctx.strokeStyle = colours.zero;
      ctx.beginPath();
      this.#line(left, crisp(this.Y(0)), right, crisp(this.Y(0)));
      ctx.stroke();
    }
    let end = right;
    if (xTicks) {
      let free = -Infinity;
      for (const { value, label } of xs) {
        const x = this.X(value), half = this.measure(label) / 2;
        if (x - half < free || x + half > this.width) continue;
        this.text(label, x, bottom + 14, { align: "center" });
        free = x + half + 8;
        end = Math.max(end, x + half);
      }
    }
    if (yTicks) {
      let free = Infinity;
      const marks = ys.map(({ value, label }) => ({ y: this.Y(value), label }));
      for (const { y, label } of marks.sort((a, b) => b.y - a.y)) {
        if (y > free - 11 || y < top - 2 || y > bottom + 2) continue;
        this.text(label, left - 7, y + 3.5, { align: "right" });
        free = y;
      }
    }
    if (xLabel) this.text(xLabel, Math.min(end + 8, this.width - this.measure(xLabel)), bottom + 14, { italic: xLabel.length === 1 });
    if (yLabel) this.text(yLabel, left + 5, top + 10, { halo: true });
  }

  #line(x1, y1, x2, y2) {
    this.ctx.moveTo(x1, y1);
    this.ctx.lineTo(x2, y2);
  }

  /** Draw only within the axes. */
  clipped(draw) {
    const { left, right, top, bottom } = this.area;
    this.ctx.save();
    this.ctx.beginPath();
    this.ctx.rect(left, top, right - left, bottom - top);
    this.ctx.clip();
    draw();
    this.ctx.restore();
  }

  /** A line through points in data coordinates; gaps where a value is not finite. */
  line(x, y, { colour, width = 1.5, dash = [], alpha = 1 }) {
    const { ctx } = this;
    ctx.beginPath();
    let pen = false;
    const limit = 1e5;
    for (let i = 0; i < x.length; i++) {
      const px = this.X(x[i]), py = Math.max(-limit, Math.min(limit, this.Y(y[i])));
      if (!(px === px && py === py)) {
        pen = false;
        continue;
      }
      if (pen) ctx.lineTo(px, py);
      else ctx.moveTo(px, py);
      pen = true;
    }
    this.stroke({ colour, width, dash, alpha });
  }

  stroke({ colour, width = 1, dash = [], alpha = 1 }) {
    const { ctx } = this;
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.globalAlpha = alpha;
    ctx.setLineDash(dash);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.globalAlpha = 1;
  }

  segment(x1, y1, x2, y2, style) {
    this.ctx.beginPath();
    this.#line(x1, y1, x2, y2);
    this.stroke(style);
  }

  disc(x, y, radius, { fill = null, edge = null, width = 1.2, alpha = 1 }) {
    const { ctx } = this;
    ctx.globalAlpha = alpha;
    ctx.beginPath();
    ctx.arc(x, y, radius, 0, 2 * Math.PI);
    if (fill) (ctx.fillStyle = fill), ctx.fill();
    if (edge) (ctx.strokeStyle = edge), (ctx.lineWidth = width), ctx.stroke();
    ctx.globalAlpha = 1;
  }

  /** A triangle that points right (side > 0), left, or a small square where there is no side. */
  triangle(x, y, side, radius, { fill, edge, width = 1.3, alpha = 1 }) {
    const { ctx } = this;
    ctx.globalAlpha = alpha;
    ctx.beginPath();
    if (side === 0) ctx.rect(x - radius * 0.7, y - radius * 0.7, radius * 1.4, radius * 1.4);
    else {
      const s = Math.sign(side) * radius;
      ctx.moveTo(x + s, y);
      ctx.lineTo(x - s * 0.7, y - radius);
      ctx.lineTo(x - s * 0.7, y + radius);
      ctx.closePath();
    }
    ctx.fillStyle = fill;
    ctx.fill();
    ctx.strokeStyle = edge;
    ctx.lineWidth = width;
    ctx.stroke();
    ctx.globalAlpha = 1;
  }

  arrow(x, y, dx, dy, { colour, width = 1.6 }) {
    const length = Math.hypot(dx, dy);
    if (!(length > 1)) return;
    const { ctx } = this;
    const [ux, uy] = [dx / length, dy / length];
    const head = Math.min(6, length * 0.6);
    const [ex, ey] = [x + dx, y + dy];
    this.segment(x, y, ex - ux * head * 0.8, ey - uy * head * 0.8, { colour, width });
    ctx.beginPath();
    ctx.moveTo(ex, ey);
    ctx.lineTo(ex - ux * head - uy * head * 0.5, ey - uy * head + ux * head * 0.5);
    ctx.lineTo(ex - ux * head + uy * head * 0.5, ey - uy * head - ux * head * 0.5);
    ctx.closePath();
    ctx.fillStyle = colour;
    ctx.fill();
  }

  measure(text, size = 11) {
    this.#font(`${size}px ${FONT}`);
    return this.ctx.measureText(text).width;
  }

  /** Setting a font is slow, also when it is the one that is set. */
  #font(font) {
    if (this.ctx.reluvizFont === font) return;
    this.ctx.font = font;
    this.ctx.reluvizFont = font;
  }

  text(text, x, y, { align = "left", colour = this.colours.soft, size = 11, bold = false, italic = false, halo = false } = {}) {
    const { ctx } = this;
    this.#font(`${italic ? "italic " : ""}${bold ? "600 " : ""}${size}px ${FONT}`);
    ctx.textAlign = align;
    if (halo) {
      ctx.lineWidth = 4;
      ctx.strokeStyle = this.colours.paper;
      ctx.strokeText(text, x, y);
    }
    ctx.fillStyle = colour;
    ctx.fillText(text, x, y);
  }

  /** Words in the middle, where there is nothing to draw. */
  message(text) {
    this.text(text, (this.area.left + this.area.right) / 2, (this.area.top + this.area.bottom) / 2, { align: "center", size: 12.5 });
  }
}

/** On a very large window everything is drawn larger, type included. */
export function largeness() {
  const { innerWidth, innerHeight } = window;
  if (document.documentElement.classList.contains("printing")) return 1;
  return innerWidth >= 2400 && innerHeight >= 1200 ? Math.min(2.5, innerWidth / 2100) : 1;
}

/** A coordinate on which a line of one pixel is sharp. */
export const crisp = (v) => Math.round(v) + 0.5;

/** Labels at a plot's right edge, moved apart so that they do not overlap. @param {{y: number}[]} labels */
export function spreadLabels(labels, top, bottom, gap = 14) {
  labels.sort((a, b) => a.y - b.y);
  for (let i = 0; i < labels.length; i++) labels[i].y = Math.max(labels[i].y, i ? labels[i - 1].y + gap : top);
  let limit = bottom;
  for (let i = labels.length - 1; i >= 0; i--) {
    labels[i].y = Math.min(labels[i].y, limit);
    limit = labels[i].y - gap;
  }
  return labels;
}

/** The limits of some numbers with a margin; never empty. */
export function span(values, pad = 0.06) {
  let low = Infinity, high = -Infinity;
  for (const v of values) if (Number.isFinite(v)) (low = Math.min(low, v)), (high = Math.max(high, v));
  if (low > high) return [-1, 1];
  if (low === high) return [low - 0.5 * (Math.abs(low) || 1), high + 0.5 * (Math.abs(high) || 1)];
  return [low - pad * (high - low), high + pad * (high - low)];
}
