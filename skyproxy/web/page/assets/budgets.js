// What is left of the purse and of budgets; where there are none, nothing.

import {attribute, h, keep, show, write} from './dom.js';
import {UNKNOWN, counted, date, minute, money} from './format.js';

const WARN = 0.8;
const PERIODS = {hour: 'an hour', day: 'a day', month: 'a month', evening: 'an evening', all: 'in all'};

export function budgets() {
  const list = h('ul', {class: 'budgets'});
  const node = h('section', {'aria-label': 'Budgets'}, h('div', {class: 'heading'}, h('h2', null, 'Budgets')), list);
  return {
    node,
    update(now) {
      const found = (now.budgets ?? []).slice(0, 20);
      show(node, found.length > 0);
      keep(list, found, (each) => `${each.account} ${each.per} ${each.currency}`, budget);
    },
  };
}

function budget() {
  const name = h('span', {class: 'name'});
  const bar = h('progress', {max: '1'});
  const text = h('span', {class: 'secondary'});
  const node = h('li', null, name, bar, text);
  return {
    node,
    update(each) {
      write(name, each.name === null ? 'Purse' : `${each.kind[0].toUpperCase()}${each.kind.slice(1)} ${each.name}`);
      attribute(bar, 'value', String(Math.min(1, each.used ?? 0)));
      attribute(bar, 'class', each.used >= 1 ? 'bad' : each.used >= WARN ? 'warning' : 'good');
      attribute(bar, 'aria-label', `${Math.floor((each.used ?? 0) * 100)} % spent`);
      write(text, words(each));
    },
  };
}

function words(each) {
  const parts = [`${each.spent === null ? UNKNOWN : money(each.spent, each.currency)} of ${money(each.amount, each.currency)} ${PERIODS[each.per]}`];
  if (each.reserved > 0) parts.push(`${money(each.reserved, each.currency)} reserved`);
  if (each.until !== null) parts.push(`until ${each.until - Date.now() / 1000 > 64800 ? `${date(each.until)} ` : ''}${minute(each.until)}`);
  if (each.used >= 1 && each.on_budget) parts.push(`${each.on_budget} serves meanwhile`);
  if (each.refused > 0) parts.push(counted(each.refused, 'time not enough was left', 'times not enough was left'));
  return parts.join(', ');
}
