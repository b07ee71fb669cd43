/** What is served: asked for once, as answers hold name and version of their model alone. */

import { askJson } from "./api.js";

/** @type {Promise<any[]> | null} */
let asked = null;

/** @returns {Promise<any[]>} The loaded models, by name. */
export function servedModels() {
  asked ??= askJson("v1/models").then(({ models }) => models);
  asked.catch(() => {
    asked = null;
  });
  return asked;
}

/**
 * @param {{sha256: string}} identity
 * @returns {Promise<number | null>} Normals of its calibration; null where it is not served any more.
 */
export async function calibrationSize({ sha256 }) {
  const model = (await servedModels()).find((each) => each.sha256 === sha256);
  return model?.calibration.n ?? null;
}
