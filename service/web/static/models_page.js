/** The models that are served, and the card of one of them. */

import { askJson } from "./api.js";
import { el } from "./dom.js";
import { servedModels } from "./models.js";
import { brief } from "./words.js";

/**
 * @param {string[]} rest The name of a model, or nothing.
 * @returns {Promise<Node[]>}
 */
export async function modelsPage([name]) {
  return name ? card(name) : list();
}

async function list() {
  const models = await servedModels();
  const heads = ["Model", "Version", "Method", "Trained on", "Threshold", "False alarms", "SHA-256"];
  const rows = models.map((model) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" },
        el("a", { href: `#models/${encodeURIComponent(model.name)}` }, model.name),
        model.default ? " (default)" : null),
      el("td", {}, model.version),
      el("td", {}, model.training.method),
      el("td", {}, `${model.training.n_normal} normal, ${model.training.k} abnormal`),
      el("td", {}, brief(model.calibration.threshold)),
      el("td", {}, `${brief(100 * model.calibration.expected_false_alarm_rate)} % of normals ` +
        `like its ${model.calibration.n}`),
      el("td", {}, el("code", { title: model.sha256 }, model.sha256.slice(0, 12))),
    ),
  );
  return [
    el("h2", {}, "Models"),
    el("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Served models" },
      el("table", {},
        el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
        el("tbody", {}, ...rows))),
    ...models.flatMap(({ name, warnings }) =>
      warnings.map((/** @type {string} */ warning) =>
        el("p", { class: "warning" }, `${name}: ${warning}`)),
    ),
  ];
}

/** @param {string} name */
async function card(name) {
  const model = await askJson(`v1/models/${encodeURIComponent(name)}`);
  return [
    el("p", {}, el("a", { href: "#models" }, "All models")),
    el("h2", {}, `${model.name} ${model.version}`),
    el("pre", { class: "card", tabindex: 0, role: "region", "aria-label": "Model card" }, model.card),
  ];
}
