// Mouse, pen and touch events of a canvas, in its coordinates; and the tooltip.

/**
 * Call a view's methods with the coordinates of pointer events on its canvas, and give the view a method `followPicture`,
 * which calls `hover` again for a resting pointer: to be called after each drawing, as what is under the pointer may have changed.
 * @param {HTMLCanvasElement} canvas
 * @param {{hover: Function, leave: Function, down: Function, drag?: Function, up?: Function}} view `hover` returns
 *   the cursor; `down` returns whether a drag begins
 */
export function addPointerListeners(canvas, view) {
  let dragging = false, latest = null;
  const position = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / view.plot.zoom, (event.clientY - box.top) / view.plot.zoom];
  };
  view.followPicture = () => {
    if (!latest) return;
    if (view.element.hidden) {
      latest = null;
      view.leave();
      return;
    }
    const cursor = view.hover(...position(latest), latest) ?? "default";
    if (!dragging) canvas.style.cursor = cursor;
  };
  canvas.addEventListener("pointermove", (event) => {
    latest = event;
    if (dragging) view.drag?.(...position(event), event);
    else view.followPicture();
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const [x, y] = position(event);
    dragging = Boolean(view.down(x, y, event));
    if (dragging) {
      canvas.setPointerCapture(event.pointerId);
      event.preventDefault();
    }
  });
  const end = () => {
    if (dragging) view.up?.();
    dragging = false;
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("pointerleave", () => {
    latest = null;
    if (!dragging) view.leave?.();
  });
}

/** The box of text next to the pointer. */
export class Tooltip {
  constructor() {
    this.element = document.createElement("div");
    this.element.className = "tooltip";
    this.element.hidden = true;
  }

  show(event, lines) {
    const key = lines.join("\n");
    if (key === this.key && event === this.event && !this.element.hidden) return;
    Object.assign(this, { key, event });
    this.element.replaceChildren(
      ...lines.map((line, i) => {
        const row = document.createElement("div");
        row.textContent = line;
        if (i === 0) row.className = "first";
        return row;
      }),
    );
    this.element.hidden = false;
    const { innerWidth, innerHeight } = window;
    const { offsetWidth, offsetHeight } = this.element;
    const x = event.clientX + 16 + offsetWidth > innerWidth ? event.clientX - offsetWidth - 12 : event.clientX + 16;
    const y = Math.min(event.clientY + 14, innerHeight - offsetHeight - 6);
    this.element.style.transform = `translate(${Math.max(4, x)}px, ${Math.max(4, y)}px)`;
  }

  hide() {
    this.element.hidden = true;
  }
}
