// The buttons of Now: what can be done with a slot, a provider, a model and a key.

import {propose} from './acting.js';
import {button, show, write} from './dom.js';

const pause = (title, value) => propose({title, label: title, path: 'api/pause', value});
const resume = (title, value) => propose({title, label: title, path: 'api/resume', value});

/** A button {node, update(paused)} that pauses or resumes what *value* names. */
export function pauseButton(name, value) {
  let isPaused = false;
  const node = button('Pause', () => (isPaused ? resume : pause)(`${isPaused ? 'Resume' : 'Pause'} ${name}`, value));
  return {
    node,
    update(paused) {
      isPaused = Boolean(paused);
      write(node, isPaused ? 'Resume' : 'Pause');
      node.setAttribute('aria-label', `${isPaused ? 'Resume' : 'Pause'} ${name}`);
    },
  };
}

/** A button {node, update(breaker)} that is there while a breaker is not closed. */
export function breakerButton(name, value) {
  const node = button('Ask it again now', () => askAgain(name, value), {'aria-label': `Ask ${name} again now`});
  return {node, update: (breaker) => show(node, Boolean(breaker) && breaker.state !== 'closed')};
}

/** Closes the breaker of what *value* names, once that is wanted. */
export function askAgain(name, value) {
  propose({title: `Ask ${name} again`, label: 'Ask it again', path: 'api/breaker/close', value});
}

/** A button {node, update(key)} that puts a key aside, or back. */
export function keyButton(provider, variable) {
  let aside = false;
  const value = {provider, key: variable};
  const node = button('', () => (aside
    ? propose({title: `Use ${variable} again`, label: 'Use it again', path: 'api/key/back', value})
    : propose({title: `Put ${variable} aside`, label: 'Put it aside', path: 'api/key/aside', value})));
  return {
    node,
    update(key) {
      aside = Boolean(key.by_hand) || key.aside;
      write(node, aside ? 'Put back' : 'Put aside');
      node.setAttribute('aria-label', `Put ${variable} ${aside ? 'back' : 'aside'}`);
    },
  };
}

/** A button that changes how many requests a provider gets at once. *limit* gives the number now. */
export function limitButton(provider, limit) {
  return button('Limit…', () => propose({
    title: `The limit of ${provider}`, label: 'Set it', path: 'api/set',
    fields: [{name: 'limit', label: 'Requests at once (max_concurrent)', type: 'number', value: limit(), hint: 'Requests beyond it wait for a place.'}],
    sentOf({limit: text}) {
      if (!/^[0-9]+$/.test(text)) throw new Error('Type a whole number.');
      return {provider, set: {max_concurrent: Number(text)}};
    },
  }), {'aria-label': `Limit of ${provider}`});
}

/** A button that points a slot elsewhere, or changes when a second one is asked. *models* gives those there are. */
export function slotButton(slot, served, models) {
  return button('Change…', () => changeSlot(slot, served(), models()), {'aria-label': `Change slot ${slot}`});
}

/** Changes *slot*, once that is wanted. */
export function changeSlot(slot, served, models) {
  propose({
    title: `Change slot ${slot}`, label: 'Change it', path: 'api/set',
    fields: [
      {name: 'served', label: 'Asked first (provider:model)', value: served, list: models},
      {name: 'hedge_after', label: 'Ask the next one too, after (hedge_after)', hint: 'Such as 2s; empty: as it is.'},
      {name: 'first_token_timeout', label: 'Give up without a word, after (first_token_timeout)', hint: 'Such as 6s; empty: as it is.'},
    ],
    sentOf({served: text, ...times}) {
      const set = Object.fromEntries(Object.entries(times).filter(([, value]) => value));
      if (text !== served) {
        const colon = text.indexOf(':');
        if (colon < 1 || colon === text.length - 1) throw new Error('Write the provider and its model with a colon between them, such as ollama:llama3.1:8b.');
        set.provider = text.slice(0, colon);
        set.model = text.slice(colon + 1);
      }
      if (!Object.keys(set).length) throw new Error('All is as it was: change a value.');
      return {slot, set};
    },
  });
}

/** Has *served*, a provider:model, be asked first for *slot*, once that is wanted. */
export function serveBy(title, slot, served) {
  const colon = served.indexOf(':');
  propose({title, label: 'Change it', path: 'api/set', value: {slot, set: {provider: served.slice(0, colon), model: served.slice(colon + 1)}}});
}

/** Ends the request *id*, which is under way, once that is wanted. */
export function cancel(id) {
  propose({title: `End ${id}`, label: 'End it', path: `api/cancel/${encodeURIComponent(id)}`});
}

/** Switches to the profile *name*; 'off': to none. */
export function switchProfile(name) {
  propose({
    title: name === 'off' ? 'Use no profile' : `Profile ${name}`, label: name === 'off' ? 'Use none' : `Use ${name}`,
    path: `api/profile/${encodeURIComponent(name)}`,
  });
}
