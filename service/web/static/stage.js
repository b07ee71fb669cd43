/** The canvas on which the open radiograph is drawn, and the pointer on it. */

import { Layers } from "./layers.js";

/** @typedef {import("./display.js").Display} Display */

const GAP = 2;
const WHEEL = 0.0015;

export class Stage {
  /** @type {Layers | null} */
  #layers = null;
  #waiting = false;
  /** @type {Map<number, PointerEvent>} */
  #pointers = new Map();

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Display} display
   */
  constructor(canvas, display) {
    this.canvas = canvas;
    this.display = display;
    new ResizeObserver(() => this.#resize()).observe(canvas);
    display.watch(() => this.#later());
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of /** @type {const} */ (["pointerup", "pointercancel"])) {
      canvas.addEventListener(name, (event) => this.#pointers.delete(event.pointerId));
    }
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", () => display.fit());
  }

  #resize() {
    const ratio = window.devicePixelRatio;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    this.#measure();
    this.#draw();
  }

  #measure() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const surface = this.display.state.sideBySide
      ? { width: (width - GAP) / 2, height }
      : { width, height };
    this.display.surface = surface;
  }

  #later() {
    this.#measure();
    if (!this.#waiting) {
      this.#waiting = true;
      requestAnimationFrame(() => {
        this.#waiting = false;
        this.#draw();
      });
    }
  }

  #draw() {
    const context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const { state, surface } = this.display;
    if (!state.shown) {
      this.#layers = null;
      return;
    }
    if (this.#layers?.shown !== state.shown) {
      this.#layers = new Layers(state.shown);
    }
    if (state.sideBySide) {
      this.#drawAt(context, 0, false);
      this.#drawAt(context, surface.width + GAP, !state.hidden);
    } else {
      this.#drawAt(context, 0, !state.hidden);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} left Of the part of the canvas to draw on, in CSS pixels.
   * @param {boolean} withMap
   */
  #drawAt(context, left, withMap) {
    const { state, scale, surface } = this.display;
    const ratio = window.devicePixelRatio;
    context.save();
    context.beginPath();
    context.rect(left * ratio, 0, surface.width * ratio, surface.height * ratio);
    context.clip();
    const [down, right] = [scale * ratio, (state.flip ? -scale : scale) * ratio];
    // On whole pixels of the screen: at 1:1 each shows one of the radiograph, unblurred.
    const x = Math.round((left + surface.width / 2) * ratio - state.x * right);
    const y = Math.round((surface.height / 2) * ratio - state.y * down);
    context.setTransform(right, 0, 0, down, x, y);
    this.#layers?.draw(context, state, 1 / scale, withMap);
    context.restore();
  }

  /** @param {PointerEvent} event */
  #down(event) {
    this.canvas.focus();
    this.canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, event);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before || !this.display.state.shown) {
      return;
    }
    const dx = event.clientX - before.clientX;
    const dy = event.clientY - before.clientY;
    const other = [...this.#pointers.values()].find((each) => each.pointerId !== event.pointerId);
    this.#pointers.set(event.pointerId, event);
    if (other) {
      const factor = distance(event, other) / Math.max(distance(before, other), 1);
      this.display.pan(dx / 2, dy / 2);
      this.display.zoom(factor, ...this.#fromMiddle(other));
    } else if ((this.display.state.drag === "window") !== isOther(event)) {
      // Over the whole height or width of the surface the window changes by its own size.
      const { width, height } = this.display.surface;
      this.display.shiftWindow(dx / width, dy / height);
    } else {
      this.display.pan(dx, dy);
    }
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    this.display.zoom(Math.exp(-event.deltaY * WHEEL), ...this.#fromMiddle(event));
  }

  /**
   * @param {MouseEvent} event
   * @returns {[number, number]} Its place from the middle of the surface it is on, in CSS pixels.
   */
  #fromMiddle(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const { width, height } = this.display.surface;
    const x = event.clientX - left;
    const second = this.display.state.sideBySide && x > width ? width + GAP : 0;
    return [x - second - width / 2, event.clientY - top - height / 2];
  }
}

/**
 * Whether a drag is the other one of the two: with another button, or with Shift.
 *
 * @param {PointerEvent} event
 */
function isOther(event) {
  return event.shiftKey || event.buttons > 1;
}

/**
 * @param {PointerEvent} one
 * @param {PointerEvent} other
 */
function distance(one, other) {
  return Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
}
