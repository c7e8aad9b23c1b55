// One model in training: draws minibatches, has a kernel make the updates, and copies the state for undo and replay.
//
// The indices of an update are those that Python draws for (seed, update). In float64 the updates are those of
// engines/reference.py, to rounding. They are the same on every machine and with both kernels, bit for bit, and do not
// depend on how `run` is called.

import { modelNamed } from "../core/models.js";
import { JavaScriptKernel } from "./kernel.js";
import { KERNEL } from "./kernel_wasm.js";
import { drawIndices, largestBatch } from "./samplers.js";

/** In the order of their numbers in kernel.wat. */
const OPTIMIZERS = ["sgd", "momentum", "nesterov", "adam"];
/** Where the rows of the kernel begin. kernel.wat uses the memory before them. */
const ROWS = 144;
/** Indices drawn at once, or those of one batch: 32 kB, which stay in the processor's cache. */
const INDICES = 8192;
/** Size of the memory through which random numbers are copied to other arrays. */
const COPIED = 1024;

const rounded = (count, multiple) => Math.ceil(count / multiple) * multiple;

/** A kernel in WebAssembly and its memory; the interface is that of JavaScriptKernel. */
class WebAssemblyKernel {
  #exports;

  constructor(module) {
    this.#exports = new WebAssembly.Instance(module).exports;
    this.run = this.#exports.run;
  }

  reserve(bytes) {
    const { memory } = this.#exports, missing = bytes + 8 * COPIED - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
    return memory.buffer;
  }

  fill(seed, stream, start, scale, out) {
    const { memory, fill } = this.#exports, integers = out instanceof Int32Array ? 1 : 0;
    if (out.buffer === memory.buffer) return fill(seed, stream, start, scale, out.byteOffset, out.length, integers);
    const copy = new out.constructor(memory.buffer, memory.buffer.byteLength - 8 * COPIED, COPIED);
    for (let i = 0; i < out.length; i += COPIED) {
      const count = Math.min(COPIED, out.length - i);
      fill(seed, stream, start + i, scale, copy.byteOffset, count, integers);
      out.set(count < COPIED ? copy.subarray(0, count) : copy, i);
    }
  }
}

/**
 * Compile the kernel once.
 * @param {"auto"|"wasm"|"javascript"} mode "auto" takes JavaScript where WebAssembly fails, for lack of it or by a page's policy
 * @returns {Promise<{name: "wasm"|"javascript", createKernel: () => JavaScriptKernel|WebAssemblyKernel}>}
 */
export async function loadEngine(mode = "auto") {
  if (mode !== "javascript")
    try {
      const module = await WebAssembly.compile(Uint8Array.from(atob(KERNEL), (one) => one.charCodeAt(0)));
      return { name: "wasm", createKernel: () => new WebAssemblyKernel(module) };
    } catch (error) {
      if (mode === "wasm") throw error;
    }
  return { name: "javascript", createKernel: () => new JavaScriptKernel() };
}

/**
 * One model in training. Its parameters are {w, b, v, c} or {theta}; u and t are the points, in the units of training.
 *
 * @typedef {object} Settings
 * @property {Float64Array} u
 * @property {Float64Array} t
 * @property {"all"|"output"|"hidden"} [train] the layers of a ReLU network that are trained
 * @property {"sgd"|"momentum"|"nesterov"|"adam"} optimizer with torch's formulas
 * @property {number} stepSize
 * @property {number} [momentum]
 * @property {number} [beta1]
 * @property {number} [beta2]
 * @property {number} [eps] above 0
 * @property {string} sampler one of SAMPLERS in samplers.js
 * @property {number} batch samples of a minibatch; not used by the sampler "full"
 * @property {number} seed of the minibatches, a whole number below 2^53
 *
 * @typedef {{update: number, parameters: any, moments: Float64Array[], powers: number[]}} State parameters, first and second
 *   moments in the order of the record, and Adam's beta1^t and beta2^t after t updates of the optimiser
 */
export class Session {
  #kernel;
  #fill;
  #feature;
  #settings;
  #width;
  /** The addresses in memory, and the further arguments of the kernel. */
  #layout;
  #numbers;
  /** Number of updates made, with those before the start: the next minibatch is that of this update. */
  update;

