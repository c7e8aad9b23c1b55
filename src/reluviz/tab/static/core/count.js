// Whole numbers as text.

/** A whole number with thin spaces between groups of three digits. */
export const count = (value) => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u2009");
