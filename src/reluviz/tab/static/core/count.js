// Whole numbers as text.

/** A whole number with narrow spaces, at which no line breaks, between groups of three digits. */
export const count = (value) => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
