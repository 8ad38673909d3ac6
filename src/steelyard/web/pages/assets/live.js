// The live page: one stream in, numbers, chart and table out.

import { Chart, spark } from "./chart.js";
import { Credit } from "./credit.js";
import { Decisions } from "./decisions.js";
import { Drawer } from "./drawer.js";
import { count, instant, make, money, rate, shortInstant, time, utc } from "./format.js";
import { Paying } from "./paying.js";
import { Stream } from "./stream.js";
import { t } from "./texts.js";

const ROWS = 20;
const SPARK_POINTS = 30;
const KEPT_POINTS = 90;

const at = (id) => document.getElementById(id);
const chart = new Chart(at("chart"), at("chart-said"));
const drawer = new Drawer(at("drawer"));
const decisions = new Decisions(at("decisions-card"));
const credit = new Credit(at("credit-card"));
const paying = new Paying(at("paying-card"));

let points = [];
let rows = new Map();
let waiting = [];
let clock = null;
let heardAt = null;

function say(id, text) {
  const node = at(id);
  if (node.textContent !== text) node.textContent = text;
}

const over = (seconds) =>
  seconds >= 60 ? t("minutes", { n: Math.round(seconds / 60) }) : t("seconds", { n: Math.round(seconds) });

function showRate(name, known) {
  say(name, rate(known.per_second_1m ?? null));
  say(
    `${name}-aside`,
    known.per_second_5m === null
      ? t("not_yet_known")
      : t("over_five", { rate: rate(known.per_second_5m), over: over(known.observed_seconds) }),
  );
}

function showLag(lag) {
  say("lag", count(lag.events));
  const slow = lag.consumers
    .filter((one) => one.events > 0)
    .sort((a, b) => b.events - a.events)[0];
  if (!lag.consumers.length) say("lag-aside", t("lag_no_consumers"));
  else if (!slow) say("lag-aside", t("lag_none"));
  else say("lag-aside", t("lag_of", { consumer: slow.name, seconds: rate(slow.seconds) }));
  at("consumers").replaceChildren(
    ...lag.consumers.map((one) =>
      make("li", { "data-stopped": one.is_stopped ? "" : null },
        make("code", {}, `${one.name}@${one.version}`),
        make("span", {}, one.is_stopped
          ? t("stopped")
          : one.events ? t("behind_events", { n: count(one.events) }) : t("up_to_date"))),
    ),
  );
  if (!lag.consumers.length) at("consumers").append(make("li", { class: "muted" }, t("lag_no_consumers")));
}

function showBalance(trial) {
  const broken = trial.rows.filter((row) => row.difference_minor !== 0);
  const tile = at("balance-tile");
  tile.dataset.tone = broken.length ? "red" : "jade";
  if (!trial.rows.length) {
    say("balance", "–");
    say("balance-aside", t("no_books"));
  } else if (!broken.length) {
    say("balance", "0");
    const n = trial.rows.length;
    say("balance-aside", t(n === 1 ? "balanced_one" : "balanced_many", { n }));
  } else {
    say("balance", money(broken[0].difference));
    say("balance-aside", t("unbalanced", {
      where: broken.map((row) => `${row.book} ${row.currency}`).join(", "),
    }));
  }
  const tilt = broken.length ? (broken[0].difference_minor > 0 ? -7 : 7) : 0;
  at("beam").setAttribute("transform", `rotate(${tilt} 66 22)`);
  at("balances").replaceChildren(
    ...trial.rows.map((row) =>
      make("li", { "data-broken": row.difference_minor ? "" : null },
        make("p", {}, make("strong", {}, row.book), " ",
          make("span", { class: "chip" }, row.currency), " ",
          make("span", { class: "muted" }, t(row.funds))),
        make("p", { class: "sides" },
          make("span", {}, make("abbr", { title: t("debits") }, t("debit_short")), money(row.debits)),
          make("span", {}, make("abbr", { title: t("credits") }, t("credit_short")), money(row.credits))))),
  );
}

function showSummary(summary) {
  heardAt = Date.now();
  clock = { ...summary.clock, heard: performance.now() };
  tick();
  showRate("payments", summary.payments);
  showRate("events", summary.events);
  decisions.show(summary.decisions);
  credit.show(summary.credit);
  paying.show(summary.paying);
  showLag(summary.lag);
  showBalance(summary.trial_balance);
  for (const name of ["parties", "accounts", "transfers", "facts"]) {
    say(`count-${name}`, count(summary.counts[name]));
  }
  for (const point of summary.points) {
    const same = points.findIndex((known) => known.at === point.at);
    if (same < 0) points.push(point);
    else points[same] = point;
  }
  points = points.slice(-KEPT_POINTS);
  chart.show(points);
  const recent = points.slice(-SPARK_POINTS);
  spark(at("payments-spark"), recent, (point) => point.payments_per_second);
  spark(at("events-spark"), recent, (point) => point.events_per_second);
  spark(at("lag-spark"), recent, (point) => point.lag_events);
}

