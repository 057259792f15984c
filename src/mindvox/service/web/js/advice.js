/** What is wrong with a recording, in words, from what the service measured. */

export const QUIET_DB = -45; // speech that is softer is near the noise of many microphones
const CLIPPED_SHARE = 0.01;
const NOISE_DB = 10;
const TELEPHONE_HZ = 4000;
const SHORT_S = 3;

/**
 * @typedef {{key: string, values: object}} Said
 */

/** Return why a recording cannot be used, or null. */
export function problemOf({ quality, problem }) {
  if (!problem) return null;
  if (problem.code === "unusable" || !quality) return { key: "problem.unusable", values: { text: problem.text } };
  return { key: `problem.${problem.code}`, values: { ...numbersOf(quality), text: problem.text } };
}

/** Return what would make a usable recording better. */
export function hintsOf(quality) {
  if (!quality) return [];
  const hints = [];
  if (quality.level_dbfs !== null && quality.level_dbfs < QUIET_DB) hints.push("quiet");
  if (quality.clipped_share > CLIPPED_SHARE) hints.push("clipped");
  if (quality.snr_db !== null && quality.snr_db < NOISE_DB) hints.push("noise");
  if (quality.bandwidth_hz !== null && quality.bandwidth_hz <= TELEPHONE_HZ) hints.push("telephone");
  if (quality.net_speech_s < SHORT_S) hints.push("short");
  return hints.map((hint) => ({ key: `hint.${hint}`, values: numbersOf(quality) }));
}

/** Return a recording's measures in one line. */
export function summaryOf(quality) {
  const key = quality.snr_db === null ? "quality.without_noise" : "quality.all";
  return { key, values: numbersOf(quality) };
}

/** Return how good a usable recording is: "good" or "fair". */
export const gradeOf = (quality) => (hintsOf(quality).length === 0 ? "good" : "fair");

function numbersOf(quality) {
  return {
    ...quality,
    clipped: 100 * quality.clipped_share,
    bandwidth: (quality.bandwidth_hz ?? 0) / 1000,
    agreement: quality.voice_agreement ?? 0,
  };
}
