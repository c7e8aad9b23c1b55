// Arrays from bytes; the layout is described in reluviz/wire.py.

const KINDS = { f4: Float32Array, f8: Float64Array, i4: Int32Array, u1: Uint8Array };

/**
 * @typedef {{data: Float32Array|Float64Array|Int32Array|Uint8Array, shape: number[]}} Numbers
 * @param {ArrayBuffer} buffer
 * @returns {{header: any, arrays: Object<string, Numbers>}} the arrays are views: nothing is copied
 */
export function decode(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  let start = 4 + length;
  for (const [name, kind, shape] of header.arrays) {
    const count = shape.reduce((a, b) => a * b, 1);
    const data = new KINDS[kind](buffer, start, count);
    arrays[name] = { data, shape };
    start += Math.ceil(data.byteLength / 8) * 8;
  }
  return { header, arrays };
}
