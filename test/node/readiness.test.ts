import { expect, test } from 'vitest';
import { Readiness } from '../../functions/readiness.js';
import { says, type Script, ScriptedEngine } from './http/scripted-engine.js';

const TIER = 'stlm-small';

/** Its first run fails, the next one gives the golden text. */
function diesOnce(): Script {
  let dead = false;
  return async function* script(options, signal) {
    if (!dead) {
      dead = true;
      throw new Error('the worker died');
    }
    return yield* says(['golden'])(options, signal);
  };
}

test('a proof that the engine breaks off says why, and the next one is made anew', async () => {
  const readiness = new Readiness(new ScriptedEngine(diesOnce()));
  await expect(readiness.prove(TIER)).rejects.toThrow('the worker died');
  expect(await readiness.prove(TIER)).toEqual({ golden: 'reproduced', matchedBytes: 6 });
});

test('a probe begins a proof, takes its failure for no proof, and the next probe begins another', async () => {
  const engine = new ScriptedEngine(diesOnce());
  const readiness = new Readiness(engine);
  expect(readiness.known(TIER).golden).toBe('unproven');
  await expect.poll(() => engine.calls[0]?.ended).toBe(true);
  await expect.poll(() => readiness.known(TIER).golden).toBe('reproduced');
  expect(engine.calls).toHaveLength(2);
});

test('who asks during a proof waits for the same one, and hears of the same failure', async () => {
  const engine = new ScriptedEngine(diesOnce());
  const readiness = new Readiness(engine);
  const proofs = await Promise.allSettled([readiness.prove(TIER), readiness.prove(TIER)]);
  expect(proofs.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(engine.calls).toHaveLength(1);
});

test('a tier that is nowhere warm is not asked for text', async () => {
  const engine = new ScriptedEngine(says(['golden']), [{ id: TIER, state: 'cold' }]);
  expect((await new Readiness(engine).prove(TIER)).golden).toBe('unproven');
  expect(engine.calls).toEqual([]);
});
