// The webcam: frames as JPEG, one at a time, as fast as they are translated.

const SIDE = 512;

/** Why there is no webcam here, or null. */
export function lacking() {
  if (navigator.mediaDevices?.getUserMedia) return null;
  return isSecureContext
    ? "This browser has no access to cameras."
    : "Browsers let pages use the webcam only at localhost or over HTTPS.";
}

/**
 * Start the webcam. `work(blob)` takes a frame and gives the result, or null where there is none of this frame;
 * `shown(blob, frames a second)` shows it.
 *
 * Returns `{stop, ended}`: a function, and a promise that ends with it, or with what went wrong.
 */
export async function camera(work, shown) {
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { width: { ideal: 640 }, height: { ideal: 480 } },
  });
  const video = document.createElement("video"), canvas = document.createElement("canvas");
  Object.assign(video, { srcObject: stream, muted: true, playsInline: true });
  let going = true;
  const stop = () => {
    going = false;
    stream.getTracks().forEach((track) => track.stop());
  };
  async function run() {
    try {
      await video.play();
      const times = [];
      while (going) {
        const part = Math.min(1, SIDE / Math.max(video.videoWidth, video.videoHeight, 1));
        canvas.width = Math.max(1, Math.round(video.videoWidth * part));
        canvas.height = Math.max(1, Math.round(video.videoHeight * part));
        canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
        const frame = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
        const result = await work(frame);
        if (!going) break;
        if (!result) continue;
        times.push(performance.now());
        if (times.length > 20) times.shift();
        shown(result, times.length > 1 ? ((times.length - 1) * 1000) / (times.at(-1) - times[0]) : null);
      }
    } finally {
      stop();
    }
  }
  return { stop, ended: run() };
}
