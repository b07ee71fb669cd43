/** The layers of a radiograph on the screen: grey, map, outlines. Each is made when it is needed. */

import { drawMap } from "./anomaly_map.js";
import { outline, regions } from "./grid.js";
import { drawPicture } from "./picture.js";

/** @typedef {import("./display.js").DisplayState} DisplayState */
/** @typedef {import("./display.js").Shown} Shown */

export const LUNGS = "#59c2d9";
export const REGION = "#ffb454";
const HALF = 127.5;

export class Layers {
  #grey = new OffscreenCanvas(1, 1);
  #greyOf = "";
  /** @type {OffscreenCanvas | null} */
  #colour = null;
  /** @type {Path2D | null} */
  #lungs = null;
  /** @type {Path2D | null} */
  #regions = null;
  /** @type {import("./grid.js").Region[]} */
  #boxes = [];

  /** @param {Shown} shown */
  constructor(shown) {
    this.shown = shown;
    const { picture, map, result } = shown;
    const { width, height } = picture;
    this.#grey.width = width;
    this.#grey.height = height;
    if (picture.lungs) {
      this.#lungs = path(outline(picture.lungs, HALF, width, height));
    }
    if (map) {
      this.#colour = drawMap(map, width, height);
      this.#regions = path(outline(map, result.threshold, width, height));
      this.#boxes = regions(map, result.threshold, width, height);
    }
  }

  /**
   * Draw onto a canvas whose unit is a pixel of the radiograph.
   *
   * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context
   * @param {DisplayState} state
   * @param {number} unit Pixels of the radiograph to a pixel of the screen.
   * @param {boolean} withMap
   */
  draw(context, state, unit, withMap) {
    const { picture } = this.shown;
    const { window, invert } = state;
    const wanted = `${window.low} ${window.high} ${invert}`;
    if (wanted !== this.#greyOf) {
      drawPicture(picture, window, invert, this.#grey);
      this.#greyOf = wanted;
    }
    // Enlarged, a pixel is a square: smoothing would show what is not there.
    context.imageSmoothingEnabled = unit > 0.5;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#grey, 0, 0);
    if (!withMap) {
      return;
    }
    if (this.#colour) {
      context.imageSmoothingEnabled = true;
      context.globalAlpha = state.opacity;
      context.drawImage(this.#colour, 0, 0, picture.width, picture.height);
      context.globalAlpha = 1;
    }
    if (state.outlines) {
      this.#drawOutlines(context, unit, state.flip);
    }
  }

  /**
   * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context
   * @param {number} unit
   * @param {boolean} flip
   */
  #drawOutlines(context, unit, flip) {
    context.lineWidth = 1.5 * unit;
    context.lineCap = "round";
    if (this.#lungs) {
      context.strokeStyle = LUNGS;
      context.stroke(this.#lungs);
    }
    const box = this.shown.result?.lung_fields?.box;
    if (box) {
      context.strokeStyle = LUNGS;
      context.setLineDash([6 * unit, 6 * unit]);
      context.strokeRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
      context.setLineDash([]);
    }
    if (this.#regions) {
      context.strokeStyle = REGION;
      context.stroke(this.#regions);
    }
    context.font = `${13 * unit}px system-ui, sans-serif`;
    for (const { left, top, right, bottom, peak } of this.#boxes) {
      context.strokeStyle = REGION;
      context.lineWidth = unit;
      context.strokeRect(left, top, right - left, bottom - top);
      label(context, peak.toFixed(2), flip ? right : left, top, unit, flip);
    }
  }
}

/**
 * @param {number[][]} pieces
 * @returns {Path2D}
 */
function path(pieces) {
  const made = new Path2D();
  for (const [x1, y1, x2, y2] of pieces) {
    made.moveTo(x1, y1);
    made.lineTo(x2, y2);
  }
  return made;
}

/**
 * Write a text above a corner, readable on any grey, and not mirrored.
 *
 * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} x
 * @param {number} y
 * @param {number} unit
 * @param {boolean} flip
 */
function label(context, text, x, y, unit, flip) {
  context.save();
  context.translate(x, y - 4 * unit);
  context.scale(flip ? -1 : 1, 1);
  context.lineWidth = 3 * unit;
  context.strokeStyle = "#000c";
  context.strokeText(text, 0, 0);
  context.fillStyle = REGION;
  context.fillText(text, 0, 0);
  context.restore();
}
