// What is lent: owed, late, and what became of the applications of the day.

import { count, make, money } from "./format.js";
import { language, t } from "./texts.js";

// In the order of the page; what is on its way stands under one name, what came to nothing too.
const GROUPS = [
  ["signed", "jade", ["signed", "accepted"]],
  ["offered", "brass", ["offered"]],
  ["in_review", "slate", ["in_review"]],
  ["under_way", "slate", ["drafted", "consented", "submitted", "checked", "decided"]],
  ["declined", "red", ["declined"]],
  ["ended", "slate", ["withdrawn", "expired"]],
];
const SOFT = new Set(["under_way", "ended"]);

const percent = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 });
const look = (name, tone) => ({ "data-tone": tone, class: SOFT.has(name) ? "is-soft" : null });

export class Credit {
  constructor(card) {
    this.card = card;
  }

  show(told) {
    this.card.hidden = told === null;
    if (told === null) return;
    this.card.querySelector("#owed").replaceChildren(...told.owed.map(owed));
    const times = new Map(told.applications_today.map((one) => [one.state, one.times]));
    const groups = GROUPS
      .map(([name, tone, states]) => [name, tone, states.reduce((sum, s) => sum + (times.get(s) ?? 0), 0)])
      .filter(([, , all]) => all > 0);
    this.card.querySelector("#applied").hidden = !groups.length;
    this.card.querySelector("#applied").replaceChildren(...groups.map(([name, tone, all]) => {
      const bar = make("span", look(name, tone));
      bar.style.flexGrow = all;
      return bar;
    }));
    this.card.querySelector("#applied-said").replaceChildren(...(groups.length
      ? groups.map(([name, tone, all]) =>
        make("li", look(name, tone), t(`application_${name}`), " ", make("strong", {}, count(all))))
      : [make("li", { class: "muted" }, t("applications_none"))]));
  }
}

function owed(row) {
  return make("li", {},
    make("dl", { class: "counts" },
      figure(t("outstanding"), money(row.outstanding), " ", make("span", { class: "currency" }, row.currency)),
      figure(t("loans_open"), count(row.loans)),
      figure(t("loans_late"), count(row.late)),
      figure(t("late_share"), percent.format(row.late_share))));
}

const figure = (name, ...value) => make("div", {}, make("dt", {}, name), make("dd", {}, ...value));
