/** Classify: a canvas of 28 by 28 pixels and ten bars that move with every stroke. */

import { normalize, resize, toGray } from "./image.js";
import { openModel, softmax } from "./runtime.js";

const MODEL = "fashion-cnn";
const SIDE = 28;
const SHADE = 205; // fabric, not pure white
const UNDO = 60;

class Drawing {
  constructor() {
    this.pixels = new Float32Array(SIDE * SIDE);
    this.past = [];
  }

  remember() {
    this.past.push(this.pixels.slice());
    if (this.past.length > UNDO) this.past.shift();
  }

  replace(pixels) {
    this.remember();
    this.pixels = Float32Array.from(pixels);
  }

  undo() {
    this.pixels = this.past.pop() ?? this.pixels;
  }

  /** A round, soft-edged spot at a place in pixels. */
  stamp(x, y, width, erase) {
    const radius = width / 2;
    for (let row = Math.max(0, Math.floor(y - radius - 1)); row <= Math.min(SIDE - 1, y + radius + 1); row += 1) {
      for (let column = Math.max(0, Math.floor(x - radius - 1)); column <= Math.min(SIDE - 1, x + radius + 1); column += 1) {
        const distance = Math.hypot(column + 0.5 - x, row + 0.5 - y);
        const cover = Math.min(1, Math.max(0, radius + 0.5 - distance));
        const place = row * SIDE + column;
        const value = this.pixels[place];
        this.pixels[place] = erase ? Math.min(value, 255 * (1 - cover)) : Math.max(value, SHADE * cover);
      }
    }
  }

  stroke(from, to, width, erase, mirror) {
    const steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) * 3));
    for (let step = 0; step <= steps; step += 1) {
      const x = from.x + ((to.x - from.x) * step) / steps;
      const y = from.y + ((to.y - from.y) * step) / steps;
      this.stamp(x, y, width, erase);
      if (mirror) this.stamp(SIDE - x, y, width, erase);
    }
  }

  /** Fill the dark area around a place up to the lines that enclose it. */
  fill(x, y) {
    const start = Math.floor(y) * SIDE + Math.floor(x);
    const limit = SHADE * 0.6;
    if (!(this.pixels[start] < limit)) return;
    const stack = [start];
    const seen = new Set(stack);
    while (stack.length) {
      const place = stack.pop();
      this.pixels[place] = SHADE;
      const column = place % SIDE;
      for (const next of [place - SIDE, place + SIDE, column > 0 ? place - 1 : -1, column < SIDE - 1 ? place + 1 : -1]) {
        if (next < 0 || next >= SIDE * SIDE || seen.has(next) || !(this.pixels[next] < limit)) continue;
        seen.add(next);
        stack.push(next);
      }
    }
  }
}

function drawBars(list, labels) {
  list.replaceChildren(
    ...labels.map((label) => {
      const row = document.createElement("li");
      row.innerHTML = `<span class="name"></span><span class="bar"><i></i></span><output></output>`;
      row.querySelector(".name").textContent = label;
      return row;
    }),
  );
}

/** Read a picture file or address as gray pixels. */
async function readPicture(source) {
  const blob = source instanceof Blob ? source : await fetch(source).then((response) => response.blob());
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return { gray: toGray(context.getImageData(0, 0, bitmap.width, bitmap.height).data), width: bitmap.width, height: bitmap.height };
}

/** The middle square of a picture. */
function crop({ gray, width, height }) {
  const side = Math.min(width, height);
  const left = Math.floor((width - side) / 2);
  const top = Math.floor((height - side) / 2);
  const square = new Uint8Array(side * side);
  for (let y = 0; y < side; y += 1) square.set(gray.subarray((top + y) * width + left, (top + y) * width + left + side), y * side);
  return { gray: square, side };
}

/** Whether a picture shows something dark on a light ground. */
function hasLightGround(pixels) {
  let sum = 0;
  for (let i = 0; i < SIDE; i += 1) sum += pixels[i] + pixels[SIDE * (SIDE - 1) + i] + pixels[SIDE * i] + pixels[SIDE * i + SIDE - 1];
  return sum / (4 * SIDE) > 127;
}

