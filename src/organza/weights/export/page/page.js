"use strict";
// The page of an exported network. `organza.info` and `organza.models` come from model.js, `organza.runtime` from
// runtime.js: all of it is in script files, because a page that is opened from disk may not fetch its neighbours.

const info = organza.info;
const byId = (id) => document.getElementById(id);

// --- the numbers of a seed: Matsumoto and Nishimura's MT19937, and Marsaglia's polar method, as NumPy's RandomState -----

function twister(seed) {
  const state = new Uint32Array(624);
  let place = 624;
  state[0] = seed >>> 0;
  for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  return () => {
    if (place === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
        state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      place = 0;
    }
    let y = state[place++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

function normals(seed, count) {
  const next = twister(seed);
  const uniform = () => ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
  const found = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    let a, b, square;
    do {
      a = 2 * uniform() - 1;
      b = 2 * uniform() - 1;
      square = a * a + b * b;
    } while (square >= 1 || square === 0);
    const factor = Math.sqrt((-2 * Math.log(square)) / square);
    found[i] = factor * b;
    if (i + 1 < count) found[i + 1] = factor * a;
  }
  return found;
}

// --- the network -------------------------------------------------------------------------------------------------------

let ort, provider;
const sessions = {};

async function bytesOf(text, packed) {
  const stream = (await fetch("data:application/octet-stream;base64," + text)).body;
  return new Response(packed ? stream.pipeThrough(new DecompressionStream("gzip")) : stream).arrayBuffer();
}

async function start() {
  const code = await bytesOf(organza.runtime.code, true);
  ort = await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  ort.env.wasm.wasmBinary = await bytesOf(organza.runtime.wasm, true);
  ort.env.wasm.numThreads = 1; // others need headers that no file has
  ort.env.logLevel = "error";
  const gpu = organza.runtime.webgpu && "gpu" in navigator && (await navigator.gpu.requestAdapter().catch(() => null));
  const wanted = new URLSearchParams(location.hash.slice(1)).get("on");
  for (provider of gpu && wanted !== "wasm" ? ["webgpu", "wasm"] : ["wasm"]) {
    try {
      for (const name of Object.keys(organza.models)) {
        const model = new Uint8Array(await bytesOf(organza.models[name], true));
        sessions[name] = await ort.InferenceSession.create(model, { executionProviders: [provider] });
      }
      break;
    } catch (error) {
      if (provider === "wasm") throw error;
    }
  }
}

async function run(name, inputs) {
  const session = sessions[name], feeds = {};
  for (const [key, value] of Object.entries(inputs)) if (session.inputNames.includes(key)) feeds[key] = value;
  const found = (await session.run(feeds))[session.outputNames[0]];
  return { data: await found.getData(), dims: found.dims };
}

const floats = (data, dims) => new ort.Tensor("float32", Float32Array.from(data), dims);

function label(choice) {
  const vector = new Float32Array(info.label_dim);
  for (const [place, value] of info.targets[choice][1]) vector[place] = value;
  return floats(vector, [1, info.label_dim]);
}

// Planes [1, C, H, W] of numbers to the levels of a canvas, rounded as Organza rounds.
function painted(output, canvas, crop) {
  const [, channels, height, width] = output.dims;
  const box = crop || { top: 0, left: 0, height, width };
  const image = new ImageData(box.width, box.height);
  const plane = height * width;
  for (let y = 0; y < box.height; y++) {
    for (let x = 0; x < box.width; x++) {
      const from = (y + box.top) * width + x + box.left, to = 4 * (y * box.width + x);
      for (let c = 0; c < 4; c++) {
        const source = channels < 3 ? 0 : c;
        const value = c === 3 && channels !== 4 ? 255 : output.data[source * plane + from] * 127.5 + 128;
        image.data[to + c] = Math.floor(Math.min(255, Math.max(0, value)));
      }
    }
  }
  canvas.width = box.width;
  canvas.height = box.height;
  canvas.classList.toggle("small", Math.min(box.width, box.height) < 96);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return image;
}

// --- generators --------------------------------------------------------------------------------------------------------

async function codes(seed, state) {
  const inputs = { z: floats(normals(seed, info.z_dim), [1, info.z_dim]), psi: floats([state.psi], [1]) };
  if (info.targets) inputs.label = label(state.label);
  if (info.words) {
    const tokens = new BigInt64Array(info.text_length);
    tokensOf(state.text).forEach((token, place) => (tokens[place] = BigInt(token)));
    inputs.text = new ort.Tensor("int64", tokens, [1, info.text_length]);
  }
  return run("mapping", inputs);
}

function tokensOf(text) {
  const said = text.toLowerCase().match(/[^\W_]+(?:['\u2019][^\W_]+)*/gu) || [];
  return said.map((word) => info.words.indexOf(word) + 1).filter((token) => token > 0).slice(0, info.text_length);
}

async function generated(state) {
  const w = await codes(state.seed, state);
  const data = Float32Array.from(w.data);
  if (state.mix > 0) {
    const other = (await codes(state.second, state)).data;
    const [, layers, length] = w.dims;
    if (layers > 1) {
      // The last layers, which say colours and fine detail, come from the second seed.
      data.set(other.slice((layers - state.mix) * length), (layers - state.mix) * length);
    } else {
      const share = state.mix / info.mixes;
      for (let i = 0; i < data.length; i++) data[i] += share * (other[i] - data[i]);
    }
  }
  return run("synthesis", { w: floats(data, w.dims) });
}

// --- translators -------------------------------------------------------------------------------------------------------

// An image at the size at which it is translated, as numbers, with the mirrored margin that the network needs.
function prepared(image, width, height, scale) {
  const most = info.fixed ? Math.min(info.width / width, info.height / height) : info.side / Math.min(width, height);
  const fit = most * (info.fixed ? 1 : scale);
  const inner = { width: Math.max(1, Math.round(width * fit)), height: Math.max(1, Math.round(height * fit)) };
  const padded = (side, whole) =>
    info.fixed ? whole : Math.ceil(Math.max(side, info.least) / info.multiple) * info.multiple;
  const outer = { width: padded(inner.width, info.width), height: padded(inner.height, info.height) };
  const canvas = byId("source");
  canvas.width = inner.width;
  canvas.height = inner.height;
  canvas.classList.toggle("small", Math.min(inner.width, inner.height) < 96);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = !info.palette;
  context.imageSmoothingQuality = "high";
  if (info.source !== 4) {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, inner.width, inner.height);
  }
  context.drawImage(image, 0, 0, inner.width, inner.height);
  const levels = context.getImageData(0, 0, inner.width, inner.height).data;
  const top = (outer.height - inner.height) >> 1, left = (outer.width - inner.width) >> 1;
  const plane = outer.width * outer.height;
  const data = new Float32Array(info.source * plane);
  for (let y = 0; y < outer.height; y++) {
    for (let x = 0; x < outer.width; x++) {
      const from = 4 * (mirrored(y - top, inner.height) * inner.width + mirrored(x - left, inner.width));
      for (let c = 0; c < info.source; c++) {
        const grey = (19595 * levels[from] + 38470 * levels[from + 1] + 7471 * levels[from + 2] + 32768) >> 16;
        data[c * plane + y * outer.width + x] = (info.source === 1 ? grey : levels[from + c]) / 127.5 - 1;
      }
    }
  }
  return { tensor: floats(data, [1, info.source, outer.height, outer.width]), inner, outer, top, left };
}

function mirrored(place, size) {
  if (place < 0) place = -place;
  if (place >= size) place = 2 * (size - 1) - place;
  return Math.min(size - 1, Math.max(0, place));
}

async function translated(state, canvas) {
  const { image, width, height } = state.image;
  const given = prepared(image, width, height, state.scale);
  const inputs = { image: given.tensor };
  if (info.targets) inputs.label = label(state.label);
  if (info.z_dim) inputs.z = floats(normals(state.seed, info.z_dim), [1, info.z_dim]);
  const output = await run("network", inputs);
  const scale = output.dims[2] / given.outer.height;
  const crop = { top: Math.round(given.top * scale), left: Math.round(given.left * scale) };
  crop.height = Math.round(given.inner.height * scale);
  crop.width = Math.round(given.inner.width * scale);
  return painted(output, canvas, crop);
}

// --- the page ----------------------------------------------------------------------------------------------------------

const state = { seed: 0, psi: info.psi, label: 0, second: 1, mix: 0, text: info.text || "", scale: 1, image: null };
let busy = null, again = false, camera = null;

// Shows the state as it is now; while one image is made, any number of changes lead to one more.
function show() {
  if (busy) {
    again = true;
    return busy;
  }
  busy = (async () => {
    let pixels = null;
    do {
      again = false;
      const before = performance.now();
      if (info.kind === "generator") pixels = painted(await generated(state), byId("result"));
      else if (state.image) pixels = await translated(state, byId("result"));
      if (pixels) {
        const took = performance.now() - before;
        const rate = took > 0.05 ? ` (${(1000 / took).toFixed(took < 100 ? 0 : 1)} a second)` : "";
        say(`${took.toFixed(took < 10 ? 1 : 0)} ms${rate}, ${provider}`);
      }
    } while (again);
    return pixels;
  })()
    .catch((error) => say(String(error.message || error), true))
    .finally(() => (busy = null));
  return busy;
}

function say(text, wrong = false) {
  byId("state").textContent = text;
  byId("state").classList.toggle("wrong", wrong);
}

function element(kind, settings = {}, ...children) {
  const made = Object.assign(document.createElement(kind), settings);
  made.append(...children);
  return made;
}

function row(id, title, ...content) {
  const value = element("span", { id: `${id}-value` });
  return element("div", { className: "row" }, element("label", { htmlFor: id }, title, value), ...content);
}

function slider(id, title, least, most, step, shown = (value) => value) {
  const input = element("input", { id, type: "range", min: least, max: most, step, value: state[id] });
  const found = row(id, title, input);
  const tell = () => (found.querySelector("span").textContent = shown(state[id]));
  input.addEventListener("input", () => {
    state[id] = Number(input.value);
    tell();
    show();
  });
  tell();
  return found;
}

function seed(id, title) {
  const number = element("input", { id, type: "number", min: 0, max: 4294967295, step: 1, value: state[id] });
  const range = element("input", { type: "range", min: 0, max: 999, step: 1, value: state[id], ariaLabel: title });
  const other = element("button", { type: "button", textContent: "Another" });
  const take = (value) => {
    if (!Number.isInteger(value) || value < 0 || value > 4294967295) return;
    state[id] = value;
    number.value = range.value = value;
    show();
  };
  number.addEventListener("input", () => take(Number(number.value || NaN)));
  range.addEventListener("input", () => take(Number(range.value)));
  other.addEventListener("click", () => take(Math.floor(Math.random() * 2 ** 32)));
  return row(id, title, range, element("div", { className: "pair" }, number, other));
}

function choice(id, title, names) {
  const select = element("select", { id }, ...names.map((name, place) => element("option", { value: place }, name)));
  select.value = state[id];
  select.addEventListener("change", () => {
    state[id] = Number(select.value);
    show();
  });
  return row(id, title, select);
}

function words() {
  const input = element("input", { id: "text", type: "text", value: state.text });
  const hint = element("p", { className: "hint" });
  const tell = () => (hint.textContent = tokensOf(state.text).length ? "" : `Known words: ${info.words.slice(0, 24).join(", ")}`);
  input.addEventListener("input", () => {
    state.text = input.value;
    tell();
    if (tokensOf(state.text).length) show();
  });
  tell();
  return row("text", "Text", input, hint);
}

function picker() {
  const file = element("input", { type: "file", accept: "image/*" });
  const open = element("label", { className: "file" }, "Open an image", file);
  const webcam = element("button", { type: "button", textContent: "Webcam", id: "webcam" });
  file.addEventListener("change", () => file.files.length && opened(file.files[0]));
  webcam.addEventListener("click", () => (camera ? stopped() : filmed()));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) opened(event.dataTransfer.files[0]);
  });
  const hint = info.palette ? "A label map in the colours that the network learned." : "Or drop an image here.";
  return element("div", { className: "row" }, element("div", { className: "buttons" }, open, webcam), element("p", { className: "hint" }, hint));
}

async function opened(file) {
  stopped();
  try {
    const image = await createImageBitmap(file);
    state.image = { image, width: image.width, height: image.height };
  } catch {
    return say("This file is no image that the browser can open.", true);
  }
  return show();
}

async function filmed() {
  const video = element("video", { muted: true, playsInline: true });
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } } });
  } catch (error) {
    return say(`No webcam: ${error.message}`, true);
  }
  await video.play();
  camera = video;
  byId("webcam").textContent = "Stop";
  while (camera === video) {
    state.image = { image: video, width: video.videoWidth, height: video.videoHeight };
    await show();
    await new Promise(requestAnimationFrame);
  }
}

