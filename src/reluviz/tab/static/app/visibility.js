// Whether anybody can see the page: TensorBoard keeps the frames of other tabs, hidden by their style, and lets them run.

/** A function that says whether the page can be seen now. @param {Element} root */
export function watchVisibility(root) {
  let onScreen = true;
  if (window.IntersectionObserver) new IntersectionObserver((entries) => (onScreen = entries[entries.length - 1].isIntersecting)).observe(root);
  return () => !document.hidden && onScreen && frameIsVisible();
}

function frameIsVisible() {
  try {
    return window.frameElement?.checkVisibility?.({ visibilityProperty: true }) ?? true;
  } catch {
    // the frame belongs to another site
    return true;
  }
}
