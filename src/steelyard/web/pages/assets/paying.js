// How people pay: the last hour, what nobody knows yet, channels and their breakers, the reserve.

import { count, make, money } from "./format.js";
import { language, t } from "./texts.js";

const percent = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 });
const TONES = { closed: "jade", half_open: "brass", open: "red" };

export class Paying {
  constructor(card) {
    this.card = card;
  }

  show(told) {
    this.card.hidden = told === null;
    if (told === null) return;
    this.card.querySelector("#paid").replaceChildren(
      figure(t("paid_tried"), count(told.tried)),
      figure(t("paid_share"), told.success_share === null ? "–" : percent.format(told.success_share)),
      figure(t("paid_unknown"), count(told.unknown)));
    this.card.querySelector("#channels").replaceChildren(...told.channels.map(channel));
    this.card.querySelector("#ties").replaceChildren(...(told.tie_outs.length
      ? told.tie_outs.map(tie)
      : [make("li", { class: "muted" }, t("ties_none"))]));
  }
}

function channel(one) {
  return make("li", {},
    make("span", { class: "channel-name" }, one.channel === "balance" ? t("channel_balance") : one.channel),
    make("span", { class: "muted" }, t("channel_went", { succeeded: count(one.succeeded), tried: count(one.tried) })),
    one.stage === null
      ? make("span", {})
      : make("span", { class: "breaker", "data-tone": TONES[one.breaker] }, t(`breaker_${one.breaker}`)));
}

function tie(one) {
  const said = one.holds ? t("tie_holds") : one.difference === null ? t("tie_waits") : t("tie_off");
  return make("li", {},
    make("span", {}, `${one.on} ${one.currency}`),
    make("span", { class: "muted" }, one.difference === null ? "" : t("tie_difference", { amount: money(one.difference) })),
    make("span", { class: "breaker", "data-tone": one.holds ? "jade" : one.difference === null ? "brass" : "red" }, said));
}

const figure = (name, ...value) => make("div", {}, make("dt", {}, name), make("dd", {}, ...value));
