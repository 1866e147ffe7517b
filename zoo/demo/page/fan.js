/** The plot of a forecast: history, median, nested intervals, and a cursor that reads values. */

const NAMESPACE = "http://www.w3.org/2000/svg";
const MARGIN = { top: 24, right: 16, bottom: 28, left: 52 };
const BANDS = [[0.025, 0.975, "b95"], [0.1, 0.9, "b80"], [0.25, 0.75, "b50"]];

function element(name, attributes = {}, text = "") {
  const node = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}

/** Round numbers between two values. */
function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= 0.75 * raw);
  const result = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step) result.push(value);
  return result;
}

/** A number with about four significant digits. */
export function format(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 4;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

/** Hours as days and hours: 0 is the last value of the history. */
export function hours(step) {
  return step === 0 ? "now" : `${step > 0 ? "+" : "−"}${Math.abs(step)} h`;
}

export class Fan {
  /**
   * @param {HTMLElement} box where the plot is drawn
   * @param {HTMLElement} readout where the values under the cursor are written
   */
  constructor(box, readout) {
    this.box = box;
    this.readout = readout;
    this.cursor = null;
    new ResizeObserver(() => this.draw()).observe(box);
    box.addEventListener("pointermove", (event) => this.point(event));
    box.addEventListener("pointerdown", (event) => this.point(event));
    box.addEventListener("pointerleave", () => this.move(null));
    box.addEventListener("keydown", (event) => {
      const now = this.cursor ?? 0;
      const target = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: -this.shown + 1, End: this.data?.quantiles.length, PageDown: now + 24, PageUp: now - 24, Escape: null }[event.key];
      if (target === undefined) return;
      event.preventDefault();
      this.move(target);
    });
  }

  /**
   * @param {{history: number[], truth: number[], levels: number[], quantiles: number[][], unit: string}} data
   *   history ends now; truth is what followed; quantiles of each step ahead
   */
  update(data) {
    this.data = data;
    this.draw();
    this.move(this.cursor);
  }

  quantile(step, level) {
    const place = this.data.levels.findIndex((known) => Math.abs(known - level) < 1e-6);
    return place < 0 ? undefined : this.data.quantiles[step][place];
  }

  point(event) {
    if (!this.data) return;
    const box = this.box.getBoundingClientRect();
    const share = (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right);
    this.move(Math.round(share * (this.shown - 1 + this.data.quantiles.length)) - this.shown + 1);
  }

  draw() {
    const width = this.box.clientWidth;
    if (!this.data || !width) return;
    const height = this.box.clientHeight;
    const { history, truth, quantiles } = this.data;
    const ahead = quantiles.length;
    this.shown = Math.min(history.length, width < 560 ? 72 : 144);
    const past = history.slice(-this.shown);
    const values = [...past, ...truth.slice(0, ahead)].filter(Number.isFinite);
    const reach = Math.max(...values) - Math.min(...values) || 1;
    // An interval that is far wider than the data would flatten all else.
    let low = Math.min(...values, ...quantiles.map((_, step) => Math.max(this.quantile(step, 0.025) ?? Infinity, Math.min(...values) - reach)));
    let high = Math.max(...values, ...quantiles.map((_, step) => Math.min(this.quantile(step, 0.975) ?? -Infinity, Math.max(...values) + reach)));
    const pad = (high - low || 1) * 0.06;
    low = low >= 0 && low - pad < 0 ? 0 : low - pad;
    high += pad;
    const x = (this.x = (step) => MARGIN.left + ((step + this.shown - 1) / (this.shown - 1 + ahead)) * (width - MARGIN.left - MARGIN.right));
    const y = (this.y = (value) => MARGIN.top + (1 - (Math.min(high, Math.max(low, value)) - low) / (high - low)) * (height - MARGIN.top - MARGIN.bottom));

    const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    for (const value of ticks(low, high, height < 300 ? 4 : 5)) {
      svg.append(element("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }));
      svg.append(element("text", { class: "tick", x: MARGIN.left - 10, y: y(value), "text-anchor": "end", dy: "0.32em" }, format(value)));
    }
    svg.append(element("text", { class: "tick", x: 0, y: 6 }, this.data.unit));
    for (let step = -24 * Math.floor((this.shown - 1) / 24); step <= ahead; step += 24) {
      svg.append(element("line", { class: step ? "day" : "now", x1: x(step), x2: x(step), y1: MARGIN.top, y2: height - MARGIN.bottom }));
      const name = step === 0 ? "now" : `${step > 0 ? "+" : "−"}${Math.abs(step / 24)} d`;
      svg.append(element("text", { class: step ? "tick" : "tick here", x: x(step), y: height - 8, "text-anchor": step === ahead ? "end" : "middle" }, name));
    }
    const steps = quantiles.map((_, step) => step);
    const anchor = past.at(-1);
    for (const [from, to, name] of BANDS) {
      if (this.quantile(0, from) === undefined || this.quantile(0, to) === undefined) continue;
      const upper = steps.map((step) => `${x(step + 1)},${y(this.quantile(step, to))}`);
      const lower = steps.map((step) => `${x(step + 1)},${y(this.quantile(step, from))}`).reverse();
      const start = Number.isFinite(anchor) ? [`${x(0)},${y(anchor)}`] : [];
      svg.append(element("polygon", { class: `band ${name}`, points: [...start, ...upper, ...lower].join(" ") }));
    }
    this.line(svg, "history", past.map((value, place) => [place - this.shown + 1, value]));
    this.line(svg, "truth", [[0, anchor], ...truth.slice(0, ahead).map((value, place) => [place + 1, value])]);
    this.line(svg, "median", [[0, anchor], ...steps.map((step) => [step + 1, this.quantile(step, 0.5)])]);
    this.mark = element("g", { class: "cursor", visibility: "hidden" });
    this.mark.append(element("line", { y1: MARGIN.top, y2: height - MARGIN.bottom }), element("circle", { r: 4.5 }));
    svg.append(this.mark);
    this.box.replaceChildren(svg);
    if (this.cursor !== null) this.move(this.cursor);
  }

  /** A line with gaps where a value is missing. */
  line(svg, name, points) {
    let path = "";
    let pen = "M";
    for (const [step, value] of points) {
      if (Number.isFinite(value)) path += `${pen}${this.x(step).toFixed(1)} ${this.y(value).toFixed(1)}`;
      pen = Number.isFinite(value) ? "L" : "M";
    }
    svg.append(element("path", { class: `line ${name}`, d: path }));
  }

  /** Put the cursor on a step, 0 being the last value of the history; null takes it away. */
  move(step) {
    if (!this.data || !this.mark) return;
    const { history, truth, quantiles, unit } = this.data;
    if (step === null) {
      this.cursor = null;
      this.mark.setAttribute("visibility", "hidden");
      this.readout.textContent = `Next ${quantiles.length} hours. Point at the plot, or use the arrow keys, to read values.`;
      return;
    }
    this.cursor = Math.max(1 - this.shown, Math.min(quantiles.length, step));
    const isPast = this.cursor <= 0;
    const value = isPast ? history[history.length - 1 + this.cursor] : this.quantile(this.cursor - 1, 0.5);
    this.mark.setAttribute("visibility", "visible");
    this.mark.firstChild.setAttribute("x1", this.x(this.cursor));
    this.mark.firstChild.setAttribute("x2", this.x(this.cursor));
    this.mark.lastChild.setAttribute("cx", this.x(this.cursor));
    this.mark.lastChild.setAttribute("cy", this.y(value));
    this.mark.lastChild.setAttribute("visibility", Number.isFinite(value) ? "inherit" : "hidden");
    const what = unit ? ` ${unit}` : "";
    let text = `${hours(this.cursor)}: ${Number.isFinite(value) ? format(value) + what : "missing"}`;
    if (!isPast) {
      const range = (level) => format(this.quantile(this.cursor - 1, level));
      text += `, 80% between ${range(0.1)} and ${range(0.9)}`;
      if (Number.isFinite(truth[this.cursor - 1])) text += `; happened: ${format(truth[this.cursor - 1])}`;
    }
    this.readout.textContent = text;
  }
}
