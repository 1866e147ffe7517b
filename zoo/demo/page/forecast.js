/** Forecast: a series, pasted or synthetic, and the fan of its next hours. */

import { Fan, format } from "./fan.js";
import { DemoError, openModel } from "./runtime.js";
import { calibrate, checkSeries, exampleSeries, readColumns, spread, window as cutWindow } from "./series.js";

const MODEL = "lstm-forecaster-m4-hourly";
const LARGEST = 5e6; // bytes of a file; the network reads its last ten days only

/**
 * Calibrated quantiles of the steps after a series.
 * @param {object} model from `openModel`
 * @param {number[]} values NaN is missing
 */
export async function forecast(model, values) {
  const config = model.json["config.json"];
  const past = cutWindow(values, config.context_length);
  const session = model.sessions["model.onnx"];
  const shape = [1, config.context_length, 1];
  const inputs = {
    past_values: new model.Tensor("float32", past.values, shape),
    past_observed_mask: new model.Tensor("bool", past.observed, shape),
  };
  const { quantile_outputs: output } = await session.run(Object.fromEntries(session.inputNames.map((name) => [name, inputs[name]])));
  const levels = config.quantiles;
  const quantiles = Array.from({ length: output.data.length / levels.length }, (_, step) =>
    Array.from(output.data.subarray(step * levels.length, (step + 1) * levels.length)),
  );
  return calibrate(quantiles, levels, model.json["preprocessor_config.json"].calibration, spread(past));
}

export async function start(page) {
  const model = await openModel(MODEL, page.progress);
  const config = model.json["config.json"];
  const fan = new Fan(page.get("fan"), page.get("fan-reading"));
  const origin = page.get("origin");
  const message = page.get("series-message");
  const text = page.get("series-text");
  const column = page.get("series-column");
  let series = null;
  let newest = 0;

  async function answer() {
    const turn = (newest += 1);
    const end = Number(origin.value);
    const history = series.values.slice(0, end);
    const begun = performance.now();
    const { levels, quantiles } = await forecast(model, history);
    if (turn !== newest) return;
    page.describe(model.info, performance.now() - begun);
    const truth = series.values.slice(end);
    fan.update({ history, truth, levels, quantiles, unit: series.unit });
    const back = series.values.length - end;
    page.get("origin-text").textContent = back ? `${back} hours before the end` : "the end of the series";
    page.panel.querySelector(".legend .truth").hidden = !truth.length;
    fillTable(levels, quantiles);
  }

  function fillTable(levels, quantiles) {
    const shown = [0.025, 0.1, 0.5, 0.9, 0.975];
    const places = shown.map((level) => levels.findIndex((known) => Math.abs(known - level) < 1e-6));
    const cells = (tag, row) => `<tr>${row.map((cell) => `<${tag}>${cell}</${tag}>`).join("")}</tr>`;
    const head = ["hour", ...shown.map((level) => (level === 0.5 ? "median" : `${100 * level}%`))];
    const rows = quantiles.map((row, step) => [`+${step + 1}`, ...places.map((place) => format(row[place]))]);
    page.get("fan-table").innerHTML = `<thead>${cells("th", head)}</thead><tbody>${rows.map((row) => cells("td", row)).join("")}</tbody>`;
    page.get("fan-table").dataset.forecast = JSON.stringify({ levels, quantiles });
  }

  /** Show a series; false if the network cannot read it. */
  function choose(next) {
    checkSeries(next.values, config);
    series = next;
    const least = Math.min(next.values.length, Math.max(config.patch_length, next.values.length - 7 * 24));
    origin.min = least;
    origin.max = next.values.length;
    origin.value = next.values.length;
    origin.closest("label").hidden = least === next.values.length;
    redraw();
  }

  function redraw() {
    answer().catch((error) => page.fail(error, redraw));
  }

  function tell(error) {
    if (!(error instanceof DemoError)) throw error;
    message.textContent = `${error.message} ${error.advice}`;
    message.classList.add("wrong");
  }

  function readText() {
    message.classList.remove("wrong");
    message.textContent = "";
    if (!text.value.trim()) return;
    try {
      const columns = readColumns(text.value);
      const chosen = Math.max(0, columns.findIndex(({ name }) => name === column.value));
      column.replaceChildren(...columns.map(({ name }) => new Option(name)));
      column.selectedIndex = chosen;
      column.closest("label").hidden = columns.length < 2;
      choose({ ...columns[chosen], unit: "" });
      press(null);
      const { length } = columns[chosen].values;
      message.textContent = `Read ${length.toLocaleString("en")} values.` + (length < config.context_length ? ` The network reads ${config.context_length}: what is missing before them makes it less certain.` : "");
    } catch (error) {
      tell(error);
    }
  }

  const buttons = exampleSeries().map((example) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = example.name;
    button.addEventListener("click", () => {
      text.value = "";
      readText();
      column.closest("label").hidden = true;
      choose(example);
      press(button);
    });
    return button;
  });
  const press = (chosen) => buttons.forEach((button) => button.setAttribute("aria-pressed", button === chosen));
  page.get("series-examples").replaceChildren(...buttons);

  let waiting = 0;
  text.oninput = () => {
    clearTimeout(waiting);
    waiting = setTimeout(readText, 250);
  };
  column.onchange = readText;
  origin.oninput = redraw;
  page.get("series-file").onchange = async (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file) return;
    const content = file.size > LARGEST ? "" : await file.text();
    if (!content || content.includes("\0")) {
      const reason = content ? "is not a text file in UTF-8." : file.size ? "has more than 5 MB." : "is empty.";
      tell(new DemoError(`${file.name} ${reason}`, "Choose a CSV or a text file with one value an hour."));
      return;
    }
    text.value = content;
    readText();
  };
  page.get("fan-copy").onclick = async (event) => {
    const { levels, quantiles } = JSON.parse(page.get("fan-table").dataset.forecast);
    const lines = [["step", ...levels], ...quantiles.map((row, step) => [step + 1, ...row])];
    await navigator.clipboard.writeText(lines.map((line) => line.join(",")).join("\n"));
    event.target.textContent = "Copied";
    setTimeout(() => (event.target.textContent = "Copy as CSV"), 1500);
  };

  page.describe(model.info);
  if (text.value.trim()) readText();
  else buttons[0].click();
}
