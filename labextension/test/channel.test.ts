import { Kernel } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';
import { describe, expect, it } from 'vitest';
import { KernelStore, Stores, TARGET } from '../src/channel';
import { SNAPSHOT } from './states';

/** A connection to a kernel, as far as a store looks at it. */
class Connection {
  readonly iopubMessage = new Signal<this, unknown>(this);
  readonly statusChanged = new Signal<this, Kernel.Status>(this);
  readonly connectionStatusChanged = new Signal<this, Kernel.ConnectionStatus>(this);
  readonly isDisposed = false;
  readonly targets: string[] = [];
  readonly said: unknown[] = [];
  session = 'first process';

  constructor(
    readonly id: string,
    readonly handleComms = true,
    private readonly open: string[] = []
  ) {}

  registerCommTarget(name: string): void {
    this.targets.push(name);
  }
  requestCommInfo(): Promise<unknown> {
    const comms = Object.fromEntries(this.open.map(id => [id, { target_name: TARGET }]));
    return Promise.resolve({ content: { status: 'ok', comms } });
  }
  hasComm(): boolean {
    return false;
  }
  createComm(): unknown {
    return { isDisposed: false, send: (data: unknown) => this.said.push(data) };
  }
  get kernel(): Kernel.IKernelConnection {
    return this as unknown as Kernel.IKernelConnection;
  }
  say(type: string, content: object): void {
    this.iopubMessage.emit({
      header: { msg_type: type, session: this.session },
      channel: 'iopub',
      content
    });
  }
  push(change: object = {}): void {
    this.say('comm_msg', { comm_id: 'c', data: { ...SNAPSHOT, ...change } });
  }
}

function connected(...connections: Connection[]): KernelStore {
  const store = new KernelStore();
  connections.forEach(connection => {
    store.connect(connection.kernel);
  });
  return store;
}

describe('a kernel’s store', () => {
  it('takes a snapshot without having seen the comm open', () => {
    const connection = new Connection('k');
    const store = connected(connection);
    connection.push();
    expect(store.state).toMatchObject({ kind: 'live', snapshot: { sequence: 7 } });
  });
  it('leaves the comms of others alone', () => {
    const connection = new Connection('k');
    const store = connected(connection);
    connection.say('comm_msg', { comm_id: 'w', data: { method: 'update', state: {} } });
    connection.say('stream', { name: 'stdout', text: 'tokmagic' });
    expect(store.state.kind).toBe('absent');
  });
  it.each(['restarting', 'autorestarting', 'dead'] as const)('is cleared when the kernel is %s', status => {
    const connection = new Connection('k');
    const store = connected(connection);
    connection.push();
    connection.statusChanged.emit(status);
    expect(store.state.kind).toBe('absent');
  });
  it('stays cleared when the process that ended is heard late, and takes what the next one says', () => {
    const connection = new Connection('k');
    const store = connected(connection);
    connection.push();
    connection.statusChanged.emit('restarting');
    connection.push();
    expect(store.state.kind).toBe('absent');
    connection.session = 'second process';
    connection.push();
    expect(store.state.kind).toBe('live');
  });
  it('stays while the kernel is busy', () => {
    const connection = new Connection('k');
    const store = connected(connection);
    connection.push();
    connection.statusChanged.emit('busy');
    expect(store.state.kind).toBe('live');
  });
  it('is cleared when its own comm closes, and by no other', () => {
    const connection = new Connection('k');
    const store = connected(connection);
    connection.push();
    connection.say('comm_close', { comm_id: 'other', data: {} });
    expect(store.state.kind).toBe('live');
    connection.say('comm_close', { comm_id: 'c', data: {} });
    expect(store.state.kind).toBe('absent');
  });
  it('finds a comm that was open before, and says hello on it', async () => {
    const connection = new Connection('k', true, ['c']);
    connected(connection);
    await Promise.resolve().then(() => undefined);
    await new Promise(resolve => setTimeout(resolve));
    expect(connection.targets).toEqual([TARGET]);
    expect(connection.said).toEqual([{ type: 'hello' }]);
  });
  it('listens on a connection without comms, and opens nothing there', () => {
    const connection = new Connection('k', false);
    const store = connected(connection);
    connection.push();
    expect(store.state.kind).toBe('live');
    expect(connection.targets).toEqual([]);
  });
  it('is shared by all connections to one kernel, and listens to each once', () => {
    const stores = new Stores();
    const [first, second] = [new Connection('k'), new Connection('k', false)];
    const store = stores.of(first.kernel);
    let changes = 0;
    store.listen(() => {
      changes += 1;
    });
    expect(stores.of(second.kernel)).toBe(store);
    expect(stores.of(first.kernel)).toBe(store);
    expect(stores.of(new Connection('other').kernel)).not.toBe(store);
    first.push();
    expect(changes).toBe(1);
  });
});
