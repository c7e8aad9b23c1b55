// The panel "The units by layer" of a chain: a row of markers for each layer, from which a unit is selected.

import { BENT, DEAD } from "../core/elbows.js";
import { indexOfUnit } from "../core/models/architecture.js";
import { h, setCaption } from "../drawing/dom.js";
import { Plot } from "../drawing/plot.js";
import { addPointerListeners } from "../drawing/pointer.js";
import { layerStyle } from "../drawing/theme.js";

const LABEL_WIDTH = 56, LARGEST = 6, NARROWEST = 7.5, HIT_RADIUS = 14;

export class UnitsByLayerView {
  constructor(app) {
    this.app = app;
    this.caption = h("p");
    const canvas = h("canvas", { "aria-label": "The hidden units, a row for each layer" });
    this.element = h("section.card.units-by-layer", {}, h("header", {}, h("h2", { text: "The units by layer" }), this.caption), canvas);
    this.plot = new Plot(canvas);
    this.places = [];
    addPointerListeners(canvas, this);
  }

  draw() {
    const { state, colours } = this.app;
    const { plot } = this, now = state.now();
    plot.begin(colours);
    this.places = [];
    const architecture = now?.run.model.architecture;
    if (!plot.visible || !architecture) return;
    setCaption(this.caption, [`${this.app.runPrefix()}hollow: linear on the data, ×: dead; click one`], colours);
    const { hidden } = architecture, { width, height } = plot, room = width - LABEL_WIDTH - 14;
    // a wide layer has several rows of markers
    const columns = Math.max(1, Math.min(Math.max(...hidden), Math.floor(room / NARROWEST))), rowsOf = hidden.map((units) => Math.ceil(units / columns));
    const rows = rowsOf.reduce((sum, n) => sum + n, 0) + 0.6 * (hidden.length - 1), step = Math.min(34, (height - 16) / rows);
    const across = Math.min(34, room / columns), radius = Math.max(1.2, Math.min(LARGEST, 0.36 * Math.min(step, across)));
    let top = (height - rows * step) / 2;
    hidden.forEach((units, l) => {
      const { colour, marker } = layerStyle(colours, l + 1);
      plot.text(`layer ${l + 1}`, 14, top + step / 2 + 4, { colour });
      for (let k = 0; k < units; k++) {
        const index = indexOfUnit(architecture, l + 1, k), x = LABEL_WIDTH + 8 + ((k % columns) + 0.5) * across, y = top + (Math.floor(k / columns) + 0.5) * step;
        this.places.push({ k: index, x, y });
        this.#unit(marker, x, y, radius, colour, now.status[index], index === state.activeUnit);
      }
      top += (rowsOf[l] + 0.6) * step;
    });
  }

  #unit(marker, x, y, radius, colour, status, isActive) {
    const { plot } = this, { colours } = this.app;
    if (isActive) plot.disc(x, y, radius + 4, { edge: colours.ink, width: 2 });
    if (status === DEAD) for (const side of [-1, 1]) plot.segment(x - radius, y - radius * side, x + radius, y + radius * side, { colour: colours.faint, width: 1.4 });
    else plot.markers(marker, [{ x, y }], radius, { fill: status === BENT ? colour : colours.paper, edge: colour });
  }

  unitAt(px, py) {
    let best = null, nearest = HIT_RADIUS;
    for (const { k, x, y } of this.places) {
      const d = Math.hypot(px - x, py - y);
      if (d < nearest) (nearest = d), (best = k);
    }
    return best;
  }

  hover(px, py, event) {
    const unit = this.unitAt(px, py);
    this.app.state.hoverOver({ unit });
    if (unit === null) this.app.tooltip.hide();
    else this.app.tooltip.show(event, this.app.describeUnit(unit));
    return unit === null ? "default" : "pointer";
  }

  leave() {
    this.app.tooltip.hide();
    this.app.state.hoverOver();
  }

  down(px, py) {
    const unit = this.unitAt(px, py), { state } = this.app;
    if (unit !== null) state.change({ unit: unit === state.unit ? null : unit });
    return false;
  }
}
