/** States for tests, from the snapshot that the kernel's tests hold true too. */
import fixture from '../../tests/core/snapshot.json';
import { read, Row, Snapshot, State } from '../src/snapshot';

export const SNAPSHOT = fixture as unknown as Snapshot;

export function live(change: Partial<Snapshot> = {}, received = 0): State {
  const state = read({ ...SNAPSHOT, ...change }, received);
  if (state?.kind !== 'live') {
    throw new Error('the fixture is of another version');
  }
  return state;
}

export function row(change: Partial<Row>): Row {
  return {
    key: 'k',
    label: 'L',
    text: 'T',
    fraction: null,
    tone: 'ok',
    series: [],
    countdown: null,
    ...change
  };
}
