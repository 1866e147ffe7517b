/** The page: tabs, loading and errors of each, and the service worker. */

import { DemoError, catalogue } from "./runtime.js";

const NAMES = ["classify", "forecast", "translate", "listen"];
const panels = new Map(NAMES.map((name) => [name, document.getElementById(`panel-${name}`)]));
const tabs = new Map(NAMES.map((name) => [name, document.getElementById(`tab-${name}`)]));
const started = new Map();

/** Show one demo, and start it when it is shown for the first time. */
function show(name, focus = false) {
  for (const [other, tab] of tabs) {
    const chosen = other === name;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    panels.get(other).hidden = !chosen;
  }
  if (focus) tabs.get(name).focus();
  if (!started.has(name)) started.set(name, start(name));
}

async function start(name) {
  const panel = panels.get(name);
  const page = {
    panel,
    /** Find an element of this demo by its id. */
    get: (id) => panel.querySelector(`#${id}`),
    progress: (done, total) => drawProgress(panel, done, total),
    describe: (info, milliseconds) => drawFooter(panel, info, milliseconds),
    /** Explain an error; `retry` is what its button does, by default loading the demo again. */
    fail: (error, retry = () => started.set(name, start(name))) => drawError(panel, error, retry),
    ready: () => panel.querySelector(".loading")?.remove(),
  };
  panel.querySelector(".notice")?.remove();
  panel.setAttribute("aria-busy", "true");
  try {
    const module = await import(`./${name}.js`);
    await module.start(page);
    page.ready();
  } catch (error) {
    page.fail(error);
  } finally {
    panel.removeAttribute("aria-busy");
    document.documentElement.dataset[name] = panel.querySelector(".notice") ? "failed" : "ready";
  }
}

function drawProgress(panel, done, total) {
  let bar = panel.querySelector(".loading");
  if (!bar) {
    bar = document.createElement("div");
    bar.className = "loading";
    bar.innerHTML = `<progress aria-label="Loading the network"></progress><span></span>`;
    panel.querySelector(".lead").after(bar);
  }
  const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
  const progress = bar.querySelector("progress");
  progress.max = total;
  progress.value = Math.min(done, total);
  bar.querySelector("span").textContent =
    done < total ? `${megabytes(done)} of ${megabytes(total)} MB` : "Starting the network";
}

function drawFooter(panel, info, milliseconds) {
  const parts = [
    `<b>${info.id}</b>`,
    info.parameters,
    info.metric,
    `${(info.bytes / 1e6).toFixed(1)} MB`,
    info.license,
    milliseconds === undefined ? "" : `<output>answered in ${duration(milliseconds)}</output>`,
  ];
  panel.querySelector("footer.model").innerHTML = parts.filter(Boolean).map((part) => `<span>${part}</span>`).join("");
}

function duration(milliseconds) {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
}

function drawError(panel, error, retry) {
  console.error(error);
  panel.querySelector(".loading")?.remove();
  panel.querySelector(".notice")?.remove();
  const known = error instanceof DemoError;
  const notice = document.createElement("div");
  notice.className = "notice";
  notice.setAttribute("role", "alert");
  const text = document.createElement("p");
  const strong = document.createElement("strong");
  strong.textContent = known ? error.message : "Something in this demo went wrong.";
  text.append(strong, ` ${known ? error.advice : `Reload the page; if it happens again, please report: ${error.message}`}`);
  const button = document.createElement("button");
  button.textContent = "Try again";
  button.addEventListener("click", () => {
    notice.remove();
    retry();
  });
  notice.append(text, button);
  panel.querySelector(".lead").after(notice);
}

function fromAddress() {
  const name = location.hash.slice(1);
  return NAMES.includes(name) ? name : NAMES[0];
}

for (const [name, tab] of tabs) {
  tab.addEventListener("click", () => {
    history.replaceState(null, "", `#${name}`);
    show(name);
  });
  tab.addEventListener("keydown", (event) => {
    const offered = NAMES.filter((other) => !tabs.get(other).hidden);
    const place = offered.indexOf(name);
    const last = offered.length - 1;
    const target = {
      ArrowRight: place === last ? 0 : place + 1,
      ArrowLeft: place === 0 ? last : place - 1,
      Home: 0,
      End: last,
    }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    history.replaceState(null, "", `#${offered[target]}`);
    show(offered[target], true);
  });
}
addEventListener("hashchange", () => NAMES.includes(location.hash.slice(1)) && show(fromAddress()));

// A file that is dropped anywhere goes to the demo that is shown; the browser would leave the page for it.
addEventListener("dragover", (event) => event.dataTransfer.types.includes("Files") && event.preventDefault());
addEventListener("drop", (event) => {
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  const input = document.querySelector("main section:not([hidden]) input[type=file]");
  if (!input) return;
  input.files = event.dataTransfer.files;
  input.dispatchEvent(new Event("change"));
});
show(fromAddress());

// Tabs of networks that the page was built without are not offered.
catalogue().then(({ tabs: built }) => {
  for (const [name, tab] of tabs) tab.hidden = !built.includes(name);
  if (!built.includes(fromAddress())) show(built[0]);
}, () => {});

if ("serviceWorker" in navigator) {
  navigator.serviceWorker
    .register("sw.js")
    .then(() => navigator.serviceWorker.ready)
    .then(() => {
      document.getElementById("offline").textContent = "Works offline: demos that were opened once need no connection.";
      document.documentElement.dataset.offline = "ready";
    })
    .catch(() => {}); // private windows refuse; the page works while connected
}
