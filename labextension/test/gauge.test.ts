import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Gauge } from '../src/gauge';
import { ABSENT, read } from '../src/snapshot';
import { Signboard } from '../src/source';
import { live, row, SNAPSHOT } from './states';

let asked: number;
let board: Signboard;
let gauge: Gauge;

const texts = (selector: string): (string | null)[] =>
  [...gauge.node.querySelectorAll(selector)].map(node => node.textContent);
const rowOf = (key: string): HTMLElement | null =>
  gauge.node.querySelector<HTMLElement>(`[data-key="${key}"]`);
const wait = (milliseconds: number): void => {
  vi.advanceTimersByTime(milliseconds);
};

beforeEach(() => {
  vi.useFakeTimers();
  asked = 0;
  board = new Signboard(ABSENT, () => {
    asked += 1;
  });
  gauge = new Gauge(board);
  document.body.replaceChildren(gauge.node);
  gauge.visible = true;
  wait(0);
});

afterEach(() => {
  gauge.dispose();
  vi.useRealTimers();
});

function show(...change: Parameters<typeof live>): void {
  board.set(live(change[0], performance.now()));
  wait(100);
}

describe('the gauge', () => {
  it('says what to do where tokmagic is not loaded', () => {
    expect(texts('.tokmagic-hint')[0]).toContain('%load_ext tokmagic');
  });
  it('draws every row of the snapshot, in its order', () => {
    show();
    expect(texts('.tokmagic-label')).toEqual(SNAPSHOT.rows.map(each => each.label));
    expect(texts('.tokmagic-text')).toEqual(SNAPSHOT.rows.map(each => each.text));
    expect(gauge.node.querySelector<HTMLElement>('.tokmagic-hint')?.hidden).toBe(true);
  });
  it('tells a meter’s name and value', () => {
    show();
    const meter = rowOf('limit 5 usd/day')?.querySelector('[role=meter]');
    expect(meter?.getAttribute('aria-valuenow')).toBe('40');
    expect(meter?.getAttribute('aria-label')).toBe('$5.00/day, used');
  });
  it('charts a series, a column for each number', () => {
    show();
    const chart = rowOf('minute')?.querySelector('svg');
    expect(chart?.querySelectorAll('rect')).toHaveLength(3);
    expect(chart?.getAttribute('aria-label')).toBe('Tokens per minute: 0, 4000, 1280');
  });
  it('shows each cell with its numbers, model and badges, the newest first', () => {
    const [cell] = SNAPSHOT.cells;
    if (!cell) throw new Error('the fixture has a cell');
    show({
      cells: [
        cell,
        { ...cell, texts: ['4', '1', '0', '2', '$1.00'], receipt: { ...cell.receipt, call: 'c2' } }
      ]
    });
    expect(texts('.tokmagic-cells tbody th')).toEqual(['4', '3']);
    expect(texts('.tokmagic-model')).toEqual(['demo/claude', 'demo/claude']);
    expect(texts('.tokmagic-badge').slice(0, 2)).toEqual(cell.receipt.badges);
  });
  it('says of a replayed answer that it is one', () => {
    const [cell] = SNAPSHOT.cells;
    if (!cell) throw new Error('the fixture has a cell');
    show({ cells: [{ ...cell, receipt: { ...cell.receipt, replay_of: 'c0' } }] });
    expect(texts('.tokmagic-model')).toEqual(['demo/claude, replayed']);
  });
  it('updates a row in place, and takes away what is gone', () => {
    show({ rows: [row({ key: 'a', text: 'one' }), row({ key: 'b' })] });
    const before = rowOf('a');
    show({ rows: [row({ key: 'b' }), row({ key: 'a', text: 'two', tone: 'bad' })] });
    expect(rowOf('a')).toBe(before);
    expect(before?.dataset.tone).toBe('bad');
    expect(texts('.tokmagic-text')).toEqual(['T', 'two']);
    show({ rows: [row({ key: 'b' })] });
    expect(texts('.tokmagic-text')).toEqual(['T']);
  });
  it('takes away the bar and the chart of a row that has them no more', () => {
    show({ rows: [row({ fraction: 0.5, series: [1, 2] })] });
    show({ rows: [row({})] });
    expect(gauge.node.querySelector('[role=meter], svg')).toBeNull();
  });
  it('shows what a kernel says as text, whatever it is', () => {
    const hostile = '<img src=x onerror=alert(1)>';
    show({ rows: [row({ key: hostile, label: hostile, text: hostile, series: [1] })] });
    expect(gauge.node.querySelector('img')).toBeNull();
    expect(texts('.tokmagic-text')).toEqual([hostile]);
  });
  it('clears when the kernel is gone', () => {
    show();
    board.set(ABSENT);
    wait(100);
    expect(texts('.tokmagic-row')).toEqual([]);
    expect(gauge.node.querySelector<HTMLElement>('.tokmagic-cells')?.hidden).toBe(true);
    expect(texts('.tokmagic-hint')[0]).toContain('%load_ext');
  });
  it('says that another version is another version', () => {
    board.set(read({ tokmagic: 99 }, 0) ?? ABSENT);
    wait(100);
    expect(texts('.tokmagic-hint')[0]).toContain('another version');
  });
});

describe('its work', () => {
  it('is at most ten drawings a second', () => {
    const rows = (text: string): ReturnType<typeof row>[] => [row({ text })];
    let changes = 0;
    let last = '';
    for (let step = 0; step < 100; step += 1) {
      board.set(live({ rows: rows(String(step)) }, performance.now()));
      wait(10);
      const now = texts('.tokmagic-text')[0] ?? '';
      changes += now === last ? 0 : 1;
      last = now;
    }
    expect(changes).toBeGreaterThanOrEqual(9);
    expect(changes).toBeLessThanOrEqual(11);
  });
  it('rests while nobody sees it, and catches up when somebody does', () => {
    gauge.visible = false;
    show();
    wait(60_000);
    expect(texts('.tokmagic-row')).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
    gauge.visible = true;
    wait(0);
    expect(texts('.tokmagic-row')).toHaveLength(SNAPSHOT.rows.length);
  });
  it('counts down by itself, and ends when it is taken away', () => {
    show();
    wait(4000);
    expect(rowOf('pause')?.textContent).toContain('8 s: 28k of 30k');
    gauge.dispose();
    expect(vi.getTimerCount()).toBe(0);
  });
  it('keeps no clock running where nothing moves', () => {
    show({ rows: [row({})], stale_at: null });
    expect(vi.getTimerCount()).toBe(0);
  });
  it('asks the kernel once when time has made the snapshot untrue', () => {
    show({ stale_at: SNAPSHOT.at + 12 });
    wait(11_000);
    expect(asked).toBe(0);
    wait(60_000);
    expect(asked).toBe(1);
    show({ sequence: 8, stale_at: null });
    wait(60_000);
    expect(asked).toBe(1);
  });
  it('asks a kernel that has looked nothing up yet', () => {
    show({ sequence: 0, stale_at: null, rows: [], cells: [] });
    expect(asked).toBe(1);
    expect(texts('.tokmagic-hint')[0]).toContain('Run a %%llm cell');
  });
});
