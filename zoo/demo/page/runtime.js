/** Models and the runtime: downloaded once, checked, and kept in the browser's cache so that they work offline. */

const CACHE = "zoo-models";

/** An error that a visitor can do something about: what is wrong, and what helps. */
export class DemoError extends Error {
  constructor(message, advice) {
    super(message);
    this.advice = advice;
  }
}

// The smallest module with a SIMD instruction: a function that returns a vector.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

export function checkBrowser() {
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(new Uint8Array(SIMD))) {
    throw new DemoError(
      "This browser cannot run the networks: it has no WebAssembly SIMD.",
      "Update it, or use Chrome 91, Firefox 89, Safari 16.4 or anything newer.",
    );
  }
}

async function openCache() {
  // Only pages from https or from this machine have a cache; elsewhere every visit downloads.
  return "caches" in globalThis ? caches.open(CACHE) : null;
}

async function checksum(buffer) {
  if (!globalThis.crypto?.subtle) return null;
  const digest = await crypto.subtle.digest("SHA-256", buffer);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The bytes of a response, with progress. */
async function read(response, report) {
  const chunks = [];
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(chunks).arrayBuffer();
    chunks.push(value);
    report(value.length);
  }
}

/**
 * The content of a file whose size and checksum are known.
 * @param {string} path relative to the page
 * @param {{bytes: number, sha256: string}} expected
 * @param {(bytes: number) => void} report is told of every part that arrived
 */
async function download(path, expected, report) {
  const cache = await openCache();
  const address = `${path}?sha256=${expected.sha256.slice(0, 16)}`;
  const kept = await cache?.match(address);
  if (kept) {
    report(expected.bytes);
    return kept.arrayBuffer();
  }
  const response = await fetch(address).catch(() => null);
  if (!response) {
    throw new DemoError(
      navigator.onLine === false
        ? `You are offline, and ${path} is not on this device yet.`
        : `${path} could not be fetched: the server does not answer.`,
      "Connect, or start `zoo demo` again, and try once more. What has been opened once works offline.",
    );
  }
  if (!response.ok) {
    throw new DemoError(
      `${path} did not load: the server answers ${response.status}.`,
      "The page is not complete. Build it again with `zoo demo --output_dir FOLDER`, upload every file, and reload.",
    );
  }
  let buffer;
  try {
    buffer = await read(response, report);
  } catch {
    throw new DemoError(`The download of ${path} was interrupted.`, "Try again.");
  }
  const actual = await checksum(buffer);
  if (buffer.byteLength !== expected.bytes || (actual && actual !== expected.sha256)) {
    throw new DemoError(
      `${path} is damaged: it is not the file that the page was built with.`,
      "Reload without the cache (Ctrl+Shift+R). If that does not help, build the page again with `zoo demo`.",
    );
  }
  // A full disk, or private browsing, may refuse: the demo works all the same.
  await cache?.put(address, new Response(buffer)).catch(() => {});
  return buffer;
}

let catalogued;

/** What the page was built with: {runtime: {path, bytes, sha256}, models: {id: {...}}}. */
export function catalogue() {
  catalogued ??= fetch("catalogue.json")
    .then((response) => {
      if (!response.ok) throw new Error(response.status);
      return response.json();
    })
    .catch(() => {
      catalogued = undefined;
      throw new DemoError(
        "The list of networks, catalogue.json, did not load.",
        "Build the page with `zoo demo`; opened as a file it cannot work, as browsers refuse to load modules that way.",
      );
    });
  return catalogued;
}

let started;

async function runtime(file, report) {
  started ??= (async () => {
    const [ort, wasmBinary] = await Promise.all([
      import("./vendor/ort.wasm.min.mjs"),
      download(file.path, file, report),
    ]);
    ort.env.wasm.numThreads = 1; // more need headers that static hosts do not send
    ort.env.wasm.wasmBinary = wasmBinary;
    ort.env.wasm.wasmPaths = { mjs: new URL("vendor/ort-wasm-simd-threaded.mjs", document.baseURI).href };
    ort.env.logLevel = "error";
    return ort;
  })().catch((error) => {
    started = undefined;
    throw error;
  });
  return started;
}

const opened = new Map();

/**
 * A model: its sessions, its JSON files, and the class of tensors.
 * @param {string} id
 * @param {(done: number, total: number) => void} report
 * @returns {Promise<{info: object, sessions: Object<string, object>, json: Object<string, object>, Tensor: Function}>}
 */
export function openModel(id, report = () => {}) {
  if (!opened.has(id)) {
    const promise = load(id, report).catch((error) => {
      opened.delete(id);
      throw error;
    });
    opened.set(id, promise);
  }
  return opened.get(id);
}

async function load(id, report) {
  checkBrowser();
  const { runtime: wasm, models } = await catalogue();
  const info = models[id];
  if (!info) {
    throw new DemoError(`This page was built without ${id}.`, `Build it again with \`zoo demo --models ${id}\`.`);
  }
  const files = Object.entries(info.files);
  const total = files.reduce((sum, [, file]) => sum + file.bytes, started ? 0 : wasm.bytes);
  let done = 0;
  const count = (bytes) => report((done += bytes), total);
  const waitForRuntime = runtime(wasm, count);
  const contents = Promise.all(
    files.map(async ([name, file]) => [name, await download(`models/${id}/${name}`, file, count)]),
  );
  const [ort, buffers] = await Promise.all([waitForRuntime, contents]);
  const sessions = {};
  const json = {};
  for (const [name, buffer] of buffers) {
    if (!name.endsWith(".onnx")) {
      json[name] = JSON.parse(new TextDecoder().decode(buffer));
      continue;
    }
    try {
      sessions[name] = await ort.InferenceSession.create(buffer, { executionProviders: ["wasm"] });
    } catch (error) {
      throw new DemoError(
        `${id}/${name} does not run in this browser: ${String(error.message ?? error).slice(0, 200)}`,
        "Close other tabs if memory is short; otherwise export the model again with `zoo demo --refresh`.",
      );
    }
  }
  return { info, sessions, json, Tensor: ort.Tensor };
}

/** The tokenizer of an opened model. */
export async function openTokenizer(model) {
  const { Tokenizer } = await import("./vendor/tokenizers.min.mjs");
  return new Tokenizer(model.json["tokenizer.json"], model.json["tokenizer_config.json"]);
}

/** Softmax of logits. */
export function softmax(logits) {
  const top = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}
