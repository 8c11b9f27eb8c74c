import { describe, expect, it } from 'vitest';
import spans from '../../tests/core/spans.json';
import { kernelTime, read, showSeconds, textAt } from '../src/snapshot';
import { row, SNAPSHOT } from './states';

describe('a message', () => {
  it('of our schema is a live state', () => {
    expect(read(SNAPSHOT, 5)).toEqual({ kind: 'live', snapshot: SNAPSHOT, received: 5 });
  });
  it('of another version is foreign', () => {
    expect(read({ tokmagic: 2 }, 0)).toEqual({ kind: 'foreign' });
  });
  it.each([null, undefined, 7, 'text', [], { rows: [] }])('that is %j is none of ours', data => {
    expect(read(data, 0)).toBeNull();
  });
});

describe('time', () => {
  it.each(spans as [number, string][])(
    'of %d seconds is written as the kernel writes it: %s',
    (seconds, shown) => {
      expect(showSeconds(seconds)).toBe(shown);
    }
  );
  it('goes on from the kernel’s clock by what has passed here', () => {
    expect(kernelTime({ snapshot: SNAPSHOT, received: 1000 }, 3500)).toBe(SNAPSHOT.at + 2.5);
  });
  it('does not step back', () => {
    expect(kernelTime({ snapshot: SNAPSHOT, received: 1000 }, 0)).toBe(SNAPSHOT.at);
  });
});

describe('a row’s text', () => {
  it('is at first what the kernel wrote', () => {
    for (const each of SNAPSHOT.rows) {
      expect(textAt(each, SNAPSHOT.at)).toBe(each.text);
    }
  });
  it('counts down', () => {
    const counting = row({ countdown: { before: 'in ', until: 100, after: '.' } });
    expect([90, 99, 100, 200].map(at => textAt(counting, at))).toEqual([
      'in 10 s.',
      'in 1 s.',
      'in 0 s.',
      'in 0 s.'
    ]);
  });
});
