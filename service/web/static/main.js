/** Puts the page together. */

import { onSignIn } from "./api.js";
import { Browser } from "./browser.js";
import { colourBar } from "./colour_bar.js";
import { Display } from "./display.js";
import { byId, el } from "./dom.js";
import { Files } from "./files.js";
import { helpDialog } from "./help.js";
import { listen } from "./keyboard.js";
import { readingKeys, reviewKeys } from "./keys.js";
import { modelsPage } from "./models_page.js";
import { monitorPage } from "./monitor_page.js";
import { offer } from "./places.js";
import { Reading } from "./reading.js";
import { ReviewForm } from "./review.js";
import { saveTool } from "./save.js";
import { askSession, signedIn, signInDialog } from "./sign_in.js";
import { Stage } from "./stage.js";
import { displayTools } from "./tools.js";
import { Worklist } from "./worklist.js";

onSignIn(signInDialog());

const display = new Display();
const stage = /** @type {HTMLCanvasElement} */ (byId("stage"));
const reading = new Reading(display, {
  surface: byId("surface"),
  stage,
  message: byId("message"),
  said: byId("said"),
});
const browser = new Browser(byId("browser"), (item) => reading.open(item));
const files = new Files(
  (item) => reading.refresh(item),
  () => browser.show("Files"),
);
browser.add({ name: "Files", list: files.list, element: files.element });

new Stage(stage, display);
colourBar(byId("colour-bar"), display);
byId("tools").append(
  ...displayTools(display),
  saveTool(display, () => reading.item, (error) => reading.failed(error)),
);

const keys = readingKeys({
  display,
  move: (steps) => browser.list?.move(steps),
  help: () => help.showModal(),
});
const session = await askSession();
/** @type {import("./places.js").Place[]} */
const places = [
  { name: "reading", content: null },
  { name: "models", content: modelsPage(session.role) },
];
if (session.records) {
  const worklist = new Worklist();
  const form = new ReviewForm((item) => {
    browser.list?.update(item);
    browser.list?.move(1);
  });
  reading.review = form;
  byId("result").append(form.element);
  browser.add({
    name: "Worklist",
    list: worklist.list,
    element: worklist.element,
    enter: () => worklist.load(),
  });
  keys.push(...reviewKeys(form));
  places[0].enter = ([id]) => {
    if (id) {
      browser.show("Worklist");
      worklist.loadOne(id);
    }
  };
  places.push({ name: "monitor", content: monitorPage });
}
const help = helpDialog(keys);
document.body.append(help);
listen(keys);
byId("account").append(
  el(
    "button",
    { type: "button", title: "Keys and pointer (?)", click: () => help.showModal() },
    "Keys",
  ),
  signedIn(session),
);
offer(places);
