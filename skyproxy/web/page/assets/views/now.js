// How all is, now.

import {h} from '../dom.js';

export function make() {
  return {node: h('div', null, h('h1', {class: 'unseen'}, 'Now')), update() {}};
}
