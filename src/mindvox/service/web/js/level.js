/** How loud a recording in progress is, and about how much of it is speech. The service counts exactly; this is at once. */

import { QUIET_DB } from "./advice.js";
import { RATE } from "./wav.js";

const FRAME_SAMPLES = 320; // 20 ms
const LEAST_DB = -55; // softer frames are no speech
const OVER_FLOOR_DB = 9; // nor are frames that are less above the noise
const FLOOR_SHARE = 0.1; // of the frames are softer than the floor
const RECENT_FRAMES = 100; // 2 s
const RECENT_BLOCKS = 20; // 2 s

const SILENT_DB = -70; // whole recordings below it come from a muted microphone
const CLIPPED_SHARE = 0.001;
const LEAST_S = 1.5; // before that nothing is said

export class Level {
  levels = []; // of frames, dB below full scale
  clipped = []; // share of each block
  #rest = new Float32Array(0);

  /** Take a block of samples and the share of it that is clipped. */
  push(samples, clippedShare) {
    this.clipped.push(clippedShare);
    const all = new Float32Array(this.#rest.length + samples.length);
    all.set(this.#rest);
    all.set(samples, this.#rest.length);
    let start = 0;
    for (; start + FRAME_SAMPLES <= all.length; start += FRAME_SAMPLES) {
      const power = all.subarray(start, start + FRAME_SAMPLES).reduce((sum, x) => sum + x * x, 0) / FRAME_SAMPLES;
      this.levels.push(10 * Math.log10(Math.max(power, 1e-12)));
    }
    this.#rest = all.slice(start);
  }

  get duration_s() {
    return (this.levels.length * FRAME_SAMPLES + this.#rest.length) / RATE;
  }

  /** Level of the last 100 ms, dB. */
  get now_db() {
    return mean_db(this.levels.slice(-5));
  }

  /** About how much speech there is after a moment, s. */
  speechAfter(moment_s) {
    const least = this.#leastSpeech();
    const first = Math.round((moment_s * RATE) / FRAME_SAMPLES);
    return (this.levels.slice(first).filter((level) => level > least).length * FRAME_SAMPLES) / RATE;
  }

  /** What is wrong at this moment: "silent", "clipped", "quiet", or null. */
  get fault() {
    if (this.duration_s < LEAST_S) return null;
    const recent = this.levels.slice(-RECENT_FRAMES);
    if (Math.max(...recent) < SILENT_DB) return "silent";
    if (mean(this.clipped.slice(-RECENT_BLOCKS)) > CLIPPED_SHARE) return "clipped";
    const least = this.#leastSpeech();
    const spoken = recent.filter((level) => level > least);
    // What is softer than LEAST_DB is not counted as speech, so the loudest frames speak for it.
    const level = spoken.length > 5 ? mean_db(spoken) : Math.max(...recent);
    return level < QUIET_DB ? "quiet" : null;
  }

  #leastSpeech() {
    const sorted = [...this.levels].sort((first, second) => first - second);
    return Math.max(LEAST_DB, (sorted[Math.floor(FLOOR_SHARE * sorted.length)] ?? LEAST_DB) + OVER_FLOOR_DB);
  }
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(values.length, 1);
}

function mean_db(levels) {
  return levels.length === 0 ? -120 : 10 * Math.log10(mean(levels.map((level) => 10 ** (level / 10))));
}