export async function start(page) {
  const canvas = page.get("garment");
  const context = canvas.getContext("2d");
  const drawing = new Drawing();
  const model = await openModel(MODEL, page.progress);
  const labels = Object.values(model.json["config.json"].id2label);
  const settings = model.json["preprocessor_config.json"];
  const bars = page.get("garment-bars");
  const verdict = page.get("garment-verdict");
  drawBars(bars, labels);

  let running = false;
  let again = false;
  let announce = 0;

  /** Classify what is on the canvas; strokes that come meanwhile are classified after it. */
  async function answer() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      do {
        again = false;
        const gray = drawing.pixels.map(Math.round);
        const input = new model.Tensor("float32", normalize(gray, settings), [1, 1, SIDE, SIDE]);
        const begun = performance.now();
        const { logits } = await model.sessions["model.onnx"].run({ pixel_values: input });
        show(softmax(logits.data), gray.some((value) => value > 0));
        page.describe(model.info, performance.now() - begun);
      } while (again);
    } finally {
      running = false;
    }
  }

  function show(probabilities, drawn) {
    const best = probabilities.indexOf(Math.max(...probabilities));
    [...bars.children].forEach((row, place) => {
      const value = drawn ? probabilities[place] : 0;
      row.classList.toggle("best", drawn && place === best);
      row.querySelector("i").style.transform = `scaleX(${value})`;
      row.querySelector("output").textContent = drawn ? `${(100 * value).toFixed(1)}%` : "";
    });
    bars.dataset.probabilities = drawn ? JSON.stringify(probabilities) : "";
    clearTimeout(announce);
    const text = drawn ? labels[best] : "Nothing drawn yet";
    verdict.classList.toggle("empty", !drawn);
    // Said when the hand rests; every stroke would be too much for a screen reader.
    verdict.setAttribute("aria-busy", "true");
    announce = setTimeout(() => verdict.removeAttribute("aria-busy"), 400);
    if (verdict.textContent !== text) verdict.textContent = text;
  }

  function paint() {
    const image = context.createImageData(SIDE, SIDE);
    drawing.pixels.forEach((value, place) => image.data.set([value, value, value, 255], 4 * place));
    context.putImageData(image, 0, 0);
    page.get("undo").disabled = !drawing.past.length;
    answer().catch((error) => page.fail(error, paint));
  }

  // Pen, eraser and fill, by pointer or by keys.
  const width = page.get("width");
  const mirror = page.get("mirror");
  const tool = () => page.panel.querySelector("input[name=tool]:checked").value;
  const choose = (name) => (page.panel.querySelector(`input[name=tool][value=${name}]`).checked = true);
  let last = null;

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * SIDE, y: ((event.clientY - box.top) / box.height) * SIDE };
  }
  function use(from, to) {
    if (tool() === "fill") {
      drawing.fill(to.x, to.y);
      if (mirror.checked) drawing.fill(SIDE - to.x - 0.001, to.y);
    } else {
      drawing.stroke(from, to, Number(width.value), tool() === "eraser", mirror.checked);
    }
    paint();
  }
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    drawing.remember();
    last = place(event);
    brush.hidden = true;
    use(last, last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last || tool() === "fill") return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) {
      const next = place(part);
      drawing.stroke(last, next, Number(width.value), tool() === "eraser", mirror.checked);
      last = next;
    }
    paint();
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (last = null));

  const brush = page.panel.querySelector(".brush");
  const cursor = { x: 14, y: 14 };
  function showBrush() {
    brush.hidden = false;
    brush.style.left = `${(100 * cursor.x) / SIDE}%`;
    brush.style.top = `${(100 * cursor.y) / SIDE}%`;
    brush.style.width = `${(100 * Math.max(1, Number(width.value))) / SIDE}%`;
  }
  canvas.addEventListener("blur", () => (brush.hidden = true));
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const before = { ...cursor };
    if (moves[event.key]) {
      cursor.x = Math.min(SIDE - 0.5, Math.max(0.5, cursor.x + moves[event.key][0]));
      cursor.y = Math.min(SIDE - 0.5, Math.max(0.5, cursor.y + moves[event.key][1]));
      if (event.shiftKey) use(before, cursor);
    } else if (event.key === " ") {
      drawing.remember();
      use(cursor, cursor);
    } else {
      return;
    }
    event.preventDefault();
    showBrush();
  });

  const act = {
    p: () => choose("pen"),
    e: () => choose("eraser"),
    f: () => choose("fill"),
    m: () => (mirror.checked = !mirror.checked),
    i: () => drawing.replace(drawing.pixels.map((value) => 255 - value)),
    z: () => drawing.undo(),
  };
  page.panel.querySelector(".studio").addEventListener("keydown", (event) => {
    const action = act[event.key.toLowerCase()];
    if (!action || ((event.ctrlKey || event.metaKey) && event.key !== "z") || event.altKey) return;
    event.preventDefault();
    action();
    paint();
  });
  page.get("invert").onclick = () => [act.i(), paint()];
  page.get("undo").onclick = () => [act.z(), paint()];
  page.get("clear").onclick = () => [drawing.replace(new Float32Array(SIDE * SIDE)), paint()];

  // Ten pictures of the test split in one row, in the order of the classes.
  const sheet = await readPicture("examples/garments.png");
  const examples = labels.map((label, number) => {
    const pixels = new Uint8Array(SIDE * SIDE);
    for (let y = 0; y < SIDE; y += 1) {
      const from = y * sheet.width + number * SIDE;
      pixels.set(sheet.gray.subarray(from, from + SIDE), y * SIDE);
    }
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", label);
    button.title = label;
    button.style.backgroundPosition = `${(100 * number) / (labels.length - 1)}% 0`;
    button.addEventListener("click", () => [drawing.replace(pixels), paint()]);
    return { button, pixels };
  });
  page.get("garment-shelf").replaceChildren(...examples.map(({ button }) => button));
  page.get("garment-file").onchange = async (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file) return;
    page.get("garment-message").textContent = "";
    try {
      const { gray, side } = crop(await readPicture(file));
      const small = resize(gray, side, side, SIDE);
      drawing.replace(hasLightGround(small) ? small.map((value) => 255 - value) : small);
      paint();
    } catch {
      page.get("garment-message").textContent = `${file.name} is not a picture that this browser reads. Choose a PNG, JPEG or WebP file.`;
    }
  };

  page.describe(model.info);
  if (!drawing.past.length) drawing.pixels = Float32Array.from(examples[9].pixels);
  paint();
}
