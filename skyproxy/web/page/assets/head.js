// The sentence on top: how all is, what to do, what else there is. It is the page's live region.

import {apiUrl} from './api.js';
import {attribute, button, copyButton, h, keep, ours, replace, show, write} from './dom.js';
import {moment} from './format.js';
import {tryNow} from './live.js';
import {state} from './store.js';
import {LEVELS} from './words.js';

/** What Setup tells more of, and tests. */
const AT_SETUP = new Set(['demo', 'key_missing', 'reload_failed', 'key_invalid', 'unreachable', 'path_unknown']);

/** What the page itself has to say before all else; null: nothing. */
function ownSentence(state) {
  const since = moment(state.lostAt / 1000);
  if (state.live === 'refused') return {code: 'refused', level: 'bad', text: 'skyproxy does not let this page in.', advice: state.refusal};
  if (state.live === 'stopped') return {code: 'stopped', level: 'bad', text: `skyproxy was stopped at ${since}.`, advice: 'This page goes on when it is started again.'};
  if (state.live === 'lost') {
    const seconds = Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000));
    const again = seconds ? ` Trying again in ${seconds} s.` : ' Trying again.';
    return {code: 'lost', level: 'bad', text: `This page lost skyproxy at ${since}.`, advice: 'Is it still running?', again};
  }
  if (state.outdated) return {code: 'outdated', level: 'neutral', text: 'skyproxy was upgraded.', advice: 'This page is that of the version before.'};
  if (!state.now) return {code: 'connecting', level: 'neutral', text: 'Asking skyproxy how all is…', advice: ''};
  return null;
}

/** As it is told on another computer. */
const fromHere = (told) => (told.code === 'waiting' ? {...told, advice: told.advice.replace(/http\S+(?=\/chat\/)/, apiUrl)} : told);

/** All sentences, the most important first. */
export function sentences(state) {
  const own = ownSentence(state);
  const theirs = state.now ? [state.now.sentence, ...state.now.more].map(fromHere) : [];
  return own ? [own, ...(['connecting', 'outdated'].includes(own.code) ? theirs : [])] : theirs;
}

/** Advice, with what stands between ` as something to type. */
function advised(text) {
  return text.split('`').map((part, index) => (index % 2 ? h('code', null, part) : part && ours(part)));
}

/** What is only needed when somebody presses a button is not loaded before. */
async function askAgain(about) {
  const {askAgain: ask} = await import('./knobs.js');
  const colon = about.indexOf(':');
  ask(about, colon < 0 ? {provider: about} : {provider: about.slice(0, colon), model: about.slice(colon + 1)});
}

/** The button that has another provider serve a slot. */
function useInstead({slot, use}) {
  const {job} = state.now.slots.find((each) => each.name === slot) ?? {job: slot};
  const title = `Use ${use.split(':', 1)[0]} for ${job}`;
  return button(title, async () => (await import('./knobs.js')).serveBy(title, slot, use));
}

/** {node, update(state)}. */
export function head() {
  const icon = h('span', {class: 'icon', 'aria-hidden': 'true'});
  const level = h('span', {class: 'unseen'});
  const text = ours('');
  // A countdown in it is not read aloud at each second; with another sentence it is.
  const advice = h('p', {class: 'advice', 'aria-live': 'off'});
  const again = h('span', {'aria-live': 'off'});
  const actions = h('div', {class: 'actions'});
  const more = h('ul');
  const summary = h('summary');
  const rest = h('details', null, summary, more);
  const status = h('div', {role: 'status'}, h('p', {class: 'sentence'}, icon, level, text), advice);
  const node = h('section', {class: 'head', 'aria-label': 'How all is'}, status, again, actions, rest);
  let shown = '';
  let current = null;

  /** The buttons. Each stays as long as what it is for does: a countdown beside it takes the focus from nobody. */
  function act(first) {
    const {code, about} = first;
    const wanted = [
      code === 'lost' && ['again', () => button('Try now', tryNow)],
      code === 'outdated' && ['load', () => button('Load the new one', () => location.reload())],
      code === 'waiting' && ['address', () => copyButton('Copy the address', () => current.advice.split(': ').at(-1), () => advice)],
      code === 'model_unknown' && first.advice.includes('`') && ['copy', () => copyButton('Copy', () => current.advice.split('`')[1])],
      first.use && state.now && [`use ${first.slot} ${first.use}`, () => useInstead(first)],
      first.request_id && ['request', () => h('a', {class: 'button'}, 'Show the request'), (node) => attribute(node, 'href', `#/requests/${encodeURIComponent(current.request_id)}`)],
      AT_SETUP.has(code) && ['setup', () => h('a', {class: 'button to-setup', href: '#/setup'}, 'Setup')],
      code === 'breaker' && [`ask ${about}`, () => button('Ask it again now', () => askAgain(about))],
      code === 'reload_failed' && ['read', () => button('Read it again', async () => (await import('./acting.js')).reload())],
      ['lag', 'log_lost', 'alone'].includes(code) && ['log', () => h('a', {class: 'button', href: '#/log'}, 'Log')],
    ].filter(Boolean);
    current = first;
    keep(actions, wanted, ([name]) => name, ([, make, refresh]) => {
      const node = make();
      return {node, update: () => refresh?.(node)};
    });
    show(actions, wanted.length > 0);
  }

  function update(state) {
    const [first, ...others] = sentences(state);
    const {icon: sign, word, tone} = LEVELS[first.level];
    write(again, first.again ?? '');
    show(again, Boolean(first.again));
    const key = JSON.stringify([first, others].map((each) => ({...each, again: 0})));
    if (key === shown) return;
    shown = key;
    node.dataset.tone = tone;
    write(icon, sign);
    write(level, `${word}: `);
    write(text, first.text);
    replace(advice, first.advice ? advised(first.advice) : null);
    show(advice, Boolean(first.advice));
    act(first);
    write(summary, `and ${others.length} more`);
    show(rest, others.length > 0);
    keep(more, others, (each) => `${each.code} ${each.about} ${each.text}`, other);
  }
  return {node, update};
}

function other(sentence) {
  const {icon, word, tone} = LEVELS[sentence.level];
  const advice = h('span');
  const node = h(
    'li', {'data-tone': tone},
    h('span', {class: 'icon', 'aria-hidden': 'true'}, icon), h('span', {class: 'unseen'}, `${word}: `),
    h('span', null, ours(sentence.text), ' ', advice),
  );
  let shown = null;
  return {
    node,
    update({advice: text = ''}) {
      if (text === shown) return;
      shown = text;
      replace(advice, advised(text));
    },
  };
}
