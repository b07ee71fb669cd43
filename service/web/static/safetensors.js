/** Reads safetensors files: a header of JSON, then arrays, little-endian. */

/** @typedef {{shape: number[], values: Uint8Array | Uint16Array}} Tensor */

const TYPES = { U8: Uint8Array, U16: Uint16Array };

/**
 * @param {ArrayBuffer} buffer
 * @returns {{tensors: Record<string, Tensor>, metadata: Record<string, string>}}
 */
export function readTensors(buffer) {
  const size = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size)));
  const { __metadata__: metadata = {}, ...entries } = header;
  /** @type {Record<string, Tensor>} */
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(entries)) {
    const Type = TYPES[/** @type {keyof typeof TYPES} */ (dtype)];
    const [start, end] = offsets.map((/** @type {number} */ each) => 8 + size + each);
    // A slice is a copy, and so lies where its type wants it.
    const fits = start % Type.BYTES_PER_ELEMENT === 0;
    const count = (end - start) / Type.BYTES_PER_ELEMENT;
    const values = fits ? new Type(buffer, start, count) : new Type(buffer.slice(start, end));
    tensors[name] = { shape, values };
  }
  return { tensors, metadata };
}
