/** Series: reading pasted numbers, synthetic examples, the network's input, and calibrated quantiles. */

import { DemoError } from "./runtime.js";

const MISSING = new Set(["", "nan", "na", "n/a", "null", "none", "-", "?"]);

/** A cell as a number; NaN is missing, undefined is not a number. */
function toNumber(cell, decimalComma) {
  const text = cell.trim().replace(/^"(.*)"$/, "$1");
  if (MISSING.has(text.toLowerCase())) return NaN;
  // 1.234,5 is a number, 01.01.2024 is not.
  const grouped = /^[+-]?\d{1,3}(\.\d{3})+(,\d+)?$/.test(text);
  const plain = decimalComma ? (grouped ? text.replace(/\./g, "") : text).replace(",", ".") : text;
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain) ? Number(plain) : undefined;
}

function split(line, delimiter) {
  return delimiter === null ? [line] : line.split(delimiter);
}

/**
 * The columns of numbers in a text.
 * @param {string} text one value a line, a CSV or TSV, or numbers in one line
 * @returns {{name: string, values: number[]}[]} at least one; NaN is missing
 */
export function readColumns(text) {
  let lines = text.split(/\r\n?|\n/).map((line) => line.trim());
  while (lines.length && !lines.at(-1)) lines.pop();
  while (lines.length && !lines[0]) lines.shift();
  if (!lines.length) throw new DemoError("There are no numbers yet.", "Paste one value a line, oldest first.");
  const sample = lines.slice(0, 20).join("\n");
  const delimiter = sample.includes("\t") ? "\t" : sample.includes(";") ? ";" : sample.includes(",") ? "," : null;
  // With ; or tabs between cells, or one column of 12,5: the comma is the decimal sign.
  const commas = lines.map((line) => (line.match(/,/g) ?? []).length);
  const oneColumn = delimiter === "," && lines.length > 1 && commas.every((count) => count < 2) &&
    lines.slice(1).every((line) => MISSING.has(line.toLowerCase()) || /^[+-]?\d*(,\d+)?$/.test(line)) && lines.slice(1).some((line) => /^[+-]?\d+,\d+$/.test(line));
  const decimalComma = oneColumn || ((delimiter === ";" || delimiter === "\t") && /\d,\d/.test(sample));
  const cells = oneColumn ? null : delimiter;
  if (lines.length === 1) lines = lines[0].split(delimiter ?? /\s+/);
  const rows = lines.map((line) => split(line, lines.length > 1 ? cells : null));
  const width = rows.reduce((most, row) => Math.max(most, row.length), 0);
  const isHeader = rows[0].some((cell, place) => toNumber(cell, decimalComma) === undefined && rows[1] && toNumber(rows[1][place] ?? "", decimalComma) !== undefined);
  const first = isHeader ? 1 : 0;
  const columns = [];
  let problem = null;
  for (let place = 0; place < width; place += 1) {
    const name = isHeader ? rows[0][place]?.trim().replace(/^"(.*)"$/, "$1") || `column ${place + 1}` : width > 1 ? `column ${place + 1}` : "values";
    const values = [];
    for (let row = first; row < rows.length; row += 1) {
      const value = toNumber(rows[row][place] ?? "", decimalComma);
      if (value === undefined) {
        if (row > first && values.length) problem ??= `Line ${row + 1}: expected a number, found “${rows[row][place].trim().slice(0, 30)}”.`;
        break;
      }
      values.push(value);
    }
    if (values.length === rows.length - first && values.some(Number.isFinite)) columns.push({ name, values });
  }
  if (!columns.length) {
    throw new DemoError(problem ?? "No column holds numbers only.", "Paste one value a line, oldest first; leave a line empty where a value is missing.");
  }
  return columns;
}

/** Refuse a series that the network cannot read. */
export function checkSeries(values, config) {
  const observed = values.filter(Number.isFinite);
  if (config.log_values && observed.some((value) => value <= 0)) {
    const row = values.findIndex((value) => value <= 0);
    throw new DemoError(
      `Value ${row + 1} is ${values[row]}, but this network takes positive values.`,
      "Shift the series, for example by adding a constant to every value.",
    );
  }
  if (observed.length < config.patch_length) {
    throw new DemoError(
      `${observed.length} values are too few for a forecast.`,
      `Give at least ${config.patch_length}, better ${config.context_length}: that is what the network reads.`,
    );
  }
}

/** The last steps of a series as the network reads them: {values, observed}, NaN and 0 where nothing is known. */
export function window(values, length) {
  const result = { values: new Float32Array(length).fill(NaN), observed: new Uint8Array(length) };
  const offset = length - Math.min(values.length, length);
  values.slice(-length).forEach((value, place) => {
    if (!Number.isFinite(value)) return;
    result.values[offset + place] = value;
    result.observed[offset + place] = 1;
  });
  return result;
}

