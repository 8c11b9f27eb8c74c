/**
 * What the kernel sends, as plain values: a snapshot is whole and can be drawn without an earlier one.
 *
 * Nothing here knows budgets: labels, texts, fractions and tones are decided in the kernel.
 */

/** The schema that this front end draws. */
export const VERSION = 1;

export type Tone = 'ok' | 'warn' | 'bad' | 'idle';

/** A text with a time span in it that runs out at `until`, in seconds of the epoch. */
export interface Countdown {
  before: string;
  until: number;
  after: string;
}

export interface Row {
  key: string;
  label: string;
  text: string;
  /** How full it is, from 0 to 1; null where there is no bar. */
  fraction: number | null;
  tone: Tone;
  /** Whole numbers over time, the oldest first. */
  series: number[];
  countdown: Countdown | null;
}

export interface Cell {
  label: string;
  /** One text for each of the snapshot's columns. */
  texts: string[];
  receipt: { call: string; model: string; replay_of: string; badges: string[] };
}

export interface Snapshot {
  tokmagic: number;
  /** Rises with every snapshot of a kernel; 0 before the kernel looked anything up. */
  sequence: number;
  epoch: string;
  /** Seconds of the epoch, by the kernel's clock. */
  at: number;
  /** When time alone makes it untrue, or null. */
  stale_at: number | null;
  headline: Row | null;
  rows: Row[];
  columns: string[];
  cells: Cell[];
}

/** What is known of a kernel. `received` is in milliseconds of this page's clock. */
export type State =
  { kind: 'absent' } | { kind: 'foreign' } | { kind: 'live'; snapshot: Snapshot; received: number };

export const ABSENT: State = { kind: 'absent' };

/** The state that a message of the kernel tells; null if it is none of ours. */
export function read(data: unknown, now: number): State | null {
  if (typeof data !== 'object' || data === null || !('tokmagic' in data)) {
    return null;
  }
  return data.tokmagic === VERSION
    ? { kind: 'live', snapshot: data as Snapshot, received: now }
    : { kind: 'foreign' };
}

/** The kernel's time now, in seconds of the epoch: its clock when it sent, and the time that has passed here. */
export function kernelTime(state: { snapshot: Snapshot; received: number }, now: number): number {
  return state.snapshot.at + Math.max(0, now - state.received) / 1000;
}

/** What a row says at that moment of the kernel's time. */
export function textAt(row: Row, at: number): string {
  const { countdown } = row;
  return countdown ? `${countdown.before}${showSeconds(countdown.until - at)}${countdown.after}` : row.text;
}

const SPANS: readonly [number, string, number, string][] = [
  [86_400, 'd', 3_600, 'h'],
  [3_600, 'h', 60, 'min'],
  [60, 'min', 1, 's']
];

/** A time span for people, in its two largest units, as the kernel writes it. */
export function showSeconds(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds + 0.5));
  for (const [size, unit, part, partUnit] of SPANS) {
    if (whole >= size) {
      const rest = Math.floor((whole % size) / part);
      return `${Math.floor(whole / size)} ${unit}` + (rest ? ` ${rest} ${partUnit}` : '');
    }
  }
  return `${whole} s`;
}
