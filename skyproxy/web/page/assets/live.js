// One stream of events for all tabs of a browser: over HTTP/1.1 it makes six connections to a server, and with a stream
// per tab the seventh tab would never load. A lock makes one tab the leader; it hands on what comes by a channel. A tab
// that hears nothing for long opens a stream of its own, until it hears the leader again. Without locks (a page over
// plain http from another machine) each tab that can be seen has its own.

import {Refusal, address, get} from './api.js';
import {MOST_LINES, MOST_ROWS, set, state} from './store.js';

const LOST_MS = 5000;
const ALONE_MS = 10000;
const RETRY_MS = 3000;
const SOON_MS = 400;
const FIRST_LINES = 200;
const EVENTS = ['snapshot', 'now', 'requests', 'log', 'beat', 'bye'];

const version = new URL(import.meta.url).pathname.split('/').at(-2);
const name = `skyproxy-${version}-${location.host}`;
const tab = Math.random().toString(36).slice(2);

let source = null;
let channel = null;
/** The timer of the next try, where one is due, and when that is. */
let retry = null;
let retryAt = 0;
let leads = false;
/** When something was heard, and when the stream was asked for, by a clock that nobody sets. */
let heardAt = 0;
let openedAt = 0;

/** Begins to listen. */
export function start() {
  const shared = 'locks' in navigator && 'BroadcastChannel' in self;
  if (shared) {
    channel = new BroadcastChannel(name);
    channel.addEventListener('message', (event) => heard(event.data));
    navigator.locks.request(name, () => {
      leads = true;
      open();
      // It is held as long as the tab lives.
      return new Promise(() => {});
    });
    channel.postMessage({event: 'hello'});
  } else {
    document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()));
    if (!document.hidden) open();
  }
  setInterval(() => watch(shared), 500);
  addEventListener('pagehide', close);
  // The browser may bring the page back as it was.
  addEventListener('pageshow', (event) => event.persisted && location.reload());
}

/** Tries again at once. */
export function tryNow() {
  open();
}

function watch(shared) {
  const silent = performance.now() - heardAt;
  if (state.live === 'live' && silent > LOST_MS && !(document.hidden && !shared)) {
    set((state) => {
      state.live = 'lost';
      state.lostAt = state.heardAt;
      state.retryAt = Date.now() + ALONE_MS - LOST_MS;
    });
  }
  // The connection may be dead without a word: a browser that only reads never finds out.
  if (source && performance.now() - Math.max(heardAt, openedAt) > ALONE_MS) {
    open();
    set((state) => { state.retryAt = Date.now() + ALONE_MS; });
  }
  // Who lacks a key is asked for it, and who tries again anyway has a time for that.
  if (shared && !source && retry === null && state.refusedBy !== 401 && state.heardAt && silent > ALONE_MS && !document.hidden) open();
}

function open() {
  close();
  openedAt = performance.now();
  source = new EventSource(address('api/events', {topics: 'now,requests,log', tab}));
  for (const each of EVENTS) {
    source.addEventListener(each, (event) => {
      const message = {event: each, data: JSON.parse(event.data), leads};
      channel?.postMessage(message);
      take(message);
    });
  }
  source.addEventListener('error', failed);
}

function close() {
  clearTimeout(retry);
  retry = null;
  source?.close();
  source = null;
}

function openIn(wait) {
  clearTimeout(retry);
  retry = setTimeout(open, wait);
  retryAt = Date.now() + wait;
}

/** The stream broke. Its status is not told: ask for it. */
async function failed() {
  close();
  openIn(RETRY_MS);
  let refusal = '';
  let refusedBy = 0;
  try {
    await get('api/now');
    if (state.live !== 'stopped') await refused();
    // Somebody answers: in an upgrade the next one is there before this one goes.
    else if (!source) openIn(SOON_MS);
  } catch (error) {
    if (error.status) refusal = error.message;
    refusedBy = error.status;
  }
  // Who has no key is asked for it: trying again would not help.
  if (refusedBy === 401) close();
  // It was asked for so long that the next stream is there.
  else if (source?.readyState === EventSource.OPEN) return;
  set((state) => {
    state.refusedBy = refusedBy;
    state.retryAt = retryAt;
    if (state.live !== 'stopped') {
      if (state.live !== 'lost') state.lostAt = state.heardAt || Date.now();
      state.live = refusal ? 'refused' : 'lost';
    }
    state.refusal = refusal;
  });
}

