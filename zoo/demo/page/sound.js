/** Log-mel spectrograms, as the feature extractor of the recognizer makes them (feature_extraction_speech_transformer.py). */

/** Mel of a frequency in hertz, on Slaney's scale: linear up to 1,000 Hz, logarithmic above. */
const LOG_STEP = Math.log(6.4) / 27;
const toMel = (hertz) => (hertz < 1000 ? (3 * hertz) / 200 : 15 + Math.log(hertz / 1000) / LOG_STEP);
const toHertz = (mel) => (mel < 15 ? (200 * mel) / 3 : 1000 * Math.exp(LOG_STEP * (mel - 15)));

/** Triangular filters of unit area: [first frequency, weights] of each mel bin. */
export function melFilters({ feature_size: bins, sampling_rate: rate, n_fft: points }) {
  const top = toMel(rate / 2);
  const edges = Array.from({ length: bins + 2 }, (_, place) => toHertz((top * place) / (bins + 1)));
  return Array.from({ length: bins }, (_, bin) => {
    const [left, center, right] = edges.slice(bin, bin + 3);
    const weights = [];
    let first = -1;
    for (let place = 0; place <= points / 2; place += 1) {
      const hertz = (place * rate) / points;
      const height = Math.min((hertz - left) / (center - left), (right - hertz) / (right - center));
      if (height <= 0) continue;
      if (first < 0) first = place;
      weights.push((height * 2) / (right - left));
    }
    return [Math.max(first, 0), weights];
  });
}

/** Fourier transform in place, of 2^k complex numbers. */
export function transform(real, imaginary) {
  const size = real.length;
  for (let i = 1, j = 0; i < size; i += 1) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let length = 2; length <= size; length *= 2) {
    const angle = (-2 * Math.PI) / length;
    for (let k = 0; k < length / 2; k += 1) {
      const [cosine, sine] = [Math.cos(angle * k), Math.sin(angle * k)];
      for (let low = k; low < size; low += length) {
        const high = low + length / 2;
        const re = real[high] * cosine - imaginary[high] * sine;
        const im = real[high] * sine + imaginary[high] * cosine;
        real[high] = real[low] - re;
        imaginary[high] = imaginary[low] - im;
        real[low] += re;
        imaginary[low] += im;
      }
    }
  }
}

/**
 * Features of a sound.
 * @param {Float32Array} samples mono, at the rate of the settings
 * @param {object} settings of the saved feature extractor
 * @returns {{features: Float32Array, logMel: Float32Array, frames: number}} (frames, feature_size) each, with and
 *   without normalization
 */
export function extract(samples, settings) {
  const { feature_size: bins, hop_length: hop, win_length: length, n_fft: points, mel_floor: floor } = settings;
  const frames = Math.ceil(samples.length / hop);
  const filters = melFilters(settings);
  // Hann window in the middle of the frame of n_fft samples; frame t is centred at (t + 0.5) * hop.
  const window = Array.from({ length }, (_, place) => 0.5 - 0.5 * Math.cos((2 * Math.PI * place) / length));
  const margin = (points - length) >> 1;
  const before = (points - hop) >> 1;
  const logMel = new Float32Array(frames * bins);
  const [real, imaginary] = [new Float64Array(points), new Float64Array(points)];
  for (let frame = 0; frame < frames; frame += 1) {
    real.fill(0);
    imaginary.fill(0);
    for (let place = 0; place < length; place += 1) {
      real[margin + place] = (samples[frame * hop - before + margin + place] ?? 0) * window[place];
    }
    transform(real, imaginary);
    filters.forEach(([first, weights], bin) => {
      let power = 0;
      weights.forEach((weight, place) => {
        power += weight * (real[first + place] ** 2 + imaginary[first + place] ** 2);
      });
      logMel[frame * bins + bin] = Math.log(Math.max(power, floor));
    });
  }
  return { features: settings.do_normalize ? normalize(logMel, frames, bins) : logMel, logMel, frames };
}

/** Zero mean and unit variance in each bin; a bin that hardly moves is not blown up. */
function normalize(logMel, frames, bins) {
  const features = new Float32Array(logMel.length);
  for (let bin = 0; bin < bins; bin += 1) {
    let sum = 0;
    for (let frame = 0; frame < frames; frame += 1) sum += logMel[frame * bins + bin];
    const mean = sum / frames;
    let squares = 0;
    for (let frame = 0; frame < frames; frame += 1) squares += (logMel[frame * bins + bin] - mean) ** 2;
    const deviation = Math.max(Math.sqrt(squares / frames), 0.1);
    for (let frame = 0; frame < frames; frame += 1) {
      features[frame * bins + bin] = (logMel[frame * bins + bin] - mean) / deviation;
    }
  }
  return features;
}

/** The loudest part of a recording, of at most so many samples, with the sound in its middle. */
export function loudest(samples, length) {
  if (samples.length <= length) return samples;
  const sums = new Float64Array(samples.length + 1);
  samples.forEach((value, place) => (sums[place + 1] = sums[place] + value * value));
  const total = sums[samples.length] || 1;
  // The middle of the energy is the middle of the word.
  let first = sums.findIndex((sum) => sum >= 0.05 * total);
  let last = sums.findIndex((sum) => sum >= 0.95 * total);
  if (last - first > length) {
    let best = 0;
    for (let start = 0; start + length <= samples.length; start += 80) {
      if (sums[start + length] - sums[start] > sums[best + length] - sums[best]) best = start;
    }
    [first, last] = [best, best + length];
  }
  const start = Math.max(0, Math.min(samples.length - length, Math.round((first + last - length) / 2)));
  return samples.slice(start, start + length);
}
