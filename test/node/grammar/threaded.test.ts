import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { shortest } from '../../../functions/grammar/automaton.js';
import { GrammarBusyError, GrammarError } from '../../../functions/grammar/errors.js';
import type { GrammarSource } from '../../../functions/grammar/grammars.js';
import { ThreadedGrammars } from '../../../functions/grammar/threaded.js';
import { matches } from './walk.js';

const grammars = new ThreadedGrammars(new URL('../../../dist/functions/grammar/thread.js', import.meta.url));

const waiting = () => new AbortController().signal;
const compile = (source: GrammarSource, signal = waiting()) => grammars.compile(source, signal);

describe('grammars compiled in a thread', () => {
  test('come back as the automata they are, shared and not copied', async () => {
    const automaton = await compile({ kind: 'regex', regex: 'yes|no' });
    expect([matches(automaton, 'yes'), matches(automaton, 'maybe')]).toEqual([true, false]);
    expect(automaton.next.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(shortest(await compile({ kind: 'json_object' }))).toBe(2);
  });

  test('are refused in the words of whoever compiled them, and others go on', async () => {
    const [wrong, right] = await Promise.allSettled([compile({ kind: 'regex', regex: '(' }), compile({ kind: 'regex', regex: 'a' })]);
    expect(wrong).toMatchObject({ status: 'rejected', reason: expect.any(GrammarError) });
    expect(right.status).toBe('fulfilled');
  });

  test('are compiled once, also for those who wait for the same', async () => {
    const [first, second] = await Promise.all([compile({ kind: 'regex', regex: '[a-z]{20}' }), compile({ kind: 'regex', regex: '[a-z]{20}' })]);
    expect(second).toBe(first);
    expect(await compile({ kind: 'regex', regex: '[a-z]{20}' })).toBe(first);
  });

  test('wait for each other, up to a number, and whoever is turned away made no mistake', async () => {
    const all = await Promise.allSettled(Array.from({ length: 40 }, (_, index) => compile({ kind: 'regex', regex: `x{${index}}` })));
    const refused = all.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.every(({ reason }) => reason instanceof GrammarBusyError)).toBe(true);
    expect(all.slice(0, 10).every(({ status }) => status === 'fulfilled')).toBe(true);
  });

  test('that nobody waits for any more make room for others, and are compiled for the next who asks', async () => {
    const source = (index: number): GrammarSource => ({ kind: 'regex', regex: `y{${index}}` });
    const leaving = new AbortController();
    const left = Array.from({ length: 16 }, (_, index) => compile(source(index), leaving.signal));
    const staying = compile(source(3));
    leaving.abort(new Error('gone'));
    expect(await Promise.allSettled(left)).toEqual(left.map(() => ({ status: 'rejected', reason: new Error('gone') })));
    const others = await Promise.allSettled(Array.from({ length: 14 }, (_, index) => compile(source(100 + index))));
    expect(others.filter(({ status }) => status === 'rejected')).toEqual([]);
    expect(matches(await staying, 'yyy')).toBe(true);
    expect(matches(await compile(source(5)), 'yyyyy')).toBe(true);
  });

  test('that nest without end or take a megabyte are refused, and the next is none the worse for it', async () => {
    let deep: unknown = 1;
    for (let depth = 0; depth < 100_000; depth += 1) deep = [deep];
    let nested: unknown = 1;
    for (let depth = 0; depth < 6_000; depth += 1) nested = [nested];
    const sources = [{ const: deep }, { const: nested }, { type: 'boolean', description: 'x'.repeat(1e6) }, { const: 'x'.repeat(60_000) }];
    const all = await Promise.allSettled(sources.map((schema) => compile({ kind: 'json_schema', schema })));
    for (const one of all) expect(one).toMatchObject({ status: 'rejected', reason: expect.any(GrammarError) });
    expect(matches(await compile({ kind: 'regex', regex: 'still here' }), 'still here')).toBe(true);
  });

  test('do not keep a process alive', async () => {
    const code = `import { ThreadedGrammars } from '${new URL('../../../dist/functions/grammar/threaded.js', import.meta.url).href}';
      await new ThreadedGrammars(new URL('${new URL('../../../dist/functions/grammar/thread.js', import.meta.url).href}')).compile({ kind: 'regex', regex: 'a' }, new AbortController().signal);
      console.log('compiled');`;
    const folder = await mkdtemp(join(tmpdir(), 'stlm-grammar-'));
    await writeFile(join(folder, 'compile.mjs'), code);
    const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'compile.mjs')], { timeout: 20_000 });
    expect(stdout).toBe('compiled\n');
    await rm(folder, { recursive: true });
  });
});
