// An answer of this origin's API, as it streams, with the times at which its parts came.

import {address, get, isLoggedIn, proof} from './api.js';

const SENTENCE = /[.!?…\u061f\u06d4\u0964]+(?=[\s"'“”‘’«»‹›」』*)])|[。！？]/;
const ABBREVIATIONS = /(^|\s)(mr|mrs|ms|dr|st|prof|vs|etc|e\.g|i\.e)\.$/i;

/** Whether *text* has a whole sentence of at least two words. */
export function hasSentence(text) {
  for (let start = 0; ;) {
    const found = SENTENCE.exec(text.slice(start));
    if (!found) return false;
    const end = start + found.index + found[0].length;
    const before = text.slice(0, end);
    if (!ABBREVIATIONS.test(before) && (/\S\s+\S*[\p{L}\p{N}]/u.test(before.trim()) || /[。！？]$/.test(before))) return true;
    start = end;
  }
}

/** What an object of JSON says of an error; empty: nothing. */
function wordsOf(error) {
  if (!error) return '';
  return typeof error === 'string' ? error : String(error.message ?? error.code ?? 'An error without a message.');
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** What a whole answer said, a stream or an object of JSON, as it was kept; of one that is neither, all of it. */
export function saidIn(raw) {
  const whole = parsed(raw);
  if (whole) return (whole.choices ?? []).map((choice) => choice?.message?.content ?? choice?.text ?? '').join('') || wordsOf(whole.error);
  const values = raw.split(/\r?\n/).filter((line) => line.startsWith('data:')).map((line) => parsed(line.slice(5).trim()));
  if (!values.length) return raw;
  return values.map((value) => (value?.choices ?? []).map((choice) => choice?.delta?.content ?? choice?.text ?? '').join('') || wordsOf(value?.error)).join('');
}

/**
 * Asks *model* for an answer to *text*. *answer* is changed as it comes, and *heard* called then: status, id, text,
 * thinks, error, firstToken, firstSentence and total in seconds, and usage.
 */
export async function ask(model, text, {signal, heard, fields}) {
  const began = performance.now();
  const answer = {status: 0, id: '', text: '', thinks: false, error: '', firstToken: null, firstSentence: null, total: null, usage: null};
  const at = () => (performance.now() - began) / 1000;
  const body = {model, stream: true, stream_options: {include_usage: true}, messages: [{role: 'user', content: text}], ...fields};
  // Providers refuse it where no stream is wanted.
  if (!body.stream) delete body.stream_options;

  function hear(said) {
    if (typeof said !== 'string' || !said) return;
    answer.firstToken ??= at();
    answer.text += said;
    if (answer.firstSentence === null && hasSentence(answer.text)) answer.firstSentence = at();
  }

  function take(value, part) {
    if (!value) return;
    if (value.error) answer.error = wordsOf(value.error);
    if (value.usage) answer.usage = value.usage;
    for (const choice of value.choices ?? []) {
      const said = choice?.[part];
      hear(said?.content);
      if (said?.reasoning_content || said?.reasoning) answer.thinks = true;
    }
  }

  const asked = (more) => fetch(address('v1/chat/completions'), {
    // What was kept from before would tell nothing of today.
    method: 'POST', headers: {'Content-Type': 'application/json', ...more}, body: JSON.stringify(body), cache: 'no-store',
    signal,
  });

  heard(answer);
  try {
    // Where clients need keys, this page needs to prove that it is the one where the admin key was typed.
    let response = await asked(isLoggedIn() ? await proof(signal) : {});
    // Nobody was asked: in this tab nobody has typed it, or skyproxy was started again.
    if (response.status === 403 && !response.headers.has('X-Skyproxy-Provider')) response = await asked(await proof(signal, true));
    answer.status = response.status;
    answer.id = response.headers.get('X-Request-Id') ?? '';
    heard(answer);
    if (response.ok && (response.headers.get('Content-Type') ?? '').includes('event-stream')) {
      for await (const event of events(response.body)) {
        if (event !== '[DONE]') take(parsed(event), 'delta');
        heard(answer);
      }
    } else {
      const whole = await response.text();
      take(parsed(whole), 'message');
      if (!response.ok && !answer.error) answer.error = whole.slice(0, 300) || `Status ${response.status}.`;
    }
    if (!answer.error && !answer.text) {
      answer.error = answer.thinks
        ? 'The answer is empty: the model only thought (enable_reasoning: false in the slot may help).'
        : 'The answer is empty: the model said nothing.';
    }
  } catch (error) {
    if (error.name === 'AbortError') answer.error = 'Stopped by you.';
    else answer.error = answer.text ? 'The answer broke off.' : 'skyproxy cannot be reached.';
  }
  answer.total = at();
  if (answer.text && answer.firstSentence === null) answer.firstSentence = answer.total;
  heard(answer);
  return answer;
}

/** The request with *id*, once it is over. */
export async function keptRequest(id) {
  for (const wait of [0, 150, 400, 1000]) {
    await new Promise((done) => { setTimeout(done, wait); });
    try {
      const row = await get(`api/requests/${encodeURIComponent(id)}`);
      if (row.outcome !== null) return row;
    } catch {
      // It is looked for again.
    }
  }
  return null;
}

/** The data of each event in *stream*. */
async function* events(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const {done, value} = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, {stream: true});
      const lines = rest.split(/\r?\n/);
      rest = lines.pop();
      for (const line of lines) if (line.startsWith('data:')) yield line.slice(5).trim();
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
