/** Streaming conversion of sampling rates by a windowed sinc; blocks may have any length. */

const ZERO_CROSSINGS = 16; // of the sinc on each side; the transition band is 10 % of the output's rate
const KAISER_BETA = 8; // stop band of 80 dB
const PASSED = 0.95; // of the lower Nyquist frequency

export class Resampler {
  /**
   * @param {number} from rate of the input, Hz, a whole number
   * @param {number} to rate of the output, Hz, a whole number
   */
  constructor(from, to) {
    const common = greatestCommonDivisor(from, to);
    this.step = from / common; // in input samples, times `phases`
    this.phases = to / common;
    const cutoff = Math.min(1, to / from) * PASSED; // 1 is the input's Nyquist frequency
    this.half = from === to ? 0 : Math.ceil(ZERO_CROSSINGS / cutoff);
    this.taps = from === to ? null : this.#kernels(cutoff);
    // The input that later outputs need. It starts with zeros, so that the first output lies on the first sample.
    this.kept = new Float32Array(this.half);
    this.position = this.half * this.phases; // of the next output in `kept`, in input samples, times `phases`
  }

  /** Return the outputs that can be computed now, a Float32Array. */
  push(block) {
    if (this.taps === null) return block.slice();
    const input = new Float32Array(this.kept.length + block.length);
    input.set(this.kept);
    input.set(block, this.kept.length);
    const last = (input.length - this.half - 1) * this.phases;
    const count = this.position > last ? 0 : Math.floor((last - this.position) / this.step) + 1;
    const output = new Float32Array(count);
    for (let index = 0; index < count; index += 1) {
      const centre = Math.floor(this.position / this.phases);
      const taps = this.taps[this.position % this.phases];
      const start = centre - this.half + 1;
      let sum = 0;
      for (let tap = 0; tap < taps.length; tap += 1) sum += taps[tap] * input[start + tap];
      output[index] = sum;
      this.position += this.step;
    }
    const done = Math.max(0, Math.min(input.length, Math.floor(this.position / this.phases) - this.half));
    this.kept = input.slice(done);
    this.position -= done * this.phases;
    return output;
  }

  /** Return the outputs that still lack input after the end, which is taken as zeros. */
  flush() {
    return this.push(new Float32Array(this.half));
  }

  /** Return for each phase the weights of the input samples from `half - 1` before the output to `half` after it. */
  #kernels(cutoff) {
    return Array.from({ length: this.phases }, (_, phase) => {
      const taps = new Float32Array(2 * this.half);
      let sum = 0;
      for (let tap = 0; tap < taps.length; tap += 1) {
        const distance = tap - this.half + 1 - phase / this.phases;
        const angle = Math.PI * cutoff * distance;
        const window = kaiser(distance / this.half);
        taps[tap] = (angle === 0 ? 1 : Math.sin(angle) / angle) * cutoff * window;
        sum += taps[tap];
      }
      return taps.map((weight) => weight / sum); // a constant stays what it is
    });
  }
}

function greatestCommonDivisor(first, second) {
  return second === 0 ? first : greatestCommonDivisor(second, first % second);
}

/** Return the Kaiser window at a place from -1 to 1. */
function kaiser(place) {
  return Math.abs(place) > 1 ? 0 : bessel(KAISER_BETA * Math.sqrt(1 - place * place)) / bessel(KAISER_BETA);
}

/** Return the modified Bessel function of the first kind of order 0, by its power series. */
function bessel(x) {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > 1e-12 * sum; k += 1) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}
