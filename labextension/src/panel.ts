/** The sidebar's panel: the gauge of the active notebook's kernel, and a button that stops what runs there. */
import { Kernel } from '@jupyterlab/services';
import { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import { element, setText } from './dom';
import { Gauge, Hint } from './gauge';
import { gaugeIcon } from './icon';
import { ABSENT } from './snapshot';
import { Signboard, Source } from './source';

const NO_KERNEL: Hint = ['Open a notebook and start its kernel to see its tokens here.'];

/** What the panel looks at. */
export interface Subject {
  title: string;
  kernel: Kernel.IKernelConnection;
  source: Source;
}

export class GaugePanel extends Widget {
  private readonly name = element('span', 'notebook');
  private readonly stop = element('button', 'stop', 'Stop');
  private readonly body = element('div', 'body');
  private gauge: Gauge;
  private subject: Subject | null = null;
  /** Calm while the kernel rests, and no more than that: what runs in a subshell leaves a kernel idle in its word. */
  private readonly onStatus = (): void => {
    this.stop.dataset.tone = this.subject?.kernel.status === 'busy' ? 'bad' : 'idle';
  };
  private readonly onSight = (): void => {
    this.gauge.visible = this.isVisible && document.visibilityState === 'visible';
  };

  constructor() {
    super();
    this.id = 'tokmagic-panel';
    this.title.icon = gaugeIcon;
    this.title.caption = 'Tokens: what is left, what it cost';
    this.addClass('tokmagic-panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'Tokens');
    this.stop.type = 'button';
    this.stop.title = 'Stop what runs in this notebook’s kernel';
    this.stop.addEventListener('click', () => void this.subject?.kernel.interrupt());
    const head = element('header', 'header');
    head.append(this.name, this.stop);
    this.node.append(head, this.body);
    this.gauge = this.mount(new Signboard(ABSENT), NO_KERNEL);
    this.stop.hidden = true;
    document.addEventListener('visibilitychange', this.onSight);
  }

  /** Look at a notebook's kernel, or at none. */
  display(subject: Subject | null): void {
    setText(this.name, subject?.title ?? 'Tokens');
    if (subject?.kernel !== this.subject?.kernel) {
      this.subject?.kernel.statusChanged.disconnect(this.onStatus);
      subject?.kernel.statusChanged.connect(this.onStatus);
      this.subject = subject;
      this.onStatus();
      this.gauge.dispose();
      this.gauge = subject ? this.mount(subject.source) : this.mount(new Signboard(ABSENT), NO_KERNEL);
    }
    this.stop.hidden = subject === null;
  }

  override dispose(): void {
    if (!this.isDisposed) {
      document.removeEventListener('visibilitychange', this.onSight);
      this.subject?.kernel.statusChanged.disconnect(this.onStatus);
      this.gauge.dispose();
      super.dispose();
    }
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.onSight();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.onSight();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.onSight();
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.node.tabIndex = -1;
    this.node.focus();
  }

  private mount(source: Source, absent?: Hint): Gauge {
    const gauge = absent ? new Gauge(source, absent) : new Gauge(source);
    this.body.append(gauge.node);
    gauge.visible = this.isVisible && document.visibilityState === 'visible';
    return gauge;
  }
}
