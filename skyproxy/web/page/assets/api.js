// What is asked of the server. Addresses are relative to the document, so that the page works behind any path.

import {set} from './store.js';

/** The address of *path*, such as 'api/now', with *query*, an object or pairs, of which empty values are left out. */
export function address(path, query) {
  const url = new URL(path, document.baseURI);
  url.hash = url.search = '';
  for (const [name, value] of query?.[Symbol.iterator] ? query : Object.entries(query ?? {})) {
    if (value !== '' && value !== null && value !== undefined) url.searchParams.append(name, value);
  }
  return url;
}

/** What the server refuses, in its words; status 0: it could not be asked. *value*: the object that it answered. */
export class Refusal extends Error {
  constructor(message, status, value = null) {
    super(message);
    this.status = status;
    this.value = value;
  }
}

/** The address of the API, *told* by skyproxy; seen from another computer it is that of this page. */
export const apiUrl = (told) => (/^(localhost|127\..*|\[::1\])$/.test(location.hostname) ? told : address('v1').href);

/** The JSON at *path*. */
export const get = (path, query, signal) => asked('GET', path, query, signal);

let session = null;

/** The header that proves that this page asks; *anew*: another one. */
export async function proof(signal, anew = false) {
  if (anew) session = null;
  session ??= await get('api/session', null, signal);
  return {[session.header]: session.csrf};
}

/**
 * What comes of a POST of *value*. It brings what proves that this page sends it. A skyproxy that was started again does
 * not know that any more, nor does one know a cookie that is gone: then nothing was done, and it is sent once more.
 */
export async function post(path, value, signal) {
  for (let old = session !== null; ; old = false) {
    session ??= await get('api/session', null, signal);
    try {
      return await asked('POST', path, null, signal, value, {[session.header]: session.csrf});
    } catch (error) {
      if (error.status !== 403) throw error;
      session = null;
      if (!old) throw error;
    }
  }
}

async function asked(method, path, query, signal, sent, more) {
  let response;
  try {
    const headers = {Accept: 'application/json', ...more};
    const body = sent === undefined || sent === null ? undefined : JSON.stringify(sent);
    if (body) headers['Content-Type'] = 'application/json';
    response = await fetch(address(path, query), {method, headers, body, cache: 'no-store', signal});
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refusal('skyproxy cannot be reached.', 0);
  }
  let value = null;
  try {
    value = await response.json();
  } catch {
    // What is no JSON has no message.
  }
  // The login is over.
  if (response.status === 401) set((state) => Object.assign(state, {live: 'refused', refusedBy: 401, refusal: value?.error?.message ?? ''}));
  if (!response.ok) throw new Refusal(value?.error?.message ?? `skyproxy says ${response.status}.`, response.status, value);
  return value;
}

const LOGIN = 'skyproxy-admin';

/** Whether somebody has typed the admin key in this browser. */
export function isLoggedIn() {
  try {
    return localStorage.getItem(LOGIN) === 'yes';
  } catch {
    return false;
  }
}

/** Remembers it: 'yes', or '' to forget it. */
export function rememberLogin(value) {
  try {
    localStorage.setItem(LOGIN, value);
  } catch {
    // Then there is no button to log out.
  }
}
