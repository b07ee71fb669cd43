/** The bar that says which score a colour of the map stands for. */

import { COLOURS } from "./colours.js";
import { el } from "./dom.js";
import { brief } from "./words.js";

const LEVELS = 256;

/**
 * Keep the bar in step with what is open.
 *
 * @param {HTMLElement} element
 * @param {import("./display.js").Display} display
 */
export function colourBar(element, display) {
  const canvas = el("canvas", { width: 1, height: LEVELS, role: "img" });
  const high = el("span", {});
  const low = el("span", {});
  const threshold = el("span", { class: "threshold" });
  element.append(high, el("div", { class: "scale" }, canvas, threshold), low);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(1, LEVELS);
  for (let level = 0; level < LEVELS; level += 1) {
    const to = 4 * (LEVELS - 1 - level);
    image.data.set(COLOURS.subarray(3 * level, 3 * level + 3), to);
    image.data[to + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  display.watch(() => {
    const { shown, hidden, sideBySide } = display.state;
    const map = shown?.map;
    element.hidden = !map || (hidden && !sideBySide);
    if (map) {
      const { threshold: at } = shown.result;
      const share = (at - map.low) / (map.high - map.low);
      high.textContent = `≥ ${brief(map.high)}`;
      low.textContent = `≤ ${brief(map.low)}`;
      threshold.hidden = share < 0 || share > 1;
      threshold.style.bottom = `${100 * share}%`;
      threshold.textContent = brief(at);
      threshold.title = "Threshold";
      canvas.setAttribute(
        "aria-label",
        `Colours of the anomaly map, from score ${brief(map.low)} to ${brief(map.high)}; ` +
          `threshold ${brief(at)}`,
      );
    }
  });
}