/** Throws what the server says if it gives no stream, though it answers: so many pages may listen already. */
async function refused() {
  const asking = new AbortController();
  const response = await fetch(address('api/events'), {cache: 'no-store', signal: asking.signal}).catch(() => null);
  if (response && !response.ok) throw new Refusal((await response.json().catch(() => null))?.error?.message ?? '', response.status);
  asking.abort();
}

/** Another tab said something. */
function heard(message) {
  if (message.event === 'hello') {
    // A tab is new: the one with the stream tells it what it knows.
    if (source && state.now) {
      const {now, rows, underWay, seenAt, newest, lines, newestLine, boot} = state;
      const log = lines.slice(-FIRST_LINES);
      const data = {now, requests: rows.slice(0, 100), under_way: underWay, seen_at: seenAt, newest, log, newest_line: newestLine, boot, again: true};
      channel.postMessage({event: 'snapshot', data});
    }
  } else {
    // Whoever has opened a stream in want of the leader's needs it no longer.
    if (message.leads && !leads) close();
    if (!source && !(message.data.again && state.boot)) take(message);
  }
}

function take({event, data}) {
  heardAt = performance.now();
  set((state) => {
    state.heardAt = Date.now();
    if (event === 'bye') {
      state.live = 'stopped';
      state.lostAt = Date.now();
      return;
    }
    state.live = 'live';
    state.refusal = '';
    if (event === 'now') state.now = data;
    else if (event === 'snapshot') snapshot(state, data);
    else if (event === 'requests') requests(state, data);
    // Lines that come before the first snapshot are in it.
    else if (event === 'log' && state.boot && data.newest > state.newestLine) log(state, data.lines, data.missed, data.newest);
  });
}

function snapshot(state, data) {
  if (data.now) state.now = data.now;
  if (data.requests) {
    // The numbers begin anew when the process does.
    const known = data.boot === state.boot ? state.rows : [];
    state.rows = merged(data.requests, known);
    state.newest = data.newest;
    state.underWay = data.under_way;
    // Another tab may have heard of them some time ago: they are told again only when they have gone on.
    state.seenAt = data.seen_at ?? Date.now();
  }
  if (data.log) firstLines(state, data);
  if (state.boot && state.boot !== data.boot) compare();
  state.boot = data.boot;
}

/** Another process may have other files: those of this page's version are then gone. */
async function compare() {
  try {
    const index = await (await fetch(address('./'), {cache: 'no-store'})).text();
    if (index.includes('/main.js') && !index.includes(`/${version}/main.js`)) set((state) => { state.outdated = true; });
  } catch {
    // It is gone again: the next one is compared.
  }
}

/** Lines from before the stream began, without those that are known. */
function firstLines(state, {log: lines, newest_line: newest, boot}) {
  const unknown = boot === state.boot ? newest - state.newestLine : lines.length;
  const fresh = unknown > 0 ? lines.slice(-unknown) : [];
  log(state, fresh, boot === state.boot ? Math.max(0, unknown - fresh.length) : 0, newest);
}

function requests(state, data) {
  if (data.requests.length) state.rows = merged(data.requests, state.rows);
  state.newest = data.newest;
  state.underWay = data.under_way;
  state.seenAt = Date.now();
}

/** Rows in the order of their numbers, the newest first, each once. */
export function merged(fresh, known) {
  const rows = new Map(known.map((row) => [row.number, row]));
  for (const row of fresh) rows.set(row.number, row);
  return [...rows.values()].sort((one, other) => other.number - one.number).slice(0, MOST_ROWS);
}

/** How many requests ended between the first and the last of *rows* without being among them: too many came at once. */
export function leftOut(rows) {
  return rows.length ? rows[0].number - rows.at(-1).number + 1 - rows.length : 0;
}

function log(state, lines, missed, newest) {
  state.newestLine = newest;
  // What came too quickly to be sent stands in the list as a number.
  state.lines = state.lines.concat(missed ? [{missed}, ...lines] : lines);
  const over = state.lines.length - MOST_LINES;
  if (over > 0) {
    state.lines = state.lines.slice(over);
    state.linesFrom += over;
  }
}
