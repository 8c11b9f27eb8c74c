/** One row of the gauge, updated in place: label, text, and a bar or a chart where it has one. */
import { chart } from './chart';
import { element, setText } from './dom';
import { Row, textAt } from './snapshot';

export class RowView {
  readonly node = element('li', 'row');
  private readonly label = element('span', 'label');
  private readonly text = element('span', 'text');
  private readonly bar = element('div', 'bar');
  private readonly fill = element('div', 'fill');
  private figure: Element | null = null;
  private series = '';
  private row: Row | null = null;

  constructor() {
    this.bar.setAttribute('role', 'meter');
    this.bar.setAttribute('aria-valuemin', '0');
    this.bar.setAttribute('aria-valuemax', '100');
    this.bar.append(this.fill);
    this.node.append(this.label, this.text);
  }

  /** Whether its text moves on by itself. */
  get counts(): boolean {
    return this.row?.countdown != null;
  }

  /** Show a row at that moment of the kernel's time. */
  show(row: Row, at: number): void {
    this.row = row;
    this.node.dataset.key = row.key;
    this.node.dataset.tone = row.tone;
    setText(this.label, row.label);
    this.tick(at);
    this.showBar(row);
    this.showChart(row);
  }

  /** Move the countdown on. */
  tick(at: number): void {
    if (this.row) {
      setText(this.text, textAt(this.row, at));
    }
  }

  private showBar({ fraction, label, text }: Row): void {
    if (fraction === null) {
      this.bar.remove();
      return;
    }
    const percent = Math.round(fraction * 100);
    this.fill.style.width = `${percent}%`;
    this.bar.setAttribute('aria-label', `${label}, used`);
    this.bar.setAttribute('aria-valuenow', String(percent));
    this.bar.setAttribute('aria-valuetext', text);
    if (!this.bar.isConnected) {
      this.node.append(this.bar);
    }
  }

  private showChart({ series, label }: Row): void {
    const drawn = series.some(value => value > 0) ? series.join() : '';
    if (drawn === this.series) {
      return;
    }
    this.series = drawn;
    this.figure?.remove();
    this.figure = drawn ? chart(series, label) : null;
    if (this.figure) {
      this.node.append(this.figure);
    }
  }
}
