/** A radiograph's own grey values, and the window that makes grey on the screen of them. */

import { readTensors } from "./safetensors.js";

/** @typedef {import("./grid.js").Grid} Grid */

/**
 * Grey values from `low` (black) to `high` (white).
 *
 * @typedef {{low: number, high: number}} Window
 */

/**
 * @typedef {object} Picture
 * @property {number} width
 * @property {number} height
 * @property {Uint8Array | Uint16Array} values Row by row, bright where the body is dense.
 * @property {number} most The largest value that there can be.
 * @property {Window} window What to show at first.
 * @property {Grid | null} lungs 255 where lung is certain; null where none were found.
 */

/**
 * Read the answer of `POST /v1/radiograph`.
 *
 * @param {ArrayBuffer} buffer
 * @returns {Picture}
 */
export function readPicture(buffer) {
  const { tensors, metadata } = readTensors(buffer);
  const { shape, values } = tensors.pixels;
  const [low, high] = JSON.parse(metadata.window);
  const lungs = tensors.lungs;
  return {
    width: shape[1],
    height: shape[0],
    values,
    most: values instanceof Uint16Array ? 65535 : 255,
    window: { low, high },
    lungs: lungs ? { rows: lungs.shape[0], columns: lungs.shape[1], values: lungs.values } : null,
  };
}

/**
 * Draw a picture in grey, pixel for pixel, onto a canvas of its size.
 *
 * @param {Picture} picture
 * @param {Window} window
 * @param {boolean} invert Whether what is dense is dark.
 * @param {OffscreenCanvas} canvas
 */
export function drawPicture(picture, window, invert, canvas) {
  const table = greyTable(picture.most, window, invert);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(picture.width, picture.height);
  const pixels = new Uint32Array(image.data.buffer);
  const { values } = picture;
  for (let i = 0; i < pixels.length; i += 1) {
    pixels[i] = table[values[i]];
  }
  context.putImageData(image, 0, 0);
}

/**
 * @param {number} most
 * @param {Window} window
 * @param {boolean} invert
 * @returns {Uint32Array} Opaque grey for every value.
 */
function greyTable(most, { low, high }, invert) {
  const table = new Uint32Array(most + 1);
  for (let value = 0; value <= most; value += 1) {
    const share = Math.min(Math.max((value - low) / Math.max(high - low, 1), 0), 1);
    const grey = Math.round(255 * (invert ? 1 - share : share));
    table[value] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  }
  return table;
}
