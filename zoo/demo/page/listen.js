/** Listen: a recorded word to its features, its spectrogram and its text. */

import { generate } from "./generate.js";
import { DemoError, openModel, openTokenizer } from "./runtime.js";
import { extract, loudest } from "./sound.js";

const MODEL = "speech-commands-arabic";
const SECONDS = 2; // of a recording; the loudest second of it is what the network was trained on
const HEARD = 1;

export async function start(page) {
  const model = await openModel(MODEL, page.progress);
  const tokenizer = await openTokenizer(model);
  const settings = model.json["processor_config.json"].feature_extractor;
  const { clips, words } = await fetch("examples/clips.json").then((response) => response.json());
  const message = page.get("listen-message");
  const record = page.get("record");
  let shown = null;

  /** Mono samples at the network's rate. */
  async function decode(buffer) {
    const context = new OfflineAudioContext(1, 1, settings.sampling_rate);
    const sound = await context.decodeAudioData(buffer);
    const samples = new Float32Array(sound.length);
    for (let channel = 0; channel < sound.numberOfChannels; channel += 1) {
      sound.getChannelData(channel).forEach((value, place) => (samples[place] += value / sound.numberOfChannels));
    }
    return samples;
  }

  async function answer(samples) {
    message.textContent = "";
    const begun = performance.now();
    const { features, logMel, frames } = extract(samples, settings);
    const bins = settings.feature_size;
    shown = { logMel, frames, bins };
    drawSpectrogram(page.get("spectrogram"), shown);
    const inputs = {
      input_features: new model.Tensor("float32", features, [1, frames, bins]),
      attention_mask: new model.Tensor("int64", new BigInt64Array(frames).fill(1n), [1, frames]),
    };
    const written = [];
    for await (const { token } of generate(model, inputs)) written.push(token);
    const text = tokenizer.decode(written, { skip_special_tokens: true }).trim();
    page.describe(model.info, performance.now() - begun);
    const heard = page.get("heard");
    heard.querySelector("bdi").textContent = text || "…";
    heard.querySelector("span").textContent = words[text] ?? (text ? "not one of the forty words" : "no word heard");
    heard.dataset.text = text;
    for (const item of page.get("words").children) item.classList.toggle("on", item.dataset.word === text);
  }

  // Clips.
  const player = new Audio();
  page.get("clips").replaceChildren(
    ...clips.map(({ file, text }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.innerHTML = `<svg viewBox="0 0 10 10" aria-hidden="true"><path d="M2 1l7 4-7 4z"/></svg><bdi lang="ar"></bdi><small></small>`;
      button.querySelector("bdi").textContent = text;
      button.querySelector("small").textContent = words[text];
      button.addEventListener("click", async () => {
        try {
          const response = await fetch(`examples/${file}`);
          player.src = `examples/${file}`;
          player.play().catch(() => {}); // a device without sound shows the answer all the same
          await answer(await decode(await response.arrayBuffer()));
        } catch (error) {
          page.fail(error);
        }
      });
      return button;
    }),
  );
  page.get("words").replaceChildren(
    ...Object.entries(words).map(([text, english]) => {
      const item = document.createElement("li");
      item.dataset.word = text;
      item.innerHTML = `<bdi lang="ar"></bdi><span></span>`;
      item.querySelector("bdi").textContent = text;
      item.querySelector("span").textContent = english;
      return item;
    }),
  );

  page.get("sound-file").onchange = async (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file) return;
    try {
      const samples = await decode(await file.arrayBuffer());
      player.src = URL.createObjectURL(file);
      player.play().catch(() => {});
      await answer(loudest(samples, HEARD * settings.sampling_rate));
    } catch (error) {
      if (error.name !== "EncodingError") throw error;
      tell(new DemoError(`${file.name} is not a sound that this browser reads.`, "Choose a WAV, MP3, Ogg or FLAC file."));
    }
  };

  // Microphone.
  let recorder = null;
  record.onclick = async () => {
    if (recorder) {
      recorder.stop();
      return;
    }
    try {
      if (!navigator.mediaDevices?.getUserMedia) {
        throw new DemoError("This page may not use the microphone.", "Browsers allow it on https and on this machine only.");
      }
      const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
      const parts = [];
      recorder = new MediaRecorder(stream);
      recorder.ondataavailable = (event) => parts.push(event.data);
      recorder.onstop = async () => {
        recorder = null;
        stream.getTracks().forEach((track) => track.stop());
        setRecording(false);
        try {
          const samples = await decode(await new Blob(parts).arrayBuffer());
          await answer(loudest(samples, HEARD * settings.sampling_rate));
        } catch (error) {
          tell(new DemoError("The recording could not be read.", `Try again. (${error.message})`));
        }
      };
      setRecording(true);
      recorder.start();
      const current = recorder;
      setTimeout(() => current.state === "recording" && current.stop(), 1000 * SECONDS);
    } catch (error) {
      recorder = null;
      setRecording(false);
      tell(
        error.name === "NotAllowedError"
          ? new DemoError("The microphone is blocked.", "Allow it beside the address of the page, or play a recording.")
          : error.name === "NotFoundError"
            ? new DemoError("There is no microphone.", "Connect one, or play a recording.")
            : error,
      );
    }
  };
  function setRecording(on) {
    record.setAttribute("aria-pressed", on);
    record.querySelector("span").textContent = on ? "Speak now" : "Record";
  }
  function tell(error) {
    message.textContent = `${error.message} ${error.advice ?? ""}`;
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (shown) drawSpectrogram(page.get("spectrogram"), shown);
  });
  page.describe(model.info);
  const first = await fetch(`examples/${clips[0].file}`);
  await answer(await decode(await first.arrayBuffer()));
}

/** Frames from left to right, mel bins upwards, in the colours of the page. */
function drawSpectrogram(canvas, { logMel, frames, bins }) {
  canvas.width = frames;
  canvas.height = bins;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const style = getComputedStyle(canvas);
  const ramp = ["--ramp-0", "--ramp-1", "--ramp-2"].map((name) => {
    context.fillStyle = style.getPropertyValue(name).trim();
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  });
  const sorted = Float32Array.from(logMel).sort();
  const low = sorted[Math.floor(sorted.length * 0.1)];
  const high = sorted.at(-1);
  const image = context.createImageData(frames, bins);
  logMel.forEach((value, place) => {
    const share = Math.min(1, Math.max(0, (value - low) / (high - low || 1))) * 2;
    const [from, to] = share < 1 ? ramp : ramp.slice(1);
    const part = share < 1 ? share : share - 1;
    const x = Math.floor(place / bins);
    const y = bins - 1 - (place % bins);
    image.data.set(from.map((channel, k) => channel + (to[k] - channel) * part), 4 * (y * frames + x));
  });
  context.putImageData(image, 0, 0);
}
