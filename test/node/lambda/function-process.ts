/** A Lambda environment: a process with the handlers, which is given one event after the other. */
import { type ChildProcess, fork } from 'node:child_process';
import { on, once } from 'node:events';
import { rm } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import type { APIGatewayProxyResult } from 'aws-lambda';
import { tieredModels } from '../engine-models.js';

type Said = { readonly ready: true } | { readonly chunk: string } | { readonly result: APIGatewayProxyResult | null };

export class FunctionProcess {
  readonly process: ChildProcess;
  readonly #artifacts: string;

  private constructor(process: ChildProcess, artifacts: string) {
    this.process = process;
    this.#artifacts = artifacts;
  }

  /** @throws with what it printed if it ends before it is ready. */
  static async start(environment: Record<string, string> = {}): Promise<FunctionProcess> {
    const artifacts = await tieredModels(['stlm-small', 'stlm-large']);
    const env = { ...process.env, STLM_ARTIFACTS: artifacts, STLM_OPEN: 'true', LOG_LEVEL: 'silent', ...environment };
    const child = fork('test/node/lambda/runtime.mjs', { env, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    const printed = text(child.stderr!);
    const [first] = await Promise.race([once(child, 'message'), once(child, 'exit')]);
    const environmentProcess = new FunctionProcess(child, artifacts);
    if (typeof first === 'object') return environmentProcess;
    await environmentProcess.stop();
    throw new Error(await printed);
  }

  async whole(event: object, remainingMs = 30_000): Promise<APIGatewayProxyResult> {
    this.process.send({ handler: 'whole', event, remainingMs });
    const [said] = (await once(this.process, 'message')) as [{ result: APIGatewayProxyResult }];
    return said.result;
  }

  /** The pieces of the response stream, as they come. */
  async *streaming(event: object, remainingMs = 30_000): AsyncGenerator<string, void, void> {
    const messages = on(this.process, 'message');
    this.process.send({ handler: 'streaming', event, remainingMs });
    for await (const [said] of messages as AsyncIterable<[Said]>) {
      if ('chunk' in said) yield said.chunk;
      else return;
    }
  }

  async stop(): Promise<void> {
    this.process.kill('SIGKILL');
    await rm(this.#artifacts, { recursive: true, force: true });
  }
}
