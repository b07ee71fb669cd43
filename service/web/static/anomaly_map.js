/** The anomaly map: read from the service's 16-bit PNG, drawn in the colours of its own PNGs. */

import { COLOURS } from "./colours.js";

/**
 * @typedef {object} AnomalyMap
 * @property {number} rows
 * @property {number} columns
 * @property {Float32Array} values Anomaly scores, row by row.
 * @property {number} low Score, and all below it, that has no colour.
 * @property {number} high Score, and all above it, that has the full colour.
 */

/** Longest side of the drawn map, in pixels: it is smooth, and stretched to the radiograph. */
const SIDE = 1024;

/**
 * Read a map in the style `raw16`.
 *
 * @param {ArrayBuffer} buffer A grey PNG of 16 bits, not interlaced.
 * @returns {Promise<AnomalyMap>}
 */
export async function readMap(buffer) {
  const view = new DataView(buffer);
  const parts = [];
  /** @type {Record<string, number>} */
  const texts = {};
  let [columns, rows] = [0, 0];
  for (let at = 8; at < buffer.byteLength; at += 12 + view.getUint32(at)) {
    const kind = latin1(buffer, at + 4, 4);
    const size = view.getUint32(at);
    if (kind === "IHDR") {
      [columns, rows] = [view.getUint32(at + 8), view.getUint32(at + 12)];
    } else if (kind === "tEXt") {
      const [name, text] = latin1(buffer, at + 8, size).split("\0");
      texts[name] = Number(text);
    } else if (kind === "IDAT") {
      parts.push(new Uint8Array(buffer, at + 8, size));
    }
  }
  const inflated = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = unfilter(new Uint8Array(await new Response(inflated).arrayBuffer()), rows, columns);
  const stored = new DataView(bytes.buffer);
  const values = new Float32Array(rows * columns);
  for (let i = 0; i < values.length; i += 1) {
    values[i] = texts.score_offset + texts.score_slope * stored.getUint16(2 * i);
  }
  return { rows, columns, values, low: texts.colour_low, high: texts.colour_high };
}

/**
 * @param {ArrayBuffer} buffer
 * @param {number} start
 * @param {number} size
 * @returns {string}
 */
function latin1(buffer, start, size) {
  return new TextDecoder("latin1").decode(new Uint8Array(buffer, start, size));
}

/**
 * Undo the filters of a PNG's rows (PNG specification, section 9).
 *
 * @param {Uint8Array} filtered One byte for the filter before each row.
 * @param {number} rows
 * @param {number} columns Of two bytes each.
 * @returns {Uint8Array}
 */
function unfilter(filtered, rows, columns) {
  const size = 2 * columns;
  const bytes = new Uint8Array(rows * size);
  for (let row = 0; row < rows; row += 1) {
    const filter = filtered[row * (size + 1)];
    for (let i = 0; i < size; i += 1) {
      const to = row * size + i;
      const left = i >= 2 ? bytes[to - 2] : 0;
      const up = row > 0 ? bytes[to - size] : 0;
      const corner = i >= 2 && row > 0 ? bytes[to - size - 2] : 0;
      const predicted = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
      bytes[to] = filtered[row * (size + 1) + 1 + i] + predicted;
    }
  }
  return bytes;
}

/**
 * @param {number} left
 * @param {number} up
 * @param {number} corner
 * @returns {number} The one closest to left + up - corner.
 */
function paeth(left, up, corner) {
  const [a, b, c] = [left, up, corner].map((each) => Math.abs(left + up - corner - each));
  if (a <= b && a <= c) {
    return left;
  }
  return b <= c ? up : corner;
}

/**
 * Draw a map in colour; where it has no colour, nothing is drawn.
 *
 * As the service does: values to 256 levels, levels stretched bilinearly, colours by level, and
 * the level as opacity.
 *
 * @param {AnomalyMap} map
 * @param {number} width Of the radiograph, in pixels.
 * @param {number} height Of the radiograph, in pixels.
 * @returns {OffscreenCanvas} With the shape of the radiograph.
 */
export function drawMap(map, width, height) {
  const shrink = Math.min(1, SIDE / Math.max(width, height));
  const [w, h] = [Math.max(1, Math.round(width * shrink)), Math.max(1, Math.round(height * shrink))];
  const levels = map.values.map((value) =>
    Math.round(255 * Math.min(Math.max((value - map.low) / (map.high - map.low), 0), 1)),
  );
  const canvas = new OffscreenCanvas(w, h);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(w, h);
  const across = neighbours(w, map.columns);
  const down = neighbours(h, map.rows);
  for (let y = 0, to = 0; y < h; y += 1) {
    const [upper, lower, v] = [down.first[y] * map.columns, down.second[y] * map.columns, down.share[y]];
    for (let x = 0; x < w; x += 1, to += 4) {
      const [a, b, u] = [across.first[x], across.second[x], across.share[x]];
      const top = levels[upper + a] * (1 - u) + levels[upper + b] * u;
      const bottom = levels[lower + a] * (1 - u) + levels[lower + b] * u;
      const level = Math.round(top * (1 - v) + bottom * v);
      image.data[to] = COLOURS[3 * level];
      image.data[to + 1] = COLOURS[3 * level + 1];
      image.data[to + 2] = COLOURS[3 * level + 2];
      image.data[to + 3] = level;
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/**
 * For each of `size` pixels, the two of `count` values around its centre, and the second's share.
 *
 * @param {number} size
 * @param {number} count
 */
function neighbours(size, count) {
  const [first, second, share] = [new Uint32Array(size), new Uint32Array(size), new Float32Array(size)];
  for (let i = 0; i < size; i += 1) {
    const place = Math.min(Math.max(((i + 0.5) * count) / size - 0.5, 0), count - 1);
    first[i] = Math.floor(place);
    second[i] = Math.min(first[i] + 1, count - 1);
    share[i] = place - first[i];
  }
  return { first, second, share };
}
