import { expect, test } from 'vitest';
import type { Placement } from '../../functions/engine/types.js';
import { Readiness } from '../../functions/readiness.js';
import { warmUp } from '../../functions/warm-up.js';
import { endless, says, ScriptedEngine, type Script } from './http/scripted-engine.js';

const preload = [{ tier: 'stlm-small', worker: 0 }, { tier: 'stlm-small', worker: 1 }, { tier: 'stlm-large', worker: 0 }, { tier: 'stlm-huge', worker: 0 }];

const logOf = async (script: Script) => (await warmedUp(script)).log;

const [COMPLETIONS, CHAT] = ['/v1/completions', '/v1/chat/completions'] as const;

/** @param statuses by path, where they are not those of a server that is well. */
async function warmedUp(script: Script, chatTiers: readonly string[] = [], statuses: Readonly<Record<string, number>> = {}) {
  const warmed: string[] = [];
  const proves: Script = (options, signal) => {
    warmed.push('proof');
    return script(options, signal);
  };
  const engine = new ScriptedEngine(proves, [{ id: 'stlm-small', state: 'ready' }, { id: 'stlm-large', state: 'quarantined', reason: 'truncated' }], chatTiers);
  const log: object[] = [];
  const write = (level: string) => (fields: object, message: string) => void log.push({ level, message, ...fields });
  const logger = { info: write('info'), warn: write('warn'), error: write('error') };
  const rehearsed: string[] = [];
  const widen = async ({ tier }: Placement) => void warmed.push(`${tier} wider`);
  const warm = async ({ tier, worker }: Placement, when = 'now') => void warmed.push(`${tier} ${when} on ${worker}`);
  const router = { policy: 'budget-first', route: endless as never, explain: endless as never, progress: () => {}, observe: () => {}, slack: () => 1, warm, widen };
  const app = {
    request: async (path: unknown) => {
      rehearsed.push(String(path));
      const usual = path === CHAT && !chatTiers.includes('stlm-small') ? 400 : 200;
      return new Response('{}', { status: statuses[String(path)] ?? usual });
    },
  };
  await warmUp({ app, apiKey: 'own', engine, router, preload, readiness: new Readiness(engine), registry: { verifyLocal: async () => {} }, logger });
  return { log, rehearsed, warmed };
}

test('a worker that dies during the warm-up does not take the server with it', async () => {
  const log = await logOf(async function* die() {
    yield* [];
    throw new Error('worker died');
  });
  expect(log).toContainEqual(expect.objectContaining({ level: 'warn', error: new Error('worker died') }));
});

test('the other workers get the smallest tier although its proof breaks off', async () => {
  const { warmed } = await warmedUp(async function* die() {
    yield* [];
    throw new Error('worker died');
  });
  expect(warmed.slice(0, 3)).toEqual(['stlm-small now on 0', 'proof', 'stlm-small now on 1']);
});

test('the log names every quarantined tier with its reason', async () => {
  expect(await logOf(says(['golden']))).toEqual([
    expect.objectContaining({ level: 'info', tier: 'stlm-small', golden: 'reproduced' }),
    expect.objectContaining({ level: 'error', tier: 'stlm-large', reason: 'truncated' }),
  ]);
});

test('the larger tiers load once the smallest is proven, when their workers are idle, but for those in quarantine', async () => {
  expect((await warmedUp(says(['golden']))).warmed).toEqual(['stlm-small now on 0', 'proof', 'stlm-small now on 1', 'stlm-huge idle on 0', 'stlm-huge wider']);
});

test('a model that does not give its golden text is a warning', async () => {
  expect(await logOf(says(['goldfish']))).toContainEqual(expect.objectContaining({ level: 'warn', golden: 'diverges', matchedBytes: 4 }));
});

test.each([[[]], [['stlm-small']], [['stlm-large']]])('both routes have answered before the first client asks, whatever was tuned to chat: %j', async (chatTiers) => {
  const { rehearsed, log } = await warmedUp(says(['golden']), chatTiers);
  expect(rehearsed).toEqual([COMPLETIONS, COMPLETIONS, CHAT, CHAT]);
  expect(log).not.toContainEqual(expect.objectContaining({ level: 'warn' }));
});

test.each([
  ['a completion that failed', COMPLETIONS, ['stlm-small'], 500],
  ['a chat that failed', CHAT, ['stlm-small'], 429],
  ['a chat with a model that cannot', CHAT, [], 200],
])('%s in rehearsal is a warning', async (_what, path, chatTiers, status) => {
  const { log } = await warmedUp(says(['golden']), chatTiers, { [path]: status });
  for (const stream of [false, true]) expect(log).toContainEqual(expect.objectContaining({ level: 'warn', path, stream, status }));
  expect(log).toContainEqual(expect.objectContaining({ tier: 'stlm-small', golden: 'reproduced' }));
});
