/** The table of a kernel's calls, the newest first: its numbers in columns, model and badges below them. */
import { element } from './dom';
import { Cell, Snapshot } from './snapshot';

export class CellsView {
  readonly node = element('table', 'cells');
  private drawn = '';

  constructor() {
    this.node.setAttribute('aria-label', 'Calls of this kernel, the newest first');
  }

  show({ columns, cells }: Snapshot): void {
    const calls = cells.map(cell => cell.receipt.call).join();
    this.node.hidden = cells.length === 0;
    if (calls === this.drawn) {
      return;
    }
    this.drawn = calls;
    const bodies = [...cells].reverse().map(cell => body(cell, columns.length));
    this.node.replaceChildren(head(columns), ...bodies);
  }
}

function head(columns: string[]): HTMLElement {
  const made = element('thead', 'head');
  const line = element('tr', 'line');
  for (const column of columns) {
    const cell = element('th', 'column-name', column);
    cell.scope = 'col';
    line.append(cell);
  }
  made.append(line);
  return made;
}

function body({ texts, receipt }: Cell, width: number): HTMLElement {
  const made = element('tbody', 'cell');
  const numbers = element('tr', 'line');
  const below = element('tr', 'line');
  const detail = element('td', 'detail');
  texts.forEach((text, place) => {
    numbers.append(element(place === 0 ? 'th' : 'td', 'number', text));
  });
  detail.colSpan = width;
  detail.append(element('span', 'model', receipt.replay_of ? `${receipt.model}, replayed` : receipt.model));
  detail.append(...receipt.badges.map(badge => element('span', 'badge', badge)));
  below.append(detail);
  made.append(numbers, below);
  return made;
}
