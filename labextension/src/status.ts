/** The status bar's item: what is left of the tightest limit; a press opens the panel. Hidden while nothing is known. */
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';
import { element, setText } from './dom';
import { Pace } from './pace';
import { Row } from './snapshot';
import { Source } from './source';

export class StatusItem extends Widget {
  readonly activeChanged = new Signal<this, undefined>(this);
  private readonly button = element('button', 'status');
  private readonly fill = element('span', 'fill');
  private readonly text = element('span', 'status-text');
  private readonly pace = new Pace(() => {
    this.draw();
  });
  private source: Source | null = null;
  private unlisten: (() => void) | null = null;

  constructor(open: () => void) {
    super();
    this.id = 'tokmagic-status';
    this.addClass('tokmagic-status-item');
    this.button.type = 'button';
    this.button.addEventListener('click', open);
    const bar = element('span', 'status-bar');
    bar.append(this.fill);
    this.button.append(bar, this.text);
    this.node.append(this.button);
    this.pace.visible = true;
  }

  /** Whether there is anything to show. */
  get active(): boolean {
    return this.headline !== null;
  }

  /** Follow a kernel, or none. */
  follow(source: Source | null): void {
    if (source === this.source) {
      return;
    }
    this.unlisten?.();
    this.source = source;
    this.unlisten =
      source?.listen(() => {
        this.pace.request();
      }) ?? null;
    this.pace.request();
  }

  private get headline(): Row | null {
    const state = this.source?.state;
    return state?.kind === 'live' ? state.snapshot.headline : null;
  }

  private draw(): void {
    const row = this.headline;
    if (row) {
      setText(this.text, row.text);
      this.fill.style.width = `${Math.round((row.fraction ?? 0) * 100)}%`;
      this.button.dataset.tone = row.tone;
      this.button.title = `${row.label}: ${row.text}. Open the token panel.`;
    }
    this.activeChanged.emit(undefined);
  }
}
