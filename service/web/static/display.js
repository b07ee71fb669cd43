/** How the open radiograph is shown, and every change that a reader can make to that. */

import { Store } from "./store.js";

/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {import("./picture.js").Window} Window */
/** @typedef {import("./anomaly_map.js").AnomalyMap} AnomalyMap */

/**
 * What is open: a radiograph, and what the model said of it as far as it is known.
 *
 * @typedef {object} Shown
 * @property {Picture} picture
 * @property {AnomalyMap | null} map
 * @property {any} result
 */

/**
 * @typedef {object} DisplayState
 * @property {Shown | null} shown
 * @property {Window} window
 * @property {boolean} invert
 * @property {boolean} flip Whether left and right are exchanged.
 * @property {number} opacity Of the map's full colour, from 0 to 1.
 * @property {boolean} hidden Whether the map is off for now.
 * @property {boolean} sideBySide
 * @property {boolean} outlines Whether lungs and regions are outlined.
 * @property {"window" | "pan"} drag What dragging does.
 * @property {number} scale Screen pixels to a pixel of the radiograph; 0 to fit.
 * @property {number} x
 * @property {number} y The place of the radiograph in the middle of the surface, in its pixels.
 */

const MOST_ZOOM = 32;
const STEP = 0.1;
/** What the service's own overlays use. */
const OPACITY = 0.6;

/** @extends {Store<DisplayState>} */
export class Display extends Store {
  constructor() {
    super({
      shown: null,
      window: { low: 0, high: 255 },
      invert: false,
      flip: false,
      opacity: OPACITY,
      hidden: false,
      sideBySide: false,
      outlines: true,
      drag: "window",
      scale: 0,
      x: 0,
      y: 0,
    });
    /** Of the surface that one radiograph is drawn on, in CSS pixels. */
    this.surface = { width: 1, height: 1 };
  }

  /**
   * Open a radiograph as it is meant to be seen first; how it is laid out stays.
   *
   * @param {Shown | null} shown
   */
  open(shown) {
    this.set({ shown, hidden: false, invert: false, flip: false });
    this.resetWindow();
    this.fit();
  }

  /** Add what became known of the open radiograph. */
  complete(/** @type {Partial<Shown>} */ known) {
    if (this.state.shown) {
      this.set({ shown: { ...this.state.shown, ...known } });
    }
  }

  /** The scale at which the whole radiograph is seen. */
  get fitting() {
    const picture = this.state.shown?.picture;
    if (!picture) {
      return 1;
    }
    return Math.min(this.surface.width / picture.width, this.surface.height / picture.height);
  }

  /** The scale in use. */
  get scale() {
    return this.state.scale || this.fitting;
  }

  fit() {
    const picture = this.state.shown?.picture;
    this.set({ scale: 0, x: (picture?.width ?? 0) / 2, y: (picture?.height ?? 0) / 2 });
  }

  /** One pixel of the radiograph for one of the screen. */
  actualSize() {
    this.zoomTo(1 / window.devicePixelRatio);
  }

  /**
   * @param {number} factor
   * @param {number} [dx] Of the place that stays, from the middle of the surface, in CSS pixels.
   * @param {number} [dy]
   */
  zoom(factor, dx = 0, dy = 0) {
    this.zoomTo(this.scale * factor, dx, dy);
  }

  /**
   * @param {number} wanted
   * @param {number} [dx]
   * @param {number} [dy]
   */
  zoomTo(wanted, dx = 0, dy = 0) {
    const before = this.scale;
    const least = Math.min(this.fitting, 1 / window.devicePixelRatio) / 2;
    const scale = Math.min(Math.max(wanted, least), MOST_ZOOM);
    const stays = 1 / before - 1 / scale;
    const { x, y, flip } = this.state;
    this.set({ scale, x: x + (flip ? -dx : dx) * stays, y: y + dy * stays });
    this.pan(0, 0);
  }

  /**
   * Move the radiograph; its edge goes no further than the middle.
   *
   * @param {number} dx In CSS pixels.
   * @param {number} dy
   */
  pan(dx, dy) {
    const { x, y, flip, shown } = this.state;
    const within = (/** @type {number} */ value, /** @type {number} */ most) =>
      Math.min(Math.max(value, 0), most);
    this.set({
      x: within(x - (flip ? -dx : dx) / this.scale, shown?.picture.width ?? 0),
      y: within(y - dy / this.scale, shown?.picture.height ?? 0),
    });
  }

  /** The window of the file, or else the range of its values. */
  resetWindow() {
    const picture = this.state.shown?.picture;
    if (picture) {
      this.set({ window: picture.window });
    }
  }

  /**
   * @param {number} level Middle of the window, in grey values.
   * @param {number} width
   */
  setWindow(level, width) {
    const most = this.state.shown?.picture.most ?? 255;
    const half = Math.min(Math.max(width, 1), 2 * most) / 2;
    const middle = Math.min(Math.max(level, 0), most);
    this.set({ window: { low: middle - half, high: middle + half } });
  }

  /** Middle and width of the window, in grey values. */
  get levelAndWidth() {
    const { low, high } = this.state.window;
    return { level: (low + high) / 2, width: high - low };
  }

  /**
   * Change the window by shares of the first one: up is darker, right is wider.
   *
   * @param {number} right
   * @param {number} down
   */
  shiftWindow(right, down) {
    const first = this.state.shown?.picture.window;
    if (first) {
      const range = Math.max(first.high - first.low, 1);
      const { level, width } = this.levelAndWidth;
      this.setWindow(level + down * range, width + right * range);
    }
  }

  /** @param {number} steps */
  shiftOpacity(steps) {
    const opacity = this.state.opacity + steps * STEP;
    this.set({ opacity: Math.min(Math.max(Math.round(opacity * 100) / 100, 0), 1) });
  }

  /** @param {"invert" | "flip" | "sideBySide" | "outlines"} name */
  toggle(name) {
    this.set({ [name]: !this.state[name] });
  }

  toggleDrag() {
    this.set({ drag: this.state.drag === "window" ? "pan" : "window" });
  }
}
