// Mouse, pen and finger on a canvas, in its own coordinates.

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{hover: Function, leave: Function, down: Function, drag?: Function, up?: Function}} view hover returns a
 *   cursor; down returns whether a drag begins
 */
export function pointer(canvas, view) {
  let dragging = false;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / view.plot.zoom, (event.clientY - box.top) / view.plot.zoom];
  };
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (dragging) view.drag?.(x, y, event);
    else canvas.style.cursor = view.hover(x, y, event) ?? "default";
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const [x, y] = place(event);
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
    if (!dragging) view.leave?.();
  });
}

/** The words beside the pointer. */
export class Tip {
  constructor() {
    this.element = document.createElement("div");
    this.element.className = "tip";
    this.element.hidden = true;
  }

  show(event, lines) {
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
