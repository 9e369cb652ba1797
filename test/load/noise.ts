/** A neighbour on the same machine: a process that burns one core, and ends by itself. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

const BURN = 'const endMs = Date.now() + Number(process.argv[1]); while (Date.now() < endMs);';

export function burnCore(durationMs: number): ChildProcess {
  return spawn(process.execPath, ['-e', BURN, String(Math.round(durationMs))], { stdio: 'ignore' });
}

/** Resolves when the last neighbour is gone; aborting sends it away. */
export async function makeNoise(spans: readonly { readonly fromMs: number; readonly untilMs: number }[], signal: AbortSignal): Promise<void> {
  await Promise.all(
    spans.map(async ({ fromMs, untilMs }) => {
      await sleep(fromMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const neighbour = burnCore(untilMs - fromMs);
      const dismiss = () => neighbour.kill();
      signal.addEventListener('abort', dismiss, { once: true });
      await once(neighbour, 'exit');
      signal.removeEventListener('abort', dismiss);
    }),
  );
}
