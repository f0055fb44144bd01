// Of several wishes only the newest counts: a slider asks far more often than a network answers.

/**
 * A function that hands its arguments to `work`, one call at a time. While one runs, only the newest wish waits.
 *
 * `done(answer)` and `failed(error)` are called in order, and only for what is still of interest.
 */
export function latest(work, done, failed) {
  let running = false, waiting = null;
  return async function wish(...given) {
    waiting = given;
    if (running) return;
    running = true;
    while (waiting) {
      const now = waiting;
      waiting = null;
      try {
        done(await work(...now), ...now);
      } catch (error) {
        if (error.status !== 409) failed(error);
      }
    }
    running = false;
  };
}
