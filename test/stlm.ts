/** The built `stlm` command in a process of its own, as a shell runs it. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export function startStlm(args: readonly string[], environment: Record<string, string> = {}): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, ['dist/functions/entries/stlm.js', ...args], { env: { ...process.env, ...environment } });
}

export async function stlm(args: readonly string[], { input = '', ...environment }: Record<string, string> = {}): Promise<Ran> {
  const child = startStlm(args, environment);
  child.stdin.end(input);
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: code as number | null, out, err };
}
