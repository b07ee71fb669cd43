/** What is served: asked for once, as answers hold name and version of their model alone. */

import { askJson } from "./api.js";
import { el } from "./dom.js";

/** @type {Promise<any[]> | null} */
let asked = null;
const changes = new EventTarget();

/** @returns {Promise<any[]>} The loaded models, by name. */
export function servedModels() {
  asked ??= askJson("v1/models").then(({ models }) => models);
  asked.catch(() => {
    asked = null;
  });
  return asked;
}

/** Have them asked for again, as another version is in use. */
export function forgetModels() {
  asked = null;
  changes.dispatchEvent(new Event("change"));
}

/**
 * @param {{sha256: string}} identity
 * @returns {Promise<number | null>} Normals of its calibration; null where it is not served any more.
 */
export async function calibrationSize({ sha256 }) {
  const model = (await servedModels()).find((each) => each.sha256 === sha256);
  return model?.calibration.n ?? null;
}

/** @returns {HTMLSelectElement} The model to ask; hidden where there is no choice. */
export function modelChoice() {
  const select = el("select", { "aria-label": "Model for new files", hidden: true });
  const fill = async () => {
    const models = await servedModels();
    const chosen = select.value;
    select.hidden = models.length < 2;
    select.replaceChildren(
      el("option", { value: "" }, "Default model"),
      el("option", { value: "auto" }, "The model that fits each image"),
      ...models.map(({ name, version }) => el("option", { value: name }, `${name} ${version}`)),
    );
    select.value = chosen;
  };
  changes.addEventListener("change", fill);
  fill();
  return select;
}
