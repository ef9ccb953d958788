// Keys. None while somebody types, and all of them can be switched off (WCAG 2.1.4).

import {button, h} from './dom.js';

const KEY = 'skyproxy-keys';
const LIST = [
  ['1 – 6', 'the views'], ['/', 'search'], ['j  k', 'next, previous'], ['Enter', 'open'], ['Esc', 'back'],
  ['[  ]', 'the request before, after'], ['p', 'pause what is live'], ['?', 'this list'],
];

let off = false;
try {
  off = localStorage.getItem(KEY) === 'off';
} catch {
  // They are on, then.
}

/** Has keys go to *handlers*, by their names. */
export function start(handlers) {
  const dialog = list();
  document.body.append(dialog);
  addEventListener('keydown', (event) => {
    const target = event.target;
    const types = target instanceof HTMLElement && target.closest('input, textarea, select, [contenteditable]');
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === 'Escape' && types) {
      target.blur();
      return;
    }
    if (types || document.querySelector('dialog[open]')) return;
    if (event.key === '?') dialog.showModal();
    else if (off || !handlers(event.key, event)) return;
    event.preventDefault();
  });
  return () => dialog.showModal();
}

function list() {
  const box = h('input', {
    type: 'checkbox', checked: !off,
    on: {
      change: (event) => {
        off = !event.target.checked;
        try {
          localStorage.setItem(KEY, off ? 'off' : 'on');
        } catch {
          // It holds for this tab, then.
        }
      },
    },
  });
  const dialog = h(
    'dialog', {'aria-labelledby': 'keys-title'},
    h('h2', {id: 'keys-title'}, 'Keys'),
    h('dl', {class: 'keys'}, LIST.map(([key, what]) => h('div', null, h('dt', null, h('kbd', null, key)), h('dd', null, what)))),
    h('p', null, h('label', {class: 'inline'}, box, ' Keys of one letter are on')),
    button('Close', () => dialog.close()),
  );
  return dialog;
}
