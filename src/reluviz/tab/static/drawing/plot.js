// A canvas with axes. Each canvas has one Plot, which knows pixels and scales, and no runs.

import { number } from "./format.js";
import { readable } from "./theme.js";

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

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

  /** Set the canvas to its size in the layout, at the screen's resolution. @returns {boolean} whether the size has changed */
  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    const zoom = pageZoom();
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

  /** The indices of the snapshots to draw where time runs downwards: one for each row of pixels. @param {ArrayLike<number>} updates */
  snapshotRows(updates) {
    const { top, bottom } = this.area, rows = [];
    let last = -Infinity;
    for (let s = 0; s < updates.length; s++) {
      const y = this.Y(updates[s]);
      if (y - last < 0.9 && s < updates.length - 1 && s > 0) continue;
      rows.push(s);
      last = y;
    }
    return bottom > top ? rows : [];
  }

  get area() {
    const { left, right, top, bottom } = this.margin;
    return { left, top, right: this.width - right, bottom: this.height - bottom };
  }

  /** Set the scales. */
  scales(x, y) {
    const { left, right, top, bottom } = this.area;
    this.xScale = x;
    this.yScale = y;
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

  /** A cached drawing: drawn once for each key and copied in each frame. @param {string} key changes when the drawing must change */
  layer(name, key, draw) {
    this.incrementalLayer(name, key, 0, (from) => {
      if (from === null) draw();
    });
  }

  /**
   * A cached drawing that grows: `draw` gets the position up to which it is already drawn, null if it is empty.
   * @param {number} to the position up to which it must be drawn now
   */
  incrementalLayer(name, key, to, draw) {
    let cached = this.layers.get(name);
    if (!cached || cached.key !== key || cached.to > to) {
      const canvas = cached?.canvas ?? document.createElement("canvas");
      // setting the size also clears the canvas
      canvas.width = this.canvas.width;
      canvas.height = this.canvas.height;
      cached = { key, canvas, to: null };
      this.layers.set(name, cached);
    }
    if (cached.to === null || cached.to < to) {
      const mainContext = this.ctx;
      this.ctx = cached.canvas.getContext("2d");
      this.ctx.reluvizFont = null;
      this.ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      this.ctx.lineJoin = "round";
      try {
        draw(cached.to);
      } finally {
        this.ctx = mainContext;
      }
      cached.to = to;
    }
    const { canvas } = cached;
    this.ctx.save();
    this.ctx.setTransform(1, 0, 0, 1, 0, 0);
    this.ctx.drawImage(canvas, 0, 0);
    this.ctx.restore();
  }

  /**
   * Draw axes: a light grid, with the numbers outside, and a line at the height `zero` if there is one. The name of the
   * vertical axis stands in the margin, which begins at `edge`.
   */
  axes({ xLabel = "", yName = "", edge = 0, xTicks = true, yTicks = true, zero = null, maxXTicks, maxYTicks } = {}) {
    const { ctx, colours } = this;
    const { left, right, top, bottom } = this.area;
    ctx.lineWidth = 1;
    const xs = this.xScale.ticks(maxXTicks ?? Math.max(2, Math.floor((right - left) / 78)));
    const ys = this.yScale.ticks(maxYTicks ?? Math.max(2, Math.floor((bottom - top) / 38)));
    ctx.strokeStyle = colours.grid;
    ctx.beginPath();
    for (const { value } of xs) this.#line(crisp(this.X(value)), top, crisp(this.X(value)), bottom);
    for (const { value } of ys) this.#line(left, crisp(this.Y(value)), right, crisp(this.Y(value)));
    ctx.stroke();
    if (zero !== null && this.yScale.f(zero) >= 0 && this.yScale.f(zero) <= 1) {
      ctx.strokeStyle = colours.zero;
      ctx.beginPath();
      this.#line(left, crisp(this.Y(zero)), right, crisp(this.Y(zero)));
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
    const numbers = [];
    if (yTicks) {
      let free = Infinity;
      const labels = ys.map(({ value, label }) => ({ y: this.Y(value), label }));
      for (const { y, label } of labels.sort((a, b) => b.y - a.y)) {
        if (y > free - 11 || y < top - 2 || y > bottom + 2) continue;
        numbers.push({ y, label });
        free = y;
      }
    }
    const differences = (name, offset) => `${name} − ${number(offset, 15)}`;
    if (xTicks && this.xScale.offset) this.text(differences("x", this.xScale.offset), right - 4, bottom - 6, { align: "right", halo: true });
    this.yAxis(numbers, yTicks && this.yScale.offset ? differences(yName, this.yScale.offset) : yName, edge);
    if (xLabel) this.text(xLabel, Math.min(end + 8, this.width - this.measure(xLabel)), bottom + 14, { italic: xLabel.length === 1 });
  }

  /** Write the numbers of the vertical axis and its name: beside the numbers if it fits there, else inside the axes. */
  yAxis(numbers, name, edge = 0) {
    const { left, top, bottom } = this.area;
    const widths = numbers.map(({ label }) => this.measure(label)), length = this.measure(name);
    for (const { y, label } of numbers) this.text(label, left - 7, y + 3.5, { align: "right" });
    if (!name) return;
    const upright = name.length <= 2, width = upright ? length : 11;
    const room = left - 7 - Math.max(0, ...widths) - edge - width;
    const inside = room < 5 || (!upright && length > bottom - top);
    const x = inside ? left + 5 : edge + Math.min(8, room / 2), middle = (top + bottom) / 2;
    if (inside) this.text(name, x, top + 10, { halo: true, italic: upright });
    else if (upright) this.text(name, x, middle + 4, { italic: true });
    else {
      this.ctx.save();
      this.ctx.translate(x + 9, middle);
      this.ctx.rotate(-Math.PI / 2);
      this.text(name, 0, 0, { align: "center" });
      this.ctx.restore();
    }
    const half = upright || inside ? 6 : length / 2;
    this.yName = { name, inside, left: x, right: x + (inside ? length : width), top: (inside ? top + 6 : middle) - half, bottom: (inside ? top + 6 : middle) + half };
    this.yNumbers = numbers.map(({ y }, i) => ({ left: left - 7 - widths[i], right: left - 7, top: y - 6, bottom: y + 6 }));
  }

  #line(x1, y1, x2, y2) {
    this.ctx.moveTo(x1, y1);
    this.ctx.lineTo(x2, y2);
  }

  /** Call `draw` with drawing clipped to the area inside the axes. */
  clipped(draw) {
    const { left, right, top, bottom } = this.area;
    this.ctx.save();
    this.ctx.beginPath();
    this.ctx.rect(left, top, right - left, bottom - top);
    this.ctx.clip();
    draw();
    this.ctx.restore();
  }

  /** Draw a line through points in data coordinates, with gaps where a value is not finite. */
  line(x, y, { colour, width = 1.5, dash = [], alpha = 1 }) {
    const { ctx } = this;
    ctx.beginPath();
    let drawing = false;
    const limit = 1e5;
    for (let i = 0; i < x.length; i++) {
      const px = this.X(x[i]), py = Math.max(-limit, Math.min(limit, this.Y(y[i])));
      if (!(px === px && py === py)) {
        drawing = false;
        continue;
      }
      if (drawing) ctx.lineTo(px, py);
      else ctx.moveTo(px, py);
      drawing = true;
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

  /** Draw a triangle that points right (side > 0) or left (side < 0), or a small square if side is 0. */
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

  /** Draw markers as one path: 0 discs, 1 squares, 2 diamonds, 3 triangles that point up, 4 pluses. @param {{x: number, y: number}[]} places */
  markers(which, places, radius, { fill, edge, width = 1 }) {
    const { ctx } = this, s = radius * [1, 0.9, 1.25, 1.2, 1.2][which], t = s / 3;
    const corners = [null, [[-s, -s], [s, -s], [s, s], [-s, s]], [[0, -s], [s, 0], [0, s], [-s, 0]], [[0, -s], [s, s * 0.8], [-s, s * 0.8]],
      [[-t, -s], [t, -s], [t, -t], [s, -t], [s, t], [t, t], [t, s], [-t, s], [-t, t], [-s, t], [-s, -t], [-t, -t]]][which];
    ctx.beginPath();
    for (const { x, y } of places) {
      if (corners) corners.forEach(([dx, dy], i) => ctx[i ? "lineTo" : "moveTo"](x + dx, y + dy));
      else ctx.moveTo(x + s, y), ctx.arc(x, y, s, 0, 2 * Math.PI);
      ctx.closePath();
    }
    ctx.fillStyle = fill;
    ctx.fill();
    ctx.strokeStyle = edge;
    ctx.lineWidth = width;
    ctx.stroke();
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

  measure(text, size = 11, bold = false) {
    this.#font(`${bold ? "600 " : ""}${size}px ${FONT}`);
    return this.ctx.measureText(text).width;
  }

  /** Set the font if it differs; setting it is slow even if it is the same. */
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
    ctx.fillStyle = readable(colour, this.colours.paper);
    ctx.fillText(text, x, y);
  }

  /** Write the label of a line at the right of the axes; where it does not fit, it begins inside them. */
  rightLabel(text, y, style, beside = this.area.right + 6) {
    const x = Math.min(beside, this.width - 2 - this.measure(text, 11, style.bold));
    this.text(text, x, y, { ...style, halo: x < beside });
  }

  /** Write a text in the middle of an empty plot. */
  message(text) {
    this.text(text, (this.area.left + this.area.right) / 2, (this.area.top + this.area.bottom) / 2, { align: "center", size: 12.5 });
  }
}

/** The factor by which everything, text included, is enlarged in a very large window. */
export function pageZoom() {
  const { innerWidth, innerHeight } = window;
  if (document.documentElement.classList.contains("printing")) return 1;
  return innerWidth >= 2400 && innerHeight >= 1200 ? Math.min(2.5, innerWidth / 2100) : 1;
}

/** The nearest coordinate at which a line of one pixel is sharp. */
export const crisp = (v) => Math.round(v) + 0.5;

/** Move the labels at a plot's right edge so that they do not overlap. @param {{y: number}[]} labels */
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