function tick() {
  if (!clock) return;
  const passed = state === "live" ? (performance.now() - clock.heard) * clock.speed : 0;
  const now = Date.parse(clock.business_at) + passed;
  say("clock", instant(now));
  at("clock").setAttribute("datetime", new Date(now).toISOString());
  at("clock").title = utc(now);
  const speed = at("speed");
  speed.hidden = clock.speed === 1;
  speed.textContent = clock.speed === 0 ? t("speed_still") : `×${count(clock.speed)}`;
  speed.title = t("speed", { speed: count(clock.speed) });
}

function account(code) {
  // Long codes break at their separators, not in the middle of a word.
  const node = make("code", { title: code });
  code.split(/(?<=[:/.])/).forEach((part, n) => node.append(...(n ? [make("wbr"), part] : [part])));
  return node;
}

function row(movement, isNew) {
  const key = `${movement.book}/${movement.id}`;
  const link = make("a", { href: `?movement=${encodeURIComponent(key)}` },
    make("time", { datetime: movement.at, title: utc(movement.at) }, shortInstant(movement.at)));
  const cells = [
    ["when", link], ["book", movement.book],
    ["from_account", account(movement.from)], ["to_account", account(movement.to)],
    ["amount", make("span", {}, money(movement.amount), " ",
      make("span", { class: "currency" }, movement.currency)), "number"],
    ["kind", make("span", { class: "chip", "data-kind": movement.kind }, t(`kind_${movement.kind}`))],
    ["cause", account(movement.cause)],
  ];
  return make("tr", { "data-key": key, class: isNew ? "is-new" : null },
    ...cells.map(([name, value, kind]) =>
      make("td", { "data-label": t(name), "data-cell": name, class: kind }, value)));
}

// While somebody points at the table or walks through it, it holds still.
const isHeld = () => !drawer.dialog.open && at("movements-card").matches(":hover, :focus-within");

function showMovements(movements, { replace }) {
  if (!replace && isHeld()) {
    waiting = [...movements, ...waiting].slice(0, ROWS);
    say("movements-hint", t("held"));
    return;
  }
  const known = replace ? new Map() : rows;
  const merged = new Map();
  for (const movement of [...movements, ...[...known.values()].map((one) => one.movement)]) {
    const key = `${movement.book}/${movement.id}`;
    if (merged.has(key) || merged.size >= ROWS) continue;
    // A flood of new lines is not worth a light on each.
    const isNew = !replace && movements.length <= ROWS / 2;
    merged.set(key, rows.get(key) ?? { movement, node: row(movement, isNew) });
  }
  rows = merged;
  const body = at("movements");
  body.replaceChildren(...[...rows.values()].map((one) => one.node));
  at("nothing").hidden = rows.size > 0;
}

function release() {
  if (isHeld()) return;
  say("movements-hint", t("open_hint"));
  const held = waiting;
  waiting = [];
  if (held.length) showMovements(held, { replace: false });
}

at("movements-card").addEventListener("pointerleave", () => setTimeout(release));
at("movements-card").addEventListener("focusout", () => setTimeout(release));

at("movements").addEventListener("click", (event) => {
  const line = event.target.closest("tr");
  if (!line || event.ctrlKey || event.metaKey || event.shiftKey || getSelection()?.toString()) return;
  event.preventDefault();
  drawer.open(line.dataset.key);
});

let state = "connecting";

function setState(name) {
  if (state === name) return;
  state = name;
  at("state").dataset.state = name;
  say("state", t(`state_${name}`));
  document.body.dataset.state = name;
  const notice = at("notice");
  const words = {
    lost: () => heardAt && t("notice_lost", { time: time(heardAt) }),
    stale: () => heardAt && t("notice_stale", { time: time(heardAt) }),
    denied: () => t("notice_denied"),
  }[name]?.();
  notice.hidden = !words;
  notice.replaceChildren(words || "");
  if (name === "denied") notice.append(" ", make("a", { href: "/sign-in?to=/" }, t("nav_sign_in")));
}

const stream = new Stream({
  state: setState,
  snapshot(snapshot) {
    points = snapshot.points;
    showMovements(snapshot.movements, { replace: true });
    showSummary(snapshot.summary);
  },
  summary: showSummary,
  movements: (found) => showMovements(found.items, { replace: false }),
});

let isPaused = false;

at("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  at("pause").setAttribute("aria-pressed", String(isPaused));
  say("pause", t(isPaused ? "resume" : "pause"));
  if (isPaused) {
    stream.shut();
    setState("paused");
  } else stream.open();
});

// A page that nobody looks at holds no connection.
document.addEventListener("visibilitychange", () => {
  if (isPaused || state === "denied") return;
  if (document.hidden) stream.shut();
  else if (!stream.source) stream.open();
});

setInterval(tick, 250);
document.body.dataset.state = state;
stream.open();
drawer.follow();
