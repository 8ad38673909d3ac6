// What is decided at present: shares of the outcomes, and the last decisions with their reasons.

import { count, make, rate, shortInstant, utc } from "./format.js";
import { language, t } from "./texts.js";

const TONES = {
  approve: "jade", limit: "brass", step_up: "brass", hold: "slate", review: "slate", decline: "red",
};
const SOFT = new Set(["step_up", "review"]);
const SCENES = new Set(["payment", "log_in", "loan_application", "withdrawal", "merchant_application"]);

const percent = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 });
const timesOf = (outcomes) => outcomes.reduce((sum, one) => sum + one.times, 0);
const nameOf = (scene) => (SCENES.has(scene) ? t(`scene_${scene}`) : scene);

export class Decisions {
  constructor(card) {
    this.card = card;
    this.rows = new Map();
  }

  show(told) {
    this.put("#decisions-aside", t("decisions_made", {
      rate: rate(told.rate.per_second_1m), made: count(told.made), n: count(timesOf(told.outcomes)),
    }));
    this.share(told.outcomes);
    // While somebody points at the table or walks through it, it holds still.
    if (!this.rows.size || !this.card.matches(":hover, :focus-within")) this.tape(told.newest);
    this.card.querySelector("#undecided").hidden = this.rows.size > 0;
  }

  put(where, text) {
    const node = this.card.querySelector(where);
    if (node.textContent !== text) node.textContent = text;
  }

  share(outcomes) {
    const all = timesOf(outcomes);
    this.card.querySelector("#shares").replaceChildren(...outcomes.map((one) => {
      const bar = make("span", look(one.outcome));
      bar.style.flexGrow = one.times;
      return bar;
    }));
    this.card.querySelector("#shares-said").replaceChildren(...outcomes.map((one) =>
      make("li", look(one.outcome), t(`outcome_${one.outcome}`), " ",
        make("strong", {}, percent.format(one.times / all)))));
  }

  tape(newest) {
    const shown = new Map();
    for (const one of newest) shown.set(one.id, this.rows.get(one.id) ?? row(one, this.rows.size > 0));
    this.rows = shown;
    this.card.querySelector("tbody").replaceChildren(...shown.values());
  }
}

const look = (outcome) => ({ "data-tone": TONES[outcome], class: SOFT.has(outcome) ? "is-soft" : null });

function row(one, isNew) {
  const reasons = one.reasons.map((reason) =>
    make("span", { title: reason.code }, language === "zh-CN" ? reason.zh : reason.en));
  const cells = [
    ["when", make("a", { href: `/v1/decisions/${one.id}`, title: one.id },
      make("time", { datetime: one.at, title: utc(one.at) }, shortInstant(one.at)))],
    ["scene", nameOf(one.scene)],
    ["outcome", make("span", { class: "chip", "data-tone": TONES[one.outcome] },
      t(`outcome_${one.outcome}`))],
    ["score", one.score === null ? "–" : count(one.score), "number"],
    ["reasons", make("span", { class: "reasons" }, ...reasons)],
  ];
  return make("tr", { class: isNew ? "is-new" : null }, ...cells.map(([name, value, kind]) =>
    make("td", { "data-label": t(name), "data-cell": name, class: kind }, value)));
}
