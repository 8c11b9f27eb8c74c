/**
 * From the kernel to the sidebar: one store per kernel id, not per connection, fed passively from IOPub.
 *
 * Every message carries a whole snapshot, so one can be used without having seen the comm open: after a reload while a
 * cell runs, and in a second notebook on the same kernel, whose connection has no comms.
 */
import { Kernel, KernelMessage } from '@jupyterlab/services';
import { ABSENT, read, State } from './snapshot';
import { Signboard, Source } from './source';

export const TARGET = 'tokmagic.gauge';
const HELLO = { type: 'hello' };
const GONE: readonly Kernel.Status[] = ['restarting', 'autorestarting', 'terminating', 'dead'];

export class KernelStore implements Source {
  private readonly board = new Signboard(ABSENT);
  private readonly known = new WeakSet<Kernel.IKernelConnection>();
  private comm: Kernel.IComm | null = null;
  private commId = '';
  /** The process behind the kernel that spoke last, and those that ended: what they said may still be on its way. */
  private speaker = '';
  private readonly ended = new Set<string>();

  get state(): State {
    return this.board.state;
  }

  listen(changed: () => void): () => void {
    return this.board.listen(changed);
  }

  /** Ask for the state; without a comm of ours the kernel tells it after its next cell. */
  ask(): void {
    if (this.comm && !this.comm.isDisposed) {
      this.comm.send(HELLO);
    }
  }

  /** Listen on a connection to this store's kernel, once. */
  connect(kernel: Kernel.IKernelConnection): void {
    if (this.known.has(kernel)) {
      return;
    }
    this.known.add(kernel);
    kernel.iopubMessage.connect((_, message) => {
      this.take(message);
    });
    kernel.statusChanged.connect((_, status) => {
      if (GONE.includes(status)) {
        this.ended.add(this.speaker);
        this.forget();
      }
    });
    kernel.connectionStatusChanged.connect((_, status) => {
      if (status === 'connected') {
        void this.attach(kernel);
      }
    });
    if (kernel.handleComms) {
      // Without a target JupyterLab closes the comm.
      kernel.registerCommTarget(TARGET, comm => {
        this.comm = comm;
      });
    }
    void this.attach(kernel);
  }

  /** Find the comm that the kernel opened before this page was here, and ask on it. */
  private async attach(kernel: Kernel.IKernelConnection): Promise<void> {
    const id = await openComm(kernel);
    if (id !== null && !kernel.isDisposed && !kernel.hasComm(id)) {
      this.comm = kernel.createComm(TARGET, id);
      this.commId = id;
      this.ask();
    }
  }

  private take(message: KernelMessage.IIOPubMessage): void {
    const { session } = message.header;
    if (KernelMessage.isCommOpenMsg(message) || KernelMessage.isCommMsgMsg(message)) {
      const state = read(message.content.data, performance.now());
      if (state && !this.ended.has(session)) {
        this.speaker = session;
        this.commId = message.content.comm_id;
        this.board.set(state);
      }
    } else if (KernelMessage.isCommCloseMsg(message) && message.content.comm_id === this.commId) {
      this.forget();
    }
  }

  private forget(): void {
    this.comm = null;
    this.commId = '';
    this.board.set(ABSENT);
  }
}

/** The stores of all kernels this page has met. */
export class Stores {
  private readonly stores = new Map<string, KernelStore>();

  of(kernel: Kernel.IKernelConnection): KernelStore {
    const store = this.stores.get(kernel.id) ?? new KernelStore();
    this.stores.set(kernel.id, store);
    store.connect(kernel);
    return store;
  }
}

/** The id of the kernel's comm of ours; null if there is none, or the kernel went away while it was asked. */
async function openComm(kernel: Kernel.IKernelConnection): Promise<string | null> {
  if (!kernel.handleComms || kernel.isDisposed) {
    return null;
  }
  try {
    const { content } = await kernel.requestCommInfo({ target_name: TARGET });
    return content.status === 'ok' ? (Object.keys(content.comms)[0] ?? null) : null;
  } catch {
    return null;
  }
}
