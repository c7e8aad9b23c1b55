// The markers of kinks: each layer has its colour and its shape.

import { layerStyle } from "./theme.js";

/**
 * Draw kinks; those of the active unit are larger and on top.
 * @param {import("./plot.js").Plot} plot
 * @param {{x: number, y: number, layer: number, index: number}[]} places in pixels
 * @param {number|null} active the unit, counted through all layers
 */
export function drawKinks(plot, colours, places, radius, active) {
  const layers = [...new Set(places.map(({ layer }) => layer))].sort((a, b) => a - b);
  const draw = (some, size, style) => {
    for (const layer of layers) {
      const { colour, marker } = layerStyle(colours, layer), chosen = some.filter((place) => place.layer === layer);
      if (chosen.length) plot.markers(marker, chosen, size, { fill: colour, ...style });
    }
  };
  draw(places.filter(({ index }) => index !== active), radius, { edge: colours.paper });
  draw(places.filter(({ index }) => index === active), radius + 2, { edge: colours.ink, width: 1.8 });
}
