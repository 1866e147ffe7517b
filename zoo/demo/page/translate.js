/** Translate: tokens appear one by one, each with the words that it was written from. */

import { generate } from "./generate.js";
import { catalogue, openModel, openTokenizer } from "./runtime.js";

const EXAMPLES = {
  "transformer-translator-en-de": [
    "A little girl in a red coat is feeding the ducks.",
    "Two men are playing guitar in front of a large crowd.",
    "A dog jumps over a fence to catch a ball.",
  ],
  "rnn-translator-de-en": [
    "Ein Mann fährt mit dem Fahrrad durch die Stadt.",
    "Zwei Kinder spielen im Schnee mit einem braunen Hund.",
    "Eine Frau liest ein Buch auf einer Bank im Park.",
  ],
};
const PACE = 45; // milliseconds between tokens, so that the eye can follow

const still = matchMedia("(prefers-reduced-motion: reduce)");
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
/** A token as it looks in a text: a space where a word begins. */
const spell = (token) => token.replace(/▁/g, " ");

export async function start(page) {
  const sentence = page.get("sentence");
  const translation = page.get("translation");
  const message = page.get("translate-message");
  const map = page.get("attention-map");
  const chosen = () => page.panel.querySelector("input[name=direction]:checked").value;
  const tokenizers = new Map();
  let newest = 0;
  let shown = null;

  /** Translate, and explain what fails. */
  const go = () => translate().catch((error) => page.fail(error, go));

  async function open(id) {
    const model = await openModel(id, page.progress);
    if (!tokenizers.has(id)) tokenizers.set(id, await openTokenizer(model));
    page.ready();
    return { model, tokenizer: tokenizers.get(id) };
  }

  async function translate() {
    const turn = (newest += 1);
    const text = sentence.value.trim();
    message.textContent = "";
    translation.replaceChildren();
    delete translation.dataset.text;
    page.get("attention").hidden = true;
    if (!text) {
      message.textContent = "Type a sentence first, or take one of the examples.";
      return;
    }
    page.panel.querySelector(".notice")?.remove();
    const { model, tokenizer } = await open(chosen());
    const { ids, tokens } = tokenizer.encode(text);
    const limit = model.json["tokenizer_config.json"].model_max_length;
    if (ids.length > limit) {
      message.textContent = `The sentence has ${ids.length} tokens; the network reads ${limit}. Shorten it.`;
      return;
    }
    const shape = [1, ids.length];
    const inputs = {
      input_ids: new model.Tensor("int64", BigInt64Array.from(ids, BigInt), shape),
      attention_mask: new model.Tensor("int64", new BigInt64Array(ids.length).fill(1n), shape),
    };
    shown = { source: tokens, target: [], attention: [] };
    translation.lang = chosen().slice(-2);
    translation.setAttribute("aria-busy", "true");
    drawMap(shown);
    let time = 0;
    const written = [];
    for await (const { token, attention, milliseconds } of generate(model, inputs)) {
      if (turn !== newest) return;
      time += milliseconds;
      written.push(token);
      add(shown, tokenizer.id_to_token(token), attention);
      page.describe(model.info, time);
      if (!still.matches) await pause(PACE);
    }
    if (turn !== newest) return;
    translation.removeAttribute("aria-busy");
    translation.dataset.text = tokenizer.decode(written, { skip_special_tokens: true }).trim();
    if (!written.length || shown.target.at(-1) !== "</s>") message.textContent = "The network did not come to an end; this is where it stops.";
  }

  function add(result, token, attention) {
    const row = result.target.push(token) - 1;
    result.attention.push(attention);
    if (token !== "</s>") {
      const span = document.createElement("span");
      span.className = "token";
      span.textContent = row ? spell(token) : spell(token).trimStart();
      span.addEventListener("pointerenter", () => point(row));
      span.addEventListener("pointerleave", () => point(null));
      translation.append(span);
    }
    if (!attention) return;
    page.get("attention").hidden = false;
    const line = map.tBodies[0].insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = spell(token).trim() || "␣";
    line.append(head);
    attention.forEach((weight, column) => {
      const cell = line.insertCell();
      cell.style.setProperty("--weight", (weight ** 0.7).toFixed(3)); // small weights stay visible
      cell.title = `${spell(token).trim()} looks at ${spell(result.source[column]).trim()}: ${(100 * weight).toFixed(0)}%`;
    });
    line.addEventListener("pointerenter", () => point(row));
    line.addEventListener("pointerleave", () => point(null));
  }

  function drawMap({ source }) {
    map.style.setProperty("--columns", source.length);
    map.innerHTML = `<thead><tr><td></td></tr></thead><tbody></tbody>`;
    for (const token of source) {
      const head = document.createElement("th");
      head.scope = "col";
      const name = document.createElement("span");
      name.textContent = spell(token).trim() || "␣";
      head.append(name);
      map.tHead.rows[0].append(head);
    }
  }

  /** Light up one written token, and the words that it looked at. */
  function point(row) {
    pointed = row;
    [...translation.children].forEach((span, place) => span.classList.toggle("on", place === row));
    [...map.tBodies[0].rows].forEach((line, place) => line.classList.toggle("on", place === row));
    const weights = row === null ? null : shown.attention[row];
    [...map.tHead.rows[0].cells].slice(1).forEach((cell, place) => cell.style.setProperty("--weight", weights ? (weights[place] ** 0.7).toFixed(3) : 0));
  }
  let pointed = null;
  page.get("attention").onkeydown = (event) => {
    const last = (shown?.target.length ?? 0) - 1;
    const target = { ArrowDown: Math.min(last, (pointed ?? -1) + 1), ArrowUp: Math.max(0, (pointed ?? 1) - 1), Escape: null }[event.key];
    if (target === undefined || last < 0) return;
    event.preventDefault();
    point(target);
  };

  function offer() {
    const buttons = EXAMPLES[chosen()].map((text) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.addEventListener("click", () => {
        sentence.value = text;
        go();
      });
      return button;
    });
    page.get("sentence-examples").replaceChildren(...buttons);
    sentence.lang = chosen().slice(-5, -3);
  }

  page.get("translate-form").onsubmit = (event) => {
    event.preventDefault();
    go();
  };
  sentence.onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    go();
  };
  for (const choice of page.panel.querySelectorAll("input[name=direction]")) {
    choice.onchange = () => {
      offer();
      [sentence.value] = EXAMPLES[chosen()];
      go();
    };
  }
  const { models } = await catalogue();
  for (const choice of page.panel.querySelectorAll("input[name=direction]")) choice.parentElement.hidden = !models[choice.value];
  offer();
  if (!sentence.value) [sentence.value] = EXAMPLES[chosen()];
  const { model } = await open(chosen());
  page.describe(model.info);
  go();
}
