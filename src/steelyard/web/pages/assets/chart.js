// Sparklines and the chart of fifteen minutes, drawn by hand as SVG.

import { draw, minute, rate, time } from "./format.js";
import { t } from "./texts.js";

/** Points into runs without holes: what is not known is not drawn. */
function runs(points, value) {
  const found = [];
  let run = [];
  for (const [i, point] of points.entries()) {
    const y = value(point);
    if (y === null || y === undefined) {
      if (run.length) found.push(run);
      run = [];
    } else run.push([i, y]);
  }
  if (run.length) found.push(run);
  return found;
}

const path = (run, x, y) =>
  run.map(([i, value], n) => `${n ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`).join("");

/** The least round number of 1, 2 or 5 times a power of ten that `n` steps need to reach `top`. */
function step(top, n) {
  const least = top / n;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((k) => k * power).find((size) => size >= least - 1e-12);
}

const MIN_SPARK = 6;

export function spark(svg, all, value) {
  const width = 120, height = 36;
  const first = all.findIndex((point) => typeof value(point) === "number");
  const points = first < 0 ? [] : all.slice(Math.min(first, all.length - MIN_SPARK));
  const known = points.map(value).filter((y) => y !== null && y !== undefined);
  const top = Math.max(...known, 0) || 1;
  const x = (i) => (i / Math.max(points.length - 1, 1)) * width;
  const y = (v) => height - 2 - (v / top) * (height - 6);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  for (const run of runs(points, value)) {
    const line = path(run, x, y);
    const [first, last] = [x(run[0][0]), x(run[run.length - 1][0])];
    svg.append(
      draw("path", { d: `${line}L${last} ${height}L${first} ${height}Z`, class: "fill" }),
      draw("path", { d: line, class: "line", "vector-effect": "non-scaling-stroke" }),
    );
  }
}

const SERIES = [
  ["events", "brass", (point) => point.events_per_second],
  ["payments", "jade", (point) => point.payments_per_second],
];
const MARGIN = { left: 46, right: 12, top: 14, bottom: 26 };

export class Chart {
  constructor(root, said) {
    this.root = root;
    this.said = said;
    this.points = [];
    this.at = null;
    this.svg = draw("svg", { "aria-hidden": "true" });
    root.append(this.svg);
    said.textContent = t("chart_summary");
    new ResizeObserver(() => this.draw()).observe(root);
    root.addEventListener("pointermove", (event) => this.point(event.offsetX));
    root.addEventListener("pointerleave", () => this.choose(null));
    root.addEventListener("blur", () => this.choose(null));
    root.addEventListener("keydown", (event) => this.key(event));
  }

  show(points) {
    this.points = points;
    this.draw();
  }

  point(offset) {
    const inside = this.width - MARGIN.left - MARGIN.right;
    const share = (offset - MARGIN.left) / inside;
    const last = this.points.length - 1;
    this.choose(share < 0 || share > 1 || last < 0 ? null : Math.round(share * last));
  }

  key(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || !this.points.length) return;
    event.preventDefault();
    const last = this.points.length - 1;
    const next = this.at === null ? last : Math.min(last, Math.max(0, this.at + by));
    this.choose(next);
    const point = this.points[next];
    this.said.textContent = t("chart_said", {
      time: time(point.at),
      payments: rate(point.payments_per_second),
      events: rate(point.events_per_second),
    });
  }

  choose(at) {
    if (this.at === at) return;
    this.at = at;
    this.draw();
  }

  draw() {
    const { svg, points } = this;
    this.width = this.root.clientWidth;
    const height = this.root.clientHeight;
    if (!this.width || !points.length) return;
    svg.setAttribute("viewBox", `0 0 ${this.width} ${height}`);
    svg.replaceChildren();
    const inside = { width: this.width - MARGIN.left - MARGIN.right,
                     height: height - MARGIN.top - MARGIN.bottom };
    const known = points.flatMap((p) => [p.payments_per_second, p.events_per_second]);
    const size = step(Math.max(...known.filter((v) => v !== null), 1), 4);
    const top = size * Math.max(1, Math.ceil(Math.max(...known.filter((v) => v !== null), 1) / size));
    const x = (i) => MARGIN.left + (i / Math.max(points.length - 1, 1)) * inside.width;
    const y = (v) => MARGIN.top + inside.height * (1 - v / top);
    this.axes({ x, y, top, size, height });
    this.unknown({ x, height });
    for (const [, tone, value] of SERIES) {
      for (const run of runs(points, value)) {
        const line = path(run, x, y);
        const [first, last] = [x(run[0][0]), x(run[run.length - 1][0])];
        svg.append(
          draw("path", { d: `${line}L${last} ${y(0)}L${first} ${y(0)}Z`, class: `fill ${tone}` }),
          draw("path", { d: line, class: `line ${tone}` }),
        );
      }
    }
    if (this.at !== null) this.cross({ x, y, height });
  }

  axes({ x, y, top, size, height }) {
    for (let v = 0; v <= top + size / 2; v += size) {
      this.svg.append(
        draw("line", { x1: MARGIN.left, x2: this.width - MARGIN.right, y1: y(v), y2: y(v), class: "grid" }),
        draw("text", { x: MARGIN.left - 8, y: y(v) + 4, class: "tick", "text-anchor": "end" }, rate(v)),
      );
    }
    const every = this.width < 480 ? 5 : 3;
    for (const [i, point] of this.points.entries()) {
      const at = new Date(point.at);
      if (at.getSeconds() || at.getMinutes() % every) continue;
      if (x(i) < MARGIN.left + 16 || x(i) > this.width - MARGIN.right - 16) continue;
      this.svg.append(
        draw("text", { x: x(i), y: height - 8, class: "tick", "text-anchor": "middle" }, minute(at)),
      );
    }
  }

  // The time before this process began to look: said, not drawn as zero.
  unknown({ x, height }) {
    const first = this.points.findIndex((p) => p.payments_per_second !== null);
    const until = first < 0 ? this.points.length - 1 : first;
    if (until < 1) return;
    const width = x(until) - x(0);
    this.svg.append(draw("rect", {
      x: x(0), y: MARGIN.top, width, height: height - MARGIN.top - MARGIN.bottom, class: "unknown",
    }));
    if (width > 90) {
      this.svg.append(draw("text", {
        x: x(0) + width / 2, y: (height - MARGIN.bottom + MARGIN.top) / 2 + 4, class: "tick over",
        "text-anchor": "middle",
      }, t("not_observed")));
    }
  }

  cross({ x, y, height }) {
    const point = this.points[this.at];
    const at = x(this.at);
    this.svg.append(draw("line", { x1: at, x2: at, y1: MARGIN.top, y2: height - MARGIN.bottom, class: "cross" }));
    const lines = [time(point.at)];
    for (const [name, tone, value] of SERIES.toReversed()) {
      const v = value(point);
      lines.push(`${t(`${name}_rate`)} ${rate(v)}${t(name === "payments" ? "per_second" : "per_second_events")}`);
      if (v !== null) this.svg.append(draw("circle", { cx: at, cy: y(v), r: 3.5, class: `dot ${tone}` }));
    }
    const wide = 150, tall = 66;
    const left = at + 12 + wide > this.width ? at - 12 - wide : at + 12;
    this.svg.append(draw("rect", { x: left, y: MARGIN.top + 4, width: wide, height: tall, rx: 8, class: "tip" }));
    for (const [n, line] of lines.entries()) {
      this.svg.append(draw("text", {
        x: left + 12, y: MARGIN.top + 23 + n * 19, class: n ? "tip-text" : "tip-head",
      }, line));
    }
  }
}
