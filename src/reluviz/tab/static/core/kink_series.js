// The kinks of a chain at many snapshots, as a run records them: see the series reluviz/kinks in record/tags.py and `encode_kinks` in
// tab/series.py.

export class KinkSeries {
  /** @param {Object<string, {data: any}>} arrays update and start of each snapshot; replica, layer, unit, x, value and jump of each row */
  constructor(arrays) {
    for (const [name, { data }] of Object.entries(arrays)) this[name] = data;
    this.update = Float64Array.from(this.update);
  }

  /** The pieces of f at snapshot s of replica r, as trained; null where f is not finite. @returns {import("./kinks.js").Pieces|null} */
  pieces(s, r) {
    let from = this.start[s], to = this.start[s + 1];
    while (from < to && this.replica[from] < r) from += 1;
    while (to > from && this.replica[to - 1] > r) to -= 1;
    if (to - from < 2) return null;
    const ends = Float64Array.from(this.x.subarray(from, to)), value = Float64Array.from(this.value.subarray(from, to)), slope = new Float64Array(ends.length - 1), crossings = [];
    // the first row has the slope at the left end
    for (let m = 0; m < slope.length; m++) {
      slope[m] = (m ? slope[m - 1] : 0) + this.jump[from + m];
      if (m) crossings.push({ end: m, layer: this.layer[from + m], unit: this.unit[from + m] });
    }
    return { ends, value, slope, crossings, capped: false };
  }
}
