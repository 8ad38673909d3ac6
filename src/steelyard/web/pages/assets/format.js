// Numbers, instants and money as people read them. Money never becomes a float: it is text.

import { language } from "./texts.js";

const whole = new Intl.NumberFormat(language);
const twoDecimals = new Intl.NumberFormat(language, { maximumFractionDigits: 2 });
const oneDecimal = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(language, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const shortClock = new Intl.DateTimeFormat(language, {
  hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});
const parts = new Intl.DateTimeFormat("en", {
  year: "numeric", month: "2-digit", day: "2-digit",
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});

function fields(value) {
  return Object.fromEntries(parts.formatToParts(new Date(value)).map((p) => [p.type, p.value]));
}

export const count = (value) => (value === null ? "–" : whole.format(value));

/** A rate: with decimals while it is small, "–" while it is not known. */
export function rate(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1) return twoDecimals.format(value);
  return value < 100 ? oneDecimal.format(value) : whole.format(Math.round(value));
}

export const time = (value) => clock.format(new Date(value));
export const minute = (value) => shortClock.format(new Date(value));

/** Year first, in the reader's zone: the same in both languages, and never month for day. */
export function instant(value) {
  const f = fields(value);
  return `${f.year}-${f.month}-${f.day} ${f.hour}:${f.minute}:${f.second}`;
}

export function shortInstant(value) {
  const f = fields(value);
  return `${f.month}-${f.day} ${f.hour}:${f.minute}:${f.second}`;
}

export const utc = (value) => new Date(value).toISOString().replace("T", " ").slice(0, 19) + " UTC";

/** Group the digits of a decimal text: "-1234567.80" to "−1,234,567.80". */
export function money(text) {
  const [head, tail] = text.replace("-", "−").split(".");
  const grouped = head.replace(/\B(?=(\d{3})+$)/g, ",");
  return tail === undefined ? grouped : `${grouped}.${tail}`;
}

/** Make an element: attributes that are undefined or null are left out, text is never HTML. */
export function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

export function draw(name, attributes = {}, text = undefined) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}
