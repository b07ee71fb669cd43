/** The tools above the radiograph: each shows how the display stands, and changes it. */

import { el } from "./dom.js";

/** @typedef {import("./display.js").Display} Display */

/**
 * @param {Display} display
 * @returns {HTMLElement[]}
 */
export function displayTools(display) {
  return [
    group(
      "Size",
      button("Fit", "f", () => display.fit()),
      button("1:1", "1", () => display.actualSize()),
      button("−", "-", () => display.zoom(1 / 1.25), "Zoom out"),
      button("+", "+", () => display.zoom(1.25), "Zoom in"),
    ),
    group(
      "Drag",
      state(display, "Window", "d", "Dragging changes the window", () => display.set({ drag: "window" }),
        ({ drag }) => drag === "window"),
      state(display, "Move", "d", "Dragging moves the radiograph", () => display.set({ drag: "pan" }),
        ({ drag }) => drag === "pan"),
    ),
    group(
      "Picture",
      state(display, "Invert", "i", "Invert", () => display.toggle("invert"), ({ invert }) => invert),
      state(display, "Flip", "l", "Exchange left and right", () => display.toggle("flip"),
        ({ flip }) => flip),
      state(display, "Side by side", "s", "Radiograph and map side by side",
        () => display.toggle("sideBySide"), ({ sideBySide }) => sideBySide),
      state(display, "Outlines", "o", "Outlines of lungs and regions",
        () => display.toggle("outlines"), ({ outlines }) => outlines),
    ),
    group("Map", opacity(display)),
    group("Window", ...windowFields(display)),
  ];
}

/**
 * @param {string} name
 * @param {...Node} children
 */
function group(name, ...children) {
  return el("div", { class: "group", role: "group", "aria-label": name }, ...children);
}

/**
 * @param {string} text
 * @param {string} key
 * @param {() => void} press
 * @param {string} [name]
 */
function button(text, key, press, name = text) {
  const title = `${name} (${key})`;
  return el("button", { type: "button", title, "aria-label": name, click: press }, text);
}

/**
 * A button that shows whether something is on.
 *
 * @param {Display} display
 * @param {string} text
 * @param {string} key
 * @param {string} name
 * @param {() => void} press
 * @param {(state: import("./display.js").DisplayState) => boolean} isOn
 */
function state(display, text, key, name, press, isOn) {
  const made = button(text, key, press, name);
  display.watch(() => made.setAttribute("aria-pressed", String(isOn(display.state))));
  return made;
}

/** @param {Display} display */
function opacity(display) {
  const slider = el("input", {
    type: "range",
    min: 0,
    max: 1,
    step: 0.05,
    title: "Opacity of the map ([ and ]); hold Space to see the radiograph alone",
    input: () => display.set({ opacity: Number(slider.value) }),
  });
  display.watch(() => {
    slider.value = String(display.state.opacity);
  });
  return el("label", {}, "Map ", slider);
}

/** @param {Display} display */
function windowFields(display) {
  const change = () => display.setWindow(Number(level.value), Number(width.value));
  const level = el("input", { type: "number", step: "any", change });
  const width = el("input", { type: "number", step: "any", min: 1, change });
  display.watch(() => {
    const now = display.levelAndWidth;
    level.value = String(Math.round(now.level));
    width.value = String(Math.round(now.width));
  });
  return [
    el("label", { title: "Middle of the window, in grey values" }, "L ", level),
    el("label", { title: "Width of the window, in grey values" }, "W ", width),
    button("Reset", "w", () => display.resetWindow(), "Reset the window"),
  ];
}
