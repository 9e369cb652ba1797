import { expect, test } from 'vitest';
import { Readiness } from '../../functions/readiness.js';
import { warmUp } from '../../functions/warm-up.js';
import { endless, says, ScriptedEngine, type Script } from './http/scripted-engine.js';

const router = { route: endless as never, explain: endless as never, progress: () => {}, observe: () => {}, warm: async () => {} };

const logOf = async (script: Script) => (await warmedUp(script)).log;

async function warmedUp(script: Script, chatTiers: readonly string[] = []) {
  const engine = new ScriptedEngine(script, [{ id: 'stlm-small', state: 'ready' }, { id: 'stlm-large', state: 'quarantined', reason: 'truncated' }], chatTiers);
  const log: object[] = [];
  const write = (level: string) => (fields: object, message: string) => void log.push({ level, message, ...fields });
  const logger = { info: write('info'), warn: write('warn'), error: write('error') };
  const rehearsed: string[] = [];
  const app = {
    request: async (path: unknown) => {
      rehearsed.push(String(path));
      return new Response('{}');
    },
  };
  await warmUp({ app, engine, router, readiness: new Readiness(engine), registry: { verifyLocal: async () => {} }, logger });
  return { log, rehearsed };
}

test('a worker that dies during the warm-up does not take the server with it', async () => {
  const log = await logOf(async function* die() {
    yield* [];
    throw new Error('worker died');
  });
  expect(log).toContainEqual(expect.objectContaining({ level: 'warn', error: new Error('worker died') }));
});

test('the log names every quarantined tier with its reason', async () => {
  expect(await logOf(says(['golden']))).toEqual([
    expect.objectContaining({ level: 'info', tier: 'stlm-small', golden: 'reproduced' }),
    expect.objectContaining({ level: 'error', tier: 'stlm-large', reason: 'truncated' }),
  ]);
});

test('a model that does not give its golden text is a warning', async () => {
  expect(await logOf(says(['goldfish']))).toContainEqual(expect.objectContaining({ level: 'warn', golden: 'diverges', matchedBytes: 4 }));
});

test('a server that can chat has chatted before its first client does', async () => {
  const [completions, chat] = ['/v1/completions', '/v1/chat/completions'];
  expect((await warmedUp(says(['golden']))).rehearsed).toEqual([completions, completions]);
  expect((await warmedUp(says(['golden']), ['stlm-small'])).rehearsed).toEqual([completions, completions, chat, chat]);
});
