/** The models that are served; the versions and the card of one of them. */

import { Problem, askJson } from "./api.js";
import { el } from "./dom.js";
import { servedModels } from "./models.js";
import { Versions } from "./models_versions.js";
import { brief } from "./words.js";

/**
 * @param {"reader" | "admin"} role Of the caller.
 * @returns {(rest: string[]) => Promise<Node[]>} The page, by the name of a model or of none.
 */
export function modelsPage(role) {
  return async ([name]) => (name ? one(name, role) : list());
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

/**
 * @param {string} name
 * @param {"reader" | "admin"} role
 */
async function one(name, role) {
  const title = el("h2");
  const card = el("pre", { class: "card", tabindex: 0, role: "region", "aria-label": "Model card" });
  const show = async () => {
    const model = await askJson(`v1/models/${encodeURIComponent(name)}`);
    title.textContent = `${model.name} ${model.version}`;
    card.textContent = model.card;
  };
  await show();
  const versions = new Versions(name, role, show);
  await versions.load();
  return [
    el("p", {}, el("a", { href: "#models" }, "All models")),
    title,
    versions.element,
    ...(await reviewed(name)),
    card,
  ];
}

/**
 * Its versions on what readers judged; nothing where nothing is recorded.
 *
 * @param {string} name
 * @returns {Promise<Node[]>}
 */
async function reviewed(name) {
  let versions;
  try {
    ({ versions } = await askJson(`v1/models/${encodeURIComponent(name)}/reviews`));
  } catch (problem) {
    if (problem instanceof Problem && problem.code === "records_off") {
      return [];
    }
    throw problem;
  }
  if (versions.length === 0) {
    return [el("p", { class: "count" }, "None of its recorded analyses was judged yet.")];
  }
  const heads = ["Version", "Judged abnormal", "Found of them", "Judged normal", "False alarms"];
  const rows = versions.map((/** @type {any} */ { model, abnormal, normal }) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, el("span", { title: model.sha256 }, model.version)),
      el("td", {}, String(abnormal?.n ?? 0)),
      el("td", {}, rate(abnormal)),
      el("td", {}, String(normal?.n ?? 0)),
      el("td", {}, rate(normal)),
    ),
  );
  return [
    el("h3", {}, "Versions on the reviews"),
    el("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Versions on the reviews" },
      el("table", {},
        el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
        el("tbody", {}, ...rows))),
    el("p", { class: "count" },
      "In brackets the exact 95 % interval. Each version answered other images: wscxr bundle " +
        "compare measures two of them on the same ones."),
  ];
}

/** @param {{n: number, called: number, low: number, high: number} | null} counted */
function rate(counted) {
  if (counted === null) {
    return "";
  }
  const [share, low, high] = [counted.called / counted.n, counted.low, counted.high].map(
    (value) => `${(100 * value).toFixed(1)} %`,
  );
  return `${share} (${low} to ${high})`;
}
