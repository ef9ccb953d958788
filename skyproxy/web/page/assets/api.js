// What is asked of the server. Addresses are relative to the document, so that the page works behind any path.

/** The address of *path*, such as 'api/now', with *query*, of which empty values are left out. */
export function address(path, query) {
  const url = new URL(path, document.baseURI);
  url.hash = url.search = '';
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== '' && value !== null && value !== undefined) url.searchParams.set(name, value);
  }
  return url;
}

/** What the server refuses, in its words; status 0: it could not be asked. */
export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The JSON at *path*. */
export const get = (path, query, signal) => asked('GET', path, query, signal);

/** What comes of a POST without a body. */
export const post = (path, signal) => asked('POST', path, null, signal);

async function asked(method, path, query, signal) {
  let response;
  try {
    const headers = {Accept: 'application/json'};
    response = await fetch(address(path, query), {method, headers, cache: 'no-store', signal});
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
  if (!response.ok) throw new Refusal(value?.error?.message ?? `skyproxy says ${response.status}.`, response.status);
  return value;
}
