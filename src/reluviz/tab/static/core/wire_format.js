// Arrays from bytes: the twin of `decode` in reluviz/tab/wire_format.py, which describes the layout.

const ARRAY_TYPES = { f4: Float32Array, f8: Float64Array, i4: Int32Array, u1: Uint8Array };

/**
 * @typedef {{data: Float32Array|Float64Array|Int32Array|Uint8Array, shape: number[]}} Numbers
 * @param {ArrayBuffer} buffer
 * @returns {{header: any, arrays: Object<string, Numbers>}} the arrays are views of the buffer, without a copy
 */
export function decode(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  let start = 4 + length;
  for (const [name, dtype, shape] of header.arrays) {
    const count = shape.reduce((a, b) => a * b, 1);
    const data = new ARRAY_TYPES[dtype](buffer, start, count);
    arrays[name] = { data, shape };
    start += Math.ceil(data.byteLength / 8) * 8;
  }
  return { header, arrays };
}
