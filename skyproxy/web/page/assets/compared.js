// Two answers side by side: the words that only one of them has.

import {foreign, h} from './dom.js';
import {difference} from './words_diff.js';

/** How *texts*, two of them, differ; *names* tells them apart. */
export function compared(texts, names = ['A', 'B']) {
  const parts = difference(...texts);
  if (parts.every(([kind]) => kind === 'both')) return h('p', null, 'They are the same, word by word.');
  const text = h(
    'p', {class: 'said'},
    parts.map(([kind, words]) => {
      if (kind === 'both') return [foreign(words), ' '];
      const [tag, sign] = kind === 'first' ? ['del', names[0]] : ['ins', names[1]];
      return [h(tag, null, h('span', {class: 'sign'}, `${sign} `), foreign(words)), ' '];
    }),
  );
  return [text, h('p', {class: 'secondary muted'}, `Struck through: only ${names[0]} says it. Underlined: only ${names[1]} does.`)];
}
