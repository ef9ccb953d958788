// How times, money and names are written. What is not known is a dash, and never 0. Times are written as the browser's
// user does, numbers as the page's language does.

export const UNKNOWN = '—';

const SIGNS = {USD: '$', EUR: '€', GBP: '£'};
const clock = new Intl.DateTimeFormat(undefined, {hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23'});
const minutes = new Intl.DateTimeFormat(undefined, {hour: '2-digit', minute: '2-digit', hourCycle: 'h23'});
const whole = new Intl.NumberFormat('en');
const days = new Intl.DateTimeFormat(undefined, {day: 'numeric', month: 'short'});
const full = new Intl.DateTimeFormat(undefined, {dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23'});

/** 21:04:02, of seconds since the epoch. */
export const time = (at) => clock.format(at * 1000);

/** 21:04. */
export const minute = (at) => minutes.format(at * 1000);

/** 29 Nov. */
export const date = (at) => days.format(at * 1000);

/** 28 Nov 21:04. */
export const dated = (at) => `${date(at)} ${minute(at)}`;

const isToday = (at) => new Date(at * 1000).toDateString() === new Date().toDateString();

/** 21:04:02 of today, 28 Nov 21:04 of another day. */
export const when = (at) => (isToday(at) ? time(at) : dated(at));

/** The same to the minute. */
export const moment = (at) => (isToday(at) ? minute(at) : dated(at));

/** With its date. */
export const day = (at) => full.format(at * 1000);

/** The time zone of the browser. */
export const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** < 0.1 s, 0.4 s, 12 s, 2 min, 3 h. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return UNKNOWN;
  if (seconds > 0 && seconds < 0.05) return '< 0.1 s';
  if (seconds < 9.95) return `${Number.isInteger(seconds) ? seconds : seconds.toFixed(1)} s`;
  if (seconds < 99.5) return `${seconds.toFixed(0)} s`;
  return seconds < 5970 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(0)} h`;
}

/** 0.35, for a point on the axis of a request. */
export const point = (seconds) => seconds.toFixed(2);

/** $0.31, $0.0002: two digits that count under a cent. */
export function money(amount, currency = 'USD') {
  if (amount === null || amount === undefined) return UNKNOWN;
  const sign = SIGNS[currency] ?? `${currency} `;
  if (amount === 0) return `${sign}0`;
  if (amount >= 0.01) return sign + amount.toFixed(2);
  return sign + amount.toFixed(Math.min(9, 1 - Math.floor(Math.log10(amount))));
}

/** At an axis: $0.025, not rounded to cents. */
export function tickMoney(amount, currency = 'USD') {
  const sign = SIGNS[currency] ?? `${currency} `;
  return sign + (amount ? Number(amount.toPrecision(2)).toLocaleString('en', {maximumFractionDigits: 9}) : '0');
}

/** What was spent, as /api/costs has it: with ≈ where a part of it is an estimate, a dash where no price is known. */
export function spent({cost, estimated_cost: estimated}) {
  const parts = Object.entries(cost).map(([currency, amount]) => (currency in estimated ? '≈ ' : '') + money(amount, currency));
  return parts.join(' + ') || UNKNOWN;
}

/** Money by its currency, as {USD: 0.31}; empty: nothing is known. */
export const moneys = (amounts) => Object.entries(amounts ?? {}).map(([currency, each]) => money(each, currency)).join(' + ');

/** 2,000. */
export const count = (number) => whole.format(number);

/** 1 request, 3 requests. */
export const counted = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;
