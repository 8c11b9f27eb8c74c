/**
 * The one component: it draws a source's state into an element, in the sidebar and inside a notebook alike.
 *
 * It works only while it is visible: at most ten drawings a second, a tick a second while something counts down, and
 * one question to the kernel when time alone has made what is shown untrue.
 */
import { CellsView } from './cells';
import { arrange, element } from './dom';
import { Pace } from './pace';
import { RowView } from './rows';
import { kernelTime, Row, Snapshot, State } from './snapshot';
import { Source } from './source';

const SECOND = 1000;

/** What to do where there is nothing to draw: plain words and words to type. */
export type Hint = readonly (string | { code: string })[];

export const NOT_LOADED: Hint = [
  'Run ',
  { code: '%load_ext tokmagic' },
  ' in this notebook to see its tokens here.'
];
const FOREIGN: Hint = [
  'The kernel runs another version of tokmagic than this panel draws. Update both, then reload.'
];
const NOTHING_YET: Hint = ['tokmagic is loaded. Run a ', { code: '%%llm' }, ' cell.'];

export class Gauge {
  readonly node = element('section', 'gauge');
  private readonly hint = element('p', 'hint');
  private readonly list = element('ul', 'rows');
  private readonly cells = new CellsView();
  private views = new Map<string, RowView>();
  private readonly pace = new Pace(() => {
    this.draw();
  });
  private readonly unlisten: () => void;
  private ticker: ReturnType<typeof setInterval> | undefined;
  private seen = false;
  private asked: Snapshot | null = null;

  constructor(
    private readonly source: Source,
    private readonly absent: Hint = NOT_LOADED
  ) {
    this.node.setAttribute('aria-label', 'Token gauge');
    this.hint.setAttribute('role', 'status');
    this.node.append(this.hint, this.list, this.cells.node);
    this.unlisten = source.listen(() => {
      this.pace.request();
    });
    this.pace.request();
  }

  /** Whether somebody can see it. */
  set visible(visible: boolean) {
    this.seen = visible;
    this.pace.request();
    this.pace.visible = visible;
    this.keepTicking();
  }

  dispose(): void {
    this.visible = false;
    this.unlisten();
    this.node.remove();
  }

  private draw(): void {
    const { state } = this.source;
    this.node.dataset.state = state.kind;
    const rows = state.kind === 'live' ? state.snapshot.rows : [];
    this.showHint(hintFor(state, this.absent));
    const at = state.kind === 'live' ? kernelTime(state, performance.now()) : 0;
    this.views = new Map(rows.map(row => [row.key, this.drawRow(row, at)]));
    arrange(
      this.list,
      [...this.views.values()].map(view => view.node)
    );
    this.cells.node.hidden = true;
    if (state.kind === 'live') {
      this.cells.show(state.snapshot);
    }
    this.refresh();
    this.keepTicking();
  }

  private drawRow(row: Row, at: number): RowView {
    const view = this.views.get(row.key) ?? new RowView();
    view.show(row, at);
    return view;
  }

  private showHint(hint: Hint | null): void {
    this.hint.hidden = hint === null;
    this.hint.replaceChildren(
      ...(hint ?? []).map(part => (typeof part === 'string' ? part : element('code', 'code', part.code)))
    );
  }

  private tick(): void {
    const { state } = this.source;
    if (state.kind === 'live') {
      const at = kernelTime(state, performance.now());
      this.views.forEach(view => {
        view.tick(at);
      });
    }
    this.refresh();
  }

  private keepTicking(): void {
    const { state } = this.source;
    const moving = state.kind === 'live' && (state.snapshot.stale_at !== null || this.counts());
    if (this.seen && moving) {
      this.ticker ??= setInterval(() => {
        this.tick();
      }, SECOND);
    } else {
      clearInterval(this.ticker);
      this.ticker = undefined;
    }
  }

  private counts(): boolean {
    return [...this.views.values()].some(view => view.counts);
  }

  /** Ask once about each snapshot that says too little or is no longer true. */
  private refresh(): void {
    const { state } = this.source;
    if (!this.seen || state.kind !== 'live' || state.snapshot === this.asked) {
      return;
    }
    const { sequence, stale_at: staleAt } = state.snapshot;
    const stale = staleAt !== null && kernelTime(state, performance.now()) >= staleAt;
    if (stale || sequence === 0) {
      this.asked = state.snapshot;
      this.source.ask();
    }
  }
}

function hintFor(state: State, absent: Hint): Hint | null {
  switch (state.kind) {
    case 'absent':
      return absent;
    case 'foreign':
      return FOREIGN;
    case 'live':
      return state.snapshot.rows.length === 0 ? NOTHING_YET : null;
  }
}