  /** @param {Settings & {model: string, parameters: any, update?: number}} given */
  constructor(engine, { model, parameters, update = 0, ...settings }) {
    this.#kernel = engine.createKernel();
    this.#fill = (...given) => this.#kernel.fill(...given);
    this.#feature = modelNamed(model).feature;
    this.#settings = { train: "all", momentum: 0.9, beta1: 0.9, beta2: 0.999, eps: 1e-8, ...settings };
    checkBatch(this.#settings);
    this.restore({ update, parameters, moments: [], powers: [1, 1] });
  }

  /** Make updates, and return the mean squared error of the last minibatch before its update. */
  run(count) {
    const { sampler, batch, seed, u } = this.#settings, { indices, most, further } = this.#layout;
    let loss = NaN;
    for (let made; count > 0; count -= made) {
      made = Math.min(count, most);
      if (indices) {
        const drawn = new Int32Array(this.#numbers.buffer, indices, made * batch);
        drawIndices(sampler, batch, seed, this.update, this.update + made, u.length, drawn, this.#fill);
      }
      loss = this.#kernel.run(made, indices, ...further);
      this.update += made;
    }
    return loss;
  }

  /** Copies of the parameters. */
  parameters() {
    const row = this.#row(0), W = this.#width;
    return this.#feature ? { theta: row[0] } : { w: row.slice(0, W), b: row.slice(W, 2 * W), v: row.slice(2 * W, 3 * W), c: row[3 * W] };
  }

  /** Write the parameters into `out`, in the order of the record: w, b, v, c. */
  write(out, offset) {
    out.set(this.#row(0), offset);
  }

  /** Set the parameters. The optimiser starts anew where their number is another one. */
  setParameters(parameters) {
    const { moments, powers } = this.state(), kept = widthOf(parameters) === this.#width;
    this.restore({ update: this.update, parameters, moments: kept ? moments : [], powers: kept ? powers : [1, 1] });
  }

  /** Change settings from the next update on. Moments stay, but those of parameters that are not trained any more become 0. */
  change(settings) {
    const changed = { ...this.#settings, ...settings }, state = this.state();
    checkBatch(changed);
    this.#settings = changed;
    this.restore(state);
  }

  /** A copy of all that changes from update to update. @returns {State} */
  state() {
    return { update: this.update, parameters: this.parameters(), moments: [this.#row(2), this.#row(3)], powers: [this.#numbers[0], this.#numbers[1]] };
  }

  /** Go to a state of this session or of another one of the same model, with any number of units. @param {State} state */
  restore({ update, parameters, moments, powers }) {
    this.update = update;
    this.#width = widthOf(parameters);
    this.#layOut();
    this.#numbers.set(powers);
    const { w = [], b = [], v = [], c = parameters.theta } = parameters;
    this.#setRow(0, [...w, ...b, ...v, c]);
    moments.forEach((row, i) => this.#setRow(2 + i, row, this.#layout.first, this.#layout.last));
  }

  /** Reserve memory, clear it, and write the points. */
  #layOut() {
    const { u, t, train, optimizer, stepSize, momentum, beta1, beta2, eps, sampler, batch } = this.#settings, W = this.#width;
    const samples = sampler === "full" ? u.length : batch, stride = 8 * rounded(W, 2), size = 3 * stride + 16;
    const hidden = ROWS + 4 * size, points = hidden + 4 * stride, chosen = points + 16 * rounded(u.length, 4);
    const indices = chosen + 16 * rounded(samples, 4), most = Math.max(1, Math.floor(INDICES / samples));
    const first = W && train === "output" ? 2 * stride : 0, last = W && train === "hidden" ? 2 * stride : size;
    const buffer = this.#kernel.reserve(indices + 8 * rounded(most * samples, 2) / 2);
    const method = OPTIMIZERS.indexOf(optimizer), ofGradient = optimizer === "adam" ? beta1 : momentum;
    const addresses = [samples, points, chosen, ROWS, hidden], numbers = [stepSize, ofGradient, beta2, eps];
    const further = [...addresses, W, this.#feature ? 1 : 0, method, first, last, ...numbers];
    const all = sampler === "full";
    this.#layout = { stride, size, first, last, indices: all ? 0 : indices, most: all ? Infinity : most, further };
    this.#numbers = new Float64Array(buffer, 0, indices / 8);
    this.#numbers.fill(0, ROWS / 8);
    for (let i = 0; i < u.length; i++) this.#numbers.set([this.#feature ? this.#feature(u[i]) : u[i], t[i]], points / 8 + 2 * i);
  }

  /** A copy of a row of the kernel, without its padding. */
  #row(i) {
    const { stride, size } = this.#layout, W = this.#width, row = new Float64Array(3 * W + 1), at = (ROWS + i * size) / 8;
    for (let k = 0; k < row.length; k++) row[k] = this.#numbers[at + paddedPlace(k, W, stride / 8)];
    return row;
  }

  /** Write a row of the kernel between two bytes of it. */
  #setRow(i, values, first = 0, last = Infinity) {
    const { stride, size } = this.#layout, W = this.#width, at = (ROWS + i * size) / 8;
    values.forEach((value, k) => {
      const place = paddedPlace(k, W, stride / 8);
      if (8 * place >= first && 8 * place < last) this.#numbers[at + place] = value;
    });
  }
}

const widthOf = ({ w }) => (w ? w.length : 0);

/** The place in a row with padding of number k of the record. */
const paddedPlace = (k, W, padded) => k + (padded - W) * (W ? Math.floor(k / W) : 0);

function checkBatch({ sampler, batch, u }) {
  if (sampler !== "full" && batch > largestBatch(sampler, u.length)) throw new Error(`A batch of ${batch} is larger than the ${u.length} points there are.`);
}
