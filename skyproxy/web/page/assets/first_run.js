// Who has neither a key nor a slot begins with Setup: once in each session of the browser.

import {listen, state} from './store.js';

const KEY = 'skyproxy-setup-seen';

/** Whether nothing of one's own can answer. */
function isEmpty(now) {
  const needed = now.providers.filter((each) => each.needed);
  return now.sentence.code === 'demo' || !now.slots.length || needed.every((each) => each.key_missing !== null);
}

/** Has Now give way to Setup. *shown* gives the name of the view. */
export function start(shown) {
  const end = listen(look);
  look();

  function look() {
    const name = shown();
    // What is not shown yet is looked at again with the next news.
    if (!state.now || !name) return;
    end();
    if (name !== 'now' || !isEmpty(state.now)) return;
    try {
      if (sessionStorage.getItem(KEY)) return;
      sessionStorage.setItem(KEY, 'yes');
    } catch {
      // It could not be remembered, and would be done again and again.
      return;
    }
    location.replace('#/setup');
  }
}
