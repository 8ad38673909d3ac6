// The drawer that shows one movement with its entries; the open one stands in the address.

import { instant, make, money, utc } from "./format.js";
import { language, t } from "./texts.js";

const keyOf = () => new URLSearchParams(location.search).get("movement");

function address(key) {
  const url = new URL(location.href);
  if (key) url.searchParams.set("movement", key);
  else url.searchParams.delete("movement");
  return url;
}

export class Drawer {
  constructor(dialog) {
    this.dialog = dialog;
    this.body = dialog.querySelector(".drawer-body");
    dialog.querySelector("#drawer-close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
    dialog.addEventListener("close", () => {
      this.key = null;
      if (keyOf()) history.pushState(null, "", address(null));
    });
    addEventListener("popstate", () => this.follow());
    this.body.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-key]");
      if (!link) return;
      event.preventDefault();
      this.open(link.dataset.key);
    });
  }

  /** Show what the address says. */
  follow() {
    const key = keyOf();
    if (key) this.show(key);
    else if (this.dialog.open) this.dialog.close();
  }

  open(key) {
    if (key !== keyOf()) history.pushState(null, "", address(key));
    this.show(key);
  }

  async show(key) {
    this.key = key;
    this.body.replaceChildren(make("p", { class: "muted" }, t("loading")));
    if (!this.dialog.open) this.dialog.showModal();
    const [book, id] = key.split("/");
    const path = `/v1/live/movements/${encodeURIComponent(book)}/${encodeURIComponent(id ?? "")}`;
    let found;
    try {
      const answer = await fetch(path, { headers: { "Accept-Language": language } });
      const told = await answer.json();
      found = answer.ok ? detail(told, path) : gone(told.title);
    } catch {
      found = gone(t("no_connection"));
    }
    if (this.key !== key) return;
    this.body.replaceChildren(...found);
    this.body.scrollTop = 0;
  }
}

function link(book, id, text) {
  const key = `${book}/${id}`;
  return make("a", { href: `?movement=${encodeURIComponent(key)}`, "data-key": key },
    make("code", {}, text));
}

const gone = (why) => [make("p", { class: "notice" }, t("movement_gone", { why }))];

function fact(name, ...value) {
  return make("div", {}, make("dt", {}, t(name)), make("dd", {}, ...value));
}

const when = (value) => make("time", { datetime: value, title: utc(value) }, instant(value));

function detail(found, path) {
  const it = found.movement;
  const copy = make("button", { type: "button", class: "button", "data-copy": it.id }, t("copy_id"));
  return [
    make("p", { class: "drawer-amount" }, money(it.amount), " ",
      make("span", { class: "currency" }, it.currency), " ",
      make("span", { class: "chip", "data-kind": it.kind }, t(`kind_${it.kind}`))),
    make("h3", {}, t("entries")),
    entries(found),
    ...(it.kind === "hold" || it.kind === "void" ? [make("p", { class: "hint" }, t("held_note"))] : []),
    make("dl", { class: "facts" },
      fact("id", make("code", {}, it.id), " ", copy),
      fact("book", it.book),
      fact("cause", make("code", {}, it.cause)),
      fact("recorded_at", when(it.at)),
      fact("effective_on", it.effective_on),
      ...(found.entry ? [fact("journal_entry", make("code", {}, found.entry))] : []),
      ...(found.refers_to ? [fact("refers_to", link(it.book, found.refers_to, found.refers_to))] : []),
      ...(found.decision_id ? [fact("decision", make("code", {}, found.decision_id))] : []),
      fact("hash", make("code", { class: "hash" }, found.hash))),
    make("h3", {}, t("linked")),
    linked(found.linked),
    make("h3", {}, t("event")),
    events(found.events),
    make("p", {}, make("a", { href: path }, t("as_json"))),
  ];
}

function entries(found) {
  return make("table", { class: "entries" },
    make("thead", {}, make("tr", {},
      make("th", { scope: "col" }, t("side")), make("th", { scope: "col" }, t("account")),
      make("th", { scope: "col", class: "number" }, t("amount")),
      make("th", { scope: "col", class: "number" }, t("balance_after")))),
    make("tbody", {}, ...found.entries.map((entry) =>
      make("tr", {},
        make("td", {}, t(entry.side)), make("td", {}, make("code", {}, entry.account)),
        make("td", { class: "number" }, money(entry.amount)),
        make("td", { class: "number" }, money(entry.balance))))));
}

function linked(movements) {
  if (!movements.length) return make("p", { class: "muted" }, t("no_linked"));
  return make("ul", { class: "linked" }, ...movements.map((one) => {
    return make("li", {},
      link(one.book, one.id, `${one.from} → ${one.to}`),
      make("span", { class: "number" }, `${money(one.amount)} ${one.currency}`),
      make("span", { class: "chip" }, t(`kind_${one.kind}`)));
  }));
}

function events(found) {
  if (!found.length) return make("p", { class: "muted" }, t("no_event"));
  return make("div", {}, ...found.map((event) =>
    make("details", { open: found.length === 1 ? "" : null },
      make("summary", {}, make("code", {}, `${event.kind}@${event.version}`), " ",
        make("span", { class: "muted" }, event.subject)),
      make("pre", {}, JSON.stringify(event.payload, null, 2)))));
}