/** The deviation of a window's observed values (conformal.py, window_spread). */
export function spread({ values, observed }) {
  const known = Array.from(values).filter((_, place) => observed[place]);
  const mean = known.reduce((a, b) => a + b, 0) / Math.max(known.length, 1);
  const deviation = Math.sqrt(known.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(known.length, 1));
  const size = known.reduce((sum, value) => sum + Math.abs(value), 0) / Math.max(known.length, 1);
  const unit = deviation > 1e-6 * size ? deviation : size;
  return unit > 0 ? unit : 1;
}

const key = (level) => Math.round(level * 1e6) / 1e6;

/** The least half width, in units of the spread, that a margin is a share of (conformal.py, NARROWEST). */
const NARROWEST = 0.01;

/**
 * Quantiles whose intervals have the coverage that they name (conformal.py, Calibration.apply).
 * @param {number[][]} quantiles of each step, ascending
 * @param {number[]} levels of the quantiles
 * @param {object | null} calibration of the saved processor
 * @param {number} unit deviation of the window, from `spread`
 * @returns {{levels: number[], quantiles: number[][]}} quantiles of each step
 */
export function calibrate(quantiles, levels, calibration, unit) {
  if (!calibration) return { levels, quantiles };
  const own = levels.slice(0, Math.floor(levels.length / 2)).map((level, place) => ({
    coverage: 1 - 2 * level, low: place, high: levels.length - 1 - place,
  }));
  const middle = levels.indexOf(0.5);
  const result = quantiles.map((row) => {
    const table = new Map(calibration.from_point ? [] : row.map((value, place) => [key(levels[place]), value]));
    return table;
  });
  calibration.levels.forEach((coverage, place) => {
    const near = own.reduce((best, pair) => (Math.abs(pair.coverage - coverage) < Math.abs(best.coverage - coverage) ? pair : best));
    const margins = calibration.margins[place];
    quantiles.forEach((row, step) => {
      const low = calibration.from_point ? row[middle] : row[near.low];
      const high = calibration.from_point ? row[middle] : row[near.high];
      // Shares of the model's own half width; of older models, and around a point forecast, multiples of the spread.
      const scale = calibration.relative ? Math.max((high - low) / 2, NARROWEST * unit) : unit;
      const margin = [margins[Math.min(step, margins.length - 1)]].flat()[0] * scale;
      const between = (low + high) / 2;
      result[step].set(key((1 - coverage) / 2), Math.min(low - margin, between));
      result[step].set(key(1 - (1 - coverage) / 2), Math.max(high + margin, between));
    });
  });
  const ascending = [...result[0].keys()].sort((a, b) => a - b);
  const floor = calibration.floor ?? -Infinity;
  return {
    levels: ascending,
    quantiles: result.map((row) => ascending.map((level) => row.get(level)).sort((a, b) => a - b).map((value) => Math.max(value, floor))),
  };
}

/** A small generator of random numbers with a seed (mulberry32). */
function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const bump = (hour, center, width) => Math.exp(-(((hour - center) / width) ** 2));

/** Hourly series that nobody measured: [name, unit, value of (hour of the day, day of the week, step, noise)]. */
const RECIPES = [
  ["City electricity", "MW", (hour, day, step, noise) =>
    (540 + 210 * bump(hour, 9, 4.2) + 260 * bump(hour, 19, 3.4)) * (day > 4 ? 0.84 : 1) + 0.12 * step + 14 * noise],
  ["Bicycles on a bridge", "an hour", (hour, day, step, noise) =>
    (day > 4 ? 22 + 95 * bump(hour, 15, 4.5) : 14 + 240 * bump(hour, 8, 1.5) + 215 * bump(hour, 17.5, 1.9) + 55 * bump(hour, 13, 4)) * (1 + 0.11 * noise)],
  ["Visitors of a museum's site", "an hour", (hour, day, step, noise) =>
    (60 + 0.28 * step) * (0.45 + bump(hour, 20, 5) + 0.55 * bump(hour, 12, 4)) * (day > 4 ? 1.35 : 1) * (1 + 0.07 * noise)],
  ["A cold store", "°C above −20", (hour, day, step, noise) =>
    3.1 + 0.9 * Math.sin((2 * Math.PI * (hour - 9)) / 24) + (hour % 6 === 0 ? 0.85 : 0) + 0.16 * noise],
];

export function exampleSeries() {
  return RECIPES.map(([name, unit, value], number) => {
    const draw = random(7 + number);
    let noise = 0;
    const values = Array.from({ length: 24 * 16 }, (_, step) => {
      noise = 0.6 * noise + (draw() + draw() + draw() - 1.5);
      return Math.max(0.1, Math.round(10 * value(step % 24, Math.floor(step / 24) % 7, step, noise)) / 10);
    });
    return { name, unit, values };
  });
}
