"""What is looked for on a page beside its words: what keeps people out (axe-core), and its geometry, which axe does not
see."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe

GEOMETRY = """() => {
  const wrong = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) wrong.push(`it is ${root.scrollWidth} px wide in ${root.clientWidth}`);
  const seen = (element) => {
    const box = element.getBoundingClientRect();
    const shown = element.checkVisibility({visibilityProperty: true, contentVisibilityAuto: true});
    return shown && box.width > 1 && box.height > 1 && !element.closest('.unseen, .skip, [aria-hidden=true]');
  };
  const name = (element) => `${element.tagName} ${element.className.baseVal ?? element.className}: ` +
    (element.textContent || '').trim().slice(0, 40);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const element = text.parentElement;
    if (!text.data.trim() || !seen(element)) continue;
    let size = parseFloat(getComputedStyle(element).fontSize);
    const svg = element.closest('svg');
    if (svg && svg.viewBox.baseVal.width) size *= svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    if (size < 12) wrong.push(`${size} px of text: ${name(element)}`);
    const [box, room] = [element.getBoundingClientRect(), svg?.getBoundingClientRect()];
    if (svg && (box.left < room.left - 1 || box.right > room.right + 1)) wrong.push(`cut: ${name(element)}`);
  }
  for (const cell of document.querySelectorAll('td, th, [role=cell]')) {
    const small = cell.clientWidth < 40 || cell.matches('.figure');
    const shown = seen(cell) || (cell.matches('td') && cell.checkVisibility() && cell.textContent);
    if (shown && small && cell.scrollWidth > cell.clientWidth) wrong.push(`cut: ${name(cell)}`);
  }
  for (const cell of document.querySelectorAll('td')) {
    const text = cell.firstChild;
    if (!seen(cell) || text?.nodeType !== Node.TEXT_NODE) continue;
    for (const found of text.data.matchAll(/\\d[\\d.,]*/g)) {
      const range = new Range();
      range.setStart(text, found.index);
      range.setEnd(text, found.index + found[0].length);
      if (range.getClientRects().length > 1) wrong.push(`broken: ${name(cell)}`);
    }
  }
  for (const target of document.querySelectorAll('a, button, select, summary, input')) {
    const box = target.getBoundingClientRect();
    if (seen(target) && box.height < 24 && !target.closest('p, h3')) wrong.push(`${box.height} px: ${name(target)}`);
  }
  return wrong;
}"""


def keeps_out(page: Any, rules: str | None = None) -> list[str]:
    """What axe-core finds.

    :param rules: the tag of those that are tried; None: all.
    """
    tried = {} if rules is None else {"runOnly": {"type": "tag", "values": [rules]}}
    found = Axe().run(page, options={"resultTypes": ["violations"], **tried}).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found]


def misplaced(page: Any) -> list[str]:
    """Text too small to read, cells cut to nothing, targets too small to hit, and what leaves the screen sideways."""
    found: list[str] = page.evaluate(GEOMETRY)
    return found
