import { expect, test } from 'vitest';
import { Readiness } from '../../functions/readiness.js';
import { warmUp } from '../../functions/warm-up.js';
import { endless, says, ScriptedEngine, type Script } from './http/scripted-engine.js';

const router = { route: endless as never, explain: endless as never, progress: () => {}, observe: () => {}, warm: async () => {} };

async function logOf(script: Script): Promise<object[]> {
  const engine = new ScriptedEngine(script, [{ id: 'stlm-small', state: 'ready' }, { id: 'stlm-large', state: 'quarantined', reason: 'truncated' }]);
  const log: object[] = [];
  const write = (level: string) => (fields: object, message: string) => void log.push({ level, message, ...fields });
  const logger = { info: write('info'), warn: write('warn'), error: write('error') };
  const app = { request: async () => new Response('{}') };
  await warmUp({ app, engine, router, readiness: new Readiness(engine), registry: { verifyLocal: async () => {} }, logger });
  return log;
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
