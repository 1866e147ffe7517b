/** Pictures as the image processor of the network prepares them (image_processing_fashion_cnn.py). */

const PRECISION = 22; // bits of PIL's fixed-point weights

/** PIL's bilinear weights from `size` to `target` pixels: [first source pixel, weights] of each target pixel. */
function weights(size, target) {
  const scale = size / target;
  const support = Math.max(scale, 1);
  return Array.from({ length: target }, (_, place) => {
    const center = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const last = Math.min(size, Math.trunc(center + support + 0.5));
    const raw = [];
    for (let x = first; x < last; x += 1) raw.push(Math.max(0, 1 - Math.abs((x - center + 0.5) / support)));
    const sum = raw.reduce((a, b) => a + b, 0);
    return [first, raw.map((weight) => Math.floor(0.5 + (weight / sum) * 2 ** PRECISION))];
  });
}

function resizeRows(pixels, width, height, target) {
  const result = new Uint8Array(target * height);
  const table = weights(width, target);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < target; x += 1) {
      const [first, row] = table[x];
      let sum = 2 ** (PRECISION - 1);
      for (let k = 0; k < row.length; k += 1) sum += pixels[y * width + first + k] * row[k];
      result[y * target + x] = Math.min(255, Math.max(0, Math.floor(sum / 2 ** PRECISION)));
    }
  }
  return result;
}

function transpose(pixels, width, height) {
  const result = new Uint8Array(pixels.length);
  for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) result[x * height + y] = pixels[y * width + x];
  return result;
}

/** Gray pixels resized as PIL does it, bilinear with antialiasing. */
export function resize(pixels, width, height, target) {
  if (width === target && height === target) return Uint8Array.from(pixels);
  const rows = resizeRows(pixels, width, height, target);
  return transpose(resizeRows(transpose(rows, target, height), height, target, target), target, target);
}

/** Round half to even, as NumPy does. */
function rint(value) {
  const whole = Math.round(value);
  return whole - value === 0.5 && whole % 2 ? whole - 1 : whole;
}

/** Luma of RGBA pixels; transparent ones become black. */
export function toGray(rgba) {
  const gray = new Uint8Array(rgba.length / 4);
  for (let i = 0; i < gray.length; i += 1) {
    const [r, g, b, alpha] = rgba.subarray(4 * i, 4 * i + 4);
    gray[i] = rint(((0.299 * r + 0.587 * g + 0.114 * b) * alpha) / 255);
  }
  return gray;
}

/** Gray pixels 0..255 to the network's input. */
export function normalize(gray, settings) {
  const [mean] = settings.image_mean;
  const [deviation] = settings.image_std;
  return Float32Array.from(gray, (value) => (value * settings.rescale_factor - mean) / deviation);
}
