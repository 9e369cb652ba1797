import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readDecisionLog, replayFigures } from '../../bench/replay.js';

const run = promisify(execFile);
const SETTINGS = ['--artifacts', 'test/fixtures/models', '--seconds', '2', '--scenario'];

let folder: string;
const path = (name: string) => join(folder, name);
const bench = (...args: string[]) => run(process.execPath, ['dist/test/bench/main.js', ...args], { timeout: 60_000 });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stlm-router-bench-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('bench router', () => {
  test('ends by itself, with its figures, and with no process left', async () => {
    const { stdout } = await bench('router', ...SETTINGS, 'noisy', '--folder', path('models'), '--json', path('j'), '--svg', path('s'), '--decision-log', path('log'));
    expect(stdout).toContain('noisy at a load of 0.50');
    const figures = JSON.parse(await readFile(path('j'), 'utf8'));
    expect(figures.runs[0].offered).toBeGreaterThan(5);
    expect(figures.runs[0].memory.length).toBeGreaterThan(3);
    expect(await readFile(path('s'), 'utf8')).toContain('</svg>');
    const { stdout: processes } = await run('ps', ['-eo', 'ppid=,args=']);
    // A neighbour whose bench is gone has been handed to process 1.
    expect(processes.split('\n').filter((line) => /^\s*1 .*Number\(process\.argv\[1\]\); while/.test(line))).toEqual([]);
  });

  test('leaves a decision log of which its own policy would decide nothing otherwise, and another would', async () => {
    const log = await readDecisionLog(path('log'));
    const same = replayFigures(log, 'budget-first');
    expect(same.decisions).toBeGreaterThan(5);
    expect(same.changed).toBe(0);
    expect(same.would).toEqual(same.was);
    // There is one tier only: a policy that wants another has none.
    expect(replayFigures(log, 'fixed:stlm-10m').would).toMatchObject({ tiers: {}, refused: { unavailable: same.decisions }, workMs: 0 });
    expect(() => replayFigures(log, 'luck-first')).toThrow(RangeError);
    // Every admission has its outcome, or its booking leaked.
    const tickets = log.flatMap((record) => (record.event === 'decision' && record.ticket !== null ? [record.ticket] : []));
    const ended = new Set(log.flatMap((record) => (record.event === 'outcome' ? [record.ticket] : [])));
    expect(tickets.filter((ticket) => !ended.has(ticket))).toEqual([]);
    expect((await readFile(path('log'), 'utf8')).toLowerCase()).not.toContain('traveller');
  });

  test('replays a trace that was written before', async () => {
    await bench('trace', '--out', path('t.jsonl'), '--saturation', '20', '--seconds', '1', '--scenario', 'burst', '--seed', '3');
    const { stdout } = await bench('router', ...SETTINGS, 'steady', '--trace', path('t.jsonl'), '--folder', path('models'));
    const requests = (await readFile(path('t.jsonl'), 'utf8')).trimEnd().split('\n').length - 1;
    expect(stdout).toContain(`1 s, ${requests} requests`);
  });
});

describe('bench replay', () => {
  test('prints what would differ', async () => {
    const { stdout } = await bench('replay', path('log'), '--policy', 'cost-first');
    expect(stdout).toMatch(/cost-first would have made 0 otherwise/);
    expect(stdout).toContain('of what the workers can do');
  });
});