function stopped() {
  if (camera) camera.srcObject.getTracks().forEach((track) => track.stop());
  camera = null;
  if (byId("webcam")) byId("webcam").textContent = "Webcam";
}

function saved() {
  byId("result").toBlob((blob) => {
    const link = element("a", { href: URL.createObjectURL(blob), download: info.kind === "generator" ? `seed${state.seed}.png` : "translated.png" });
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

function build() {
  byId("about").textContent = info.about;
  for (const note of info.notes) byId("notes").append(element("p", {}, note));
  const percent = (value) => Number(value).toFixed(2);
  const parts = [];
  if (info.kind === "generator") {
    parts.push(seed("seed", "Seed"));
    if (info.words) parts.push(words());
    if (info.targets) parts.push(choice("label", "Class", info.targets.map(([name]) => name)));
    parts.push(slider("psi", "Truncation", 0, 1.5, 0.01, percent));
    const shown = (value) => (value ? (info.layers > 1 ? `last ${value} of ${info.layers} layers` : percent(value / info.mixes)) : "none");
    parts.push(slider("mix", "From the second seed", 0, info.mixes, 1, shown), seed("second", "Second seed"));
  } else {
    byId("source").hidden = false;
    parts.push(picker());
    if (info.targets) parts.push(choice("label", "Into", info.targets.map(([name]) => name)));
    if (info.z_dim) parts.push(seed("seed", "Style"));
    if (!info.fixed) parts.push(slider("scale", "Size", 0.5, 4, 0.5, (value) => `${Math.round(value * info.side)} pixels`));
  }
  const save = element("button", { type: "button", textContent: "Save as PNG" });
  save.addEventListener("click", saved);
  parts.push(element("div", { className: "buttons" }, save));
  byId("controls").append(...parts);
}

Object.assign(organza, { state, show, normals, opened });
for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
  if (key in state && key !== "image") state[key] = typeof state[key] === "number" ? Number(value) : value;
}
build();
organza.ready = start()
  .then(() => (info.kind === "generator" ? show() : say("Open an image, or start the webcam.")))
  .catch((error) => say(`This browser can't run the network: ${error.message || error}`, true));
