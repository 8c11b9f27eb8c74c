/** Where a display gets its state from: a kernel's store in the sidebar, a widget's messages in a cell. */
import { State } from './snapshot';

export interface Source {
  readonly state: State;
  /** Call back after every change; returns what ends that. */
  listen(changed: () => void): () => void;
  /** Ask the kernel for its state, where it can be asked. */
  ask(): void;
}

/** A state that tells its listeners when it changes; `ask` is how its kernel is asked. */
export class Signboard implements Source {
  private readonly listeners = new Set<() => void>();

  constructor(
    private value: State,
    readonly ask: () => void = () => undefined
  ) {}

  get state(): State {
    return this.value;
  }

  set(state: State): void {
    this.value = state;
    for (const listener of [...this.listeners]) {
      listener();
    }
  }

  listen(changed: () => void): () => void {
    this.listeners.add(changed);
    return () => this.listeners.delete(changed);
  }
}
