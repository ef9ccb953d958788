// Light or dark: the system's, unless the reader has chosen.

import {h} from './dom.js';

const KEY = 'skyproxy-theme';
const CHOICES = [['system', 'System'], ['light', 'Light'], ['dark', 'Dark']];

function chosen() {
  try {
    return localStorage.getItem(KEY) ?? 'system';
  } catch {
    return 'system';
  }
}

function apply(choice) {
  document.documentElement.dataset.theme = choice;
}

/** Uses what was chosen before. */
export function start() {
  apply(chosen());
}

/** The switch. */
export function themeSwitch() {
  const current = chosen();
  const choose = (event) => {
    apply(event.target.value);
    try {
      localStorage.setItem(KEY, event.target.value);
    } catch {
      // It holds for this tab, then.
    }
  };
  const options = CHOICES.map(([value, label]) => h('option', {value, selected: value === current}, label));
  return h('label', {class: 'inline'}, 'Theme ', h('select', {on: {change: choose}}, options));
}
