/** What the model says of the open radiograph, in words and numbers. */

import { el } from "./dom.js";
import { calibrationSize } from "./models.js";
import { brief, howUnusual, warningText } from "./words.js";

/**
 * @param {import("./items.js").Item} item
 * @returns {Promise<HTMLElement[]>}
 */
export async function describe(item) {
  const { result, title, problem, state } = item;
  const heading = el("h2", { class: "title", title }, title);
  if (problem) {
    return [heading, el("p", { class: "problem", role: "alert" }, problem)];
  }
  if (!result) {
    return [heading, el("p", {}, state === "waiting" ? "Waiting for its turn." : "Being analysed.")];
  }
  const n = await calibrationSize(result.model).catch(() => null);
  const ood = result.ood_score;
  const { name, version, sha256 } = result.model;
  return [
    heading,
    el("p", { class: `decision ${result.decision}` }, result.decision),
    el("p", { class: "words" }, howUnusual(result.p_value, n)),
    ...result.warnings.map((/** @type {string} */ each) =>
      el("p", { class: "warning" }, warningText(each)),
    ),
    facts([
      ["Score", brief(result.score)],
      ["Threshold", brief(result.threshold)],
      ["p-value", result.p_value.toFixed(4)],
      ["OOD score", ood === null ? "unknown" : `${brief(ood)} ${ood > 1 ? "(above 1)" : ""}`],
      ["Lung fields", lungs(result.lung_fields)],
      ["Image", imageFacts(result.image)],
    ]),
    el(
      "p",
      { class: "model" },
      "Model ",
      el("a", { href: `#models/${encodeURIComponent(name)}`, title: `SHA-256 ${sha256}` }, `${name} ${version}`),
    ),
  ];
}

/** @param {(string | null)[][]} rows Those without a value are left out. */
function facts(rows) {
  const known = rows.filter(([, value]) => value !== null);
  return el("dl", {}, ...known.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/** @param {any} found */
function lungs(found) {
  if (!found) {
    return null;
  }
  if (!found.found) {
    return "not found";
  }
  const share = found.map_share;
  return share === null ? "found" : `hold ${Math.round(100 * share)} % of the map`;
}

/** @param {any} image */
function imageFacts(image) {
  const [width, height] = [image.width ?? image.columns, image.height ?? image.rows];
  return [`${width} × ${height}`, `${image.bits} bits`, image.format, image.view, image.manufacturer]
    .filter(Boolean)
    .join(", ");
}
