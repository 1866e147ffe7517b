/** Keeps the page itself for offline use. Models keep themselves: see runtime.js. */

const CACHE = "zoo-page";
const FILES = [
  "./", "index.html", "style.css", "icon.svg", "catalogue.json",
  "app.js", "runtime.js", "classify.js", "image.js", "forecast.js", "series.js", "fan.js",
  "translate.js", "generate.js", "listen.js", "sound.js",
  "examples/garments.png", "examples/clips.json",
  "examples/clip-start.flac", "examples/clip-three.flac", "examples/clip-yes.flac",
  "vendor/ort.wasm.min.mjs", "vendor/ort-wasm-simd-threaded.mjs", "vendor/tokenizers.min.mjs",
  "vendor/bricolage-grotesque.woff2", "vendor/instrument-sans.woff2",
];

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(
    caches.open(CACHE).then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: "no-cache" })))),
  );
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

// The network's answer first, so that a new build shows at once; what was kept when there is none.
self.addEventListener("fetch", (event) => {
  const address = new URL(event.request.url);
  const ours = address.href.startsWith(self.registration.scope) && event.request.method === "GET";
  if (!ours || address.searchParams.has("sha256")) return;
  event.respondWith(
    fetch(event.request).then(
      async (response) => {
        if (response.ok) (await caches.open(CACHE)).put(event.request, response.clone());
        return response;
      },
      async (error) => {
        const kept = await caches.match(event.request, { ignoreSearch: true });
        if (kept) return kept;
        throw error;
      },
    ),
  );
});
