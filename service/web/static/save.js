/** Saving what is open: as PNG as it is displayed, or as DICOM results of the service. */

import { ask, upload } from "./api.js";
import { el } from "./dom.js";
import { Layers } from "./layers.js";

/** @typedef {import("./items.js").Item} Item */

const DICOM = new Map([
  ["sc", "Overlay (secondary capture)"],
  ["sr", "Structured report"],
  ["seg", "Segmentation"],
  ["gsps", "Presentation state"],
]);

/**
 * @param {import("./display.js").Display} display
 * @param {() => Item | null} current
 * @param {(error: unknown) => void} failed
 * @returns {HTMLElement}
 */
export function saveTool(display, current, failed) {
  const options = [...DICOM].map(([kind, name]) => el("option", { value: kind }, `DICOM: ${name}`));
  const select = el(
    "select",
    { "aria-label": "Save", change: () => save() },
    el("option", { value: "" }, "Save…"),
    el("option", { value: "png" }, "PNG, as displayed"),
    ...options,
  );
  display.watch(() => {
    const { shown } = display.state;
    select.disabled = shown === null;
    for (const option of options) {
      option.disabled = shown?.result?.image.format !== "DICOM";
    }
  });
  async function save() {
    const [kind, item] = [select.value, current()];
    select.value = "";
    try {
      if (item && kind === "png") {
        download(await picturePng(display.state), `${item.title}.png`);
      } else if (item && kind) {
        download(await dicomResult(item, kind), `${item.title}.${kind}.dcm`);
      }
    } catch (error) {
      failed(error);
    }
  }
  return select;
}

/**
 * @param {import("./display.js").DisplayState} state Something is open.
 * @returns {Promise<Blob>} The radiograph in its own size, with window, map and outlines.
 */
async function picturePng(state) {
  const shown = /** @type {import("./display.js").Shown} */ (state.shown);
  const { width, height } = shown.picture;
  const canvas = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  if (state.flip) {
    context.setTransform(-1, 0, 0, 1, width, 0);
  }
  // Lines and letters as thick as on a screen that shows the whole radiograph.
  new Layers(shown).draw(context, state, Math.max(width, height) / 1000, true);
  return canvas.convertToBlob({ type: "image/png" });
}

/**
 * @param {Item} item
 * @param {string} kind
 * @returns {Promise<Blob>}
 */
async function dicomResult(item, kind) {
  const model = encodeURIComponent(item.result.model.name);
  const path = `v1/predict/dicom?only=${kind}&model=${model}`;
  return (await ask(path, upload(await item.file()))).blob();
}

/**
 * @param {Blob} blob
 * @param {string} name
 */
function download(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}
