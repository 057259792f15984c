/** Runs on the audio thread: mixes what the microphone gives to mono, converts it to 16 kHz and posts it. */

import { Resampler } from "./resampler.js";

const RATE = 16000; // Hz
const BLOCK_SAMPLES = 1600; // of a message: 100 ms
const FULL = 0.999; // samples from here on are clipped

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, RATE);
    this.block = new Float32Array(BLOCK_SAMPLES);
    this.filled = 0;
    this.clipped = 0; // input samples since the last message; the resampler would smooth them
    this.heard = 0;
    this.ended = false;
    this.port.onmessage = () => this.#end();
  }

  process([channels]) {
    if (this.ended) return false;
    if (channels.length > 0) this.#take(this.#mono(channels));
    return true;
  }

  #mono(channels) {
    if (channels.length === 1) return channels[0];
    const mean = new Float32Array(channels[0].length);
    for (const channel of channels) for (let n = 0; n < mean.length; n += 1) mean[n] += channel[n] / channels.length;
    return mean;
  }

  #take(samples) {
    this.heard += samples.length;
    for (const sample of samples) if (Math.abs(sample) >= FULL) this.clipped += 1;
    this.#keep(this.resampler.push(samples));
  }

  #keep(samples) {
    let taken = 0;
    while (taken < samples.length) {
      const part = samples.subarray(taken, taken + BLOCK_SAMPLES - this.filled);
      this.block.set(part, this.filled);
      this.filled += part.length;
      taken += part.length;
      if (this.filled === BLOCK_SAMPLES) this.#post();
    }
  }

  #post() {
    const samples = this.block.slice(0, this.filled);
    const clippedShare = this.heard === 0 ? 0 : this.clipped / this.heard;
    this.port.postMessage({ samples, clippedShare }, [samples.buffer]);
    this.filled = this.clipped = this.heard = 0;
  }

  #end() {
    this.#keep(this.resampler.flush());
    if (this.filled > 0) this.#post();
    this.port.postMessage({ ended: true });
    this.ended = true;
  }
}

registerProcessor("capture", Capture);
