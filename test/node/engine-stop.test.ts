import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StopScanner } from '../../functions/engine/stop.js';

const bytes = (text: string) => new TextEncoder().encode(text);

/** What is released byte by byte, and whether a stop string was met. */
function scan(text: string, stops: string[]): { releases: string[]; stopped: boolean } {
  const scanner = new StopScanner(stops.map(bytes));
  const releases: string[] = [];
  for (const byte of bytes(text)) {
    const released: number[] = [];
    const stopped = scanner.push(byte, released);
    releases.push(String.fromCharCode(...released));
    if (stopped) return { releases, stopped };
  }
  const rest: number[] = [];
  scanner.flush(rest);
  return { releases: [...releases, String.fromCharCode(...rest)], stopped: false };
}

/** The definition, by looking at the whole text: the earliest end wins, then the longest. */
function expectedText(text: string, stops: string[]): { text: string; stopped: boolean } {
  for (let end = 1; end <= text.length; end += 1) {
    const met = stops.filter((stop) => stop.length > 0 && text.slice(0, end).endsWith(stop));
    if (met.length > 0) return { text: text.slice(0, end - Math.max(...met.map((stop) => stop.length))), stopped: true };
  }
  return { text, stopped: false };
}

const abText = (maxLength: number) => fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength });

describe('stop strings', () => {
  test('cut the text where the definition says, for any text and stops', () => {
    fc.assert(
      fc.property(abText(40), fc.array(abText(5), { maxLength: 4 }), (text, stops) => {
        const { releases, stopped } = scan(text, stops);
        expect({ text: releases.join(''), stopped }).toEqual(expectedText(text, stops));
      }),
      { numRuns: 2000 },
    );
  });

  test('hold a byte back exactly as long as it may begin a stop string', () => {
    expect(scan('xaab', ['aac']).releases).toEqual(['x', '', '', 'aab', '']);
  });

  test('never show a byte of a stop string that comes', () => {
    const { releases, stopped } = scan('Hi\nuser: no', ['\nuser:']);
    expect(releases.join('')).toBe('Hi');
    expect(stopped).toBe(true);
  });

  test('an empty stop string stops nothing', () => {
    expect(scan('abc', ['']).stopped).toBe(false);
  });
});
