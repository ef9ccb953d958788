// What the page knows. Views read it, and hear once a frame of what is new.

/** The most lines of the log that are kept, and the most new rows of requests. */
export const MOST_LINES = 5000;
export const MOST_ROWS = 2000;

/**
 * live: 'connecting', 'live', 'lost', 'stopped' or 'refused'; lostAt: when it was lost, in milliseconds; refusal: what
 * the server said, refusedBy: with which status; now: of /api/now; rows: requests that are over, the newest first; newest: the number of the newest
 * one; underWay: rows of those that are not over; seenAt: when they were told; outdated: skyproxy has other files for the page by now; listed: the address of the list of requests, as it was left; lines: of the log, the newest last;
 * linesFrom: how many went before the first of them; newestLine: the number of the newest, of the process boot.
 */
export const state = {
  live: 'connecting', lostAt: 0, heardAt: 0, retryAt: 0, refusal: '', refusedBy: 0, now: null, rows: [], newest: 0, underWay: [],
  seenAt: 0, outdated: false, listed: '#/requests', lines: [], linesFrom: 0, newestLine: 0, boot: '',
};

/** Which reading of the configuration what is shown comes from; empty: it is not known yet. */
export function reading({boot, now}) {
  return now ? `${boot} ${now.readings}` : '';
}

const listeners = new Set();
let scheduled = false;

/** Changes the state, and has the views told in the next frame. */
export function set(change) {
  change(state);
  if (scheduled) return;
  scheduled = true;
  // A hidden tab has no frames, but its title shall tell how all is.
  if (document.hidden) setTimeout(tell, 500);
  else requestAnimationFrame(tell);
}

/** Has *listener* called when something is new; gives a function that ends it. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell() {
  scheduled = false;
  for (const listener of [...listeners]) listener(state);
}
