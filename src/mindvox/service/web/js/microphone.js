/** The microphone as blocks of 16 kHz mono samples. */

const FLUSH_MS = 500; // longest wait for the last block; a suspended audio thread never answers

/** Why there is no microphone; `code` is a key in the texts under "microphone.". */
export class MicrophoneError extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

const CODES = {
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "none",
  OverconstrainedError: "none",
  NotReadableError: "busy",
  AbortError: "busy",
};

export class Microphone {
  #stream;
  #context;
  #node;

  /**
   * Ask for the microphone and start. Call it from a click: browsers keep audio suspended otherwise.
   *
   * @param {(samples: Float32Array, clippedShare: number) => void} onblock gets 100 ms at a time
   * @param {() => void} onlost is called when the device goes away
   * @returns {Promise<Microphone>}
   * @throws {MicrophoneError}
   */
  static async open(onblock, onlost) {
    if (!navigator.mediaDevices?.getUserMedia) throw new MicrophoneError("insecure");
    if (!window.AudioWorkletNode) throw new MicrophoneError("old");
    const microphone = new Microphone();
    try {
      await microphone.#start(onblock, onlost);
    } catch (error) {
      microphone.#release();
      throw new MicrophoneError(CODES[error.name] ?? "failed");
    }
    return microphone;
  }

  async #start(onblock, onlost) {
    // What browsers do for calls changes voices: noise suppression and gain control must stay off.
    const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    this.#stream = await navigator.mediaDevices.getUserMedia({ audio });
    this.#context = new AudioContext(); // of the device's own rate: Firefox connects no other
    await this.#context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
    await this.#context.resume();
    this.#node = new AudioWorkletNode(this.#context, "capture");
    this.#node.port.onmessage = ({ data }) => data.samples && onblock(data.samples, data.clippedShare);
    this.#context.createMediaStreamSource(this.#stream).connect(this.#node);
    this.#node.connect(this.#context.destination); // which gets silence; some browsers run no node without it
    this.#stream.getTracks().forEach((track) => track.addEventListener("ended", onlost));
  }

  /** Deliver what is still on its way, then let go of the device. */
  async stop() {
    await new Promise((resolve) => {
      const deliver = this.#node.port.onmessage;
      this.#node.port.onmessage = (event) => (event.data.ended ? resolve() : deliver(event));
      this.#node.port.postMessage("end");
      setTimeout(resolve, FLUSH_MS);
    });
    this.#release();
  }

  #release() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    if (this.#context && this.#context.state !== "closed") this.#context.close();
  }
}
