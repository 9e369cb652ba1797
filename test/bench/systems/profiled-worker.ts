/**
 * The engine's worker with clocks around its session's runs and its messages, and on demand with the runtime's own profiler on. When it is
 * told to close it writes what it saw into the file of its name.
 */
import { writeFileSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import type { FromWorker, ToWorker } from '../../../functions/engine/messages.js';
import { ModelThread } from '../../../functions/engine/model-thread.js';
import type { ModelSession, OnnxRuntime } from '../../../functions/engine/onnx-runtime.js';
import { loadOrtApi, type OrtApi } from '../../../functions/engine/ort-c-api.js';
import { nativeRuntime } from '../../../functions/engine/ort-native.js';
import { Outbox } from '../../../functions/engine/outbox.js';

export interface WorkerProfile {
  /** In the order they were made, warm-up included. */
  readonly runs: { readonly decodes: boolean; readonly beginMs: number; readonly endMs: number; readonly graphMs: number }[];
  readonly messages: { readonly beginMs: number; readonly endMs: number }[];
}

/** The pool passes no more than its own settings on, so these come from the environment. */
const reportPath = process.env['STLM_PROFILE_REPORT'];
const nodesPath = process.env['STLM_PROFILE_NODES'];
if (parentPort === null || reportPath === undefined) throw new Error('profiled-worker.js runs as a worker thread of stlm-profile.js only');
const port = parentPort;

const profile: WorkerProfile = { runs: [], messages: [] };
const sessions: ModelSession[] = [];
/** Of the library's own run that was last. */
let graphMs = 0;

function withClock(api: OrtApi): OrtApi {
  const Run: OrtApi['functions']['Run'] = (...args) => {
    const beginMs = performance.now();
    const status = api.functions.Run(...args);
    graphMs = performance.now() - beginMs;
    return status;
  };
  return { ...api, functions: { ...api.functions, Run } };
}

function clocked(runtime: OnnxRuntime): OnnxRuntime {
  return {
    version: runtime.version,
    async open(path, options) {
      const session = await runtime.open(path, { ...options, ...(nodesPath !== undefined && options.saveTo === undefined && { profileTo: nodesPath }) });
      sessions.push(session);
      return {
        inputNames: session.inputNames,
        tensor: session.tensor.bind(session) as ModelSession['tensor'],
        release: () => session.release(),
        async run(feeds, outputs) {
          const beginMs = performance.now();
          const results = await session.run(feeds, outputs);
          const decodes = outputs.includes('toks') && feeds['ids']?.dims[1] === 2;
          profile.runs.push({ decodes, beginMs, endMs: performance.now(), graphMs });
          return results;
        },
      };
    },
  };
}

function post(message: FromWorker): void {
  const beginMs = performance.now();
  port.postMessage(message);
  profile.messages.push({ beginMs, endMs: performance.now() });
}

const outbox = new Outbox(post);
const runtime = clocked(nativeRuntime(withClock(await loadOrtApi())));
const thread = new ModelThread(runtime, (message) => outbox.send(message));
port.on('message', (message: ToWorker) => {
  thread.obey(message);
  if (message.kind !== 'close') return;
  for (const session of sessions) void session.release();
  writeFileSync(reportPath, JSON.stringify(profile));
  port.close();
});
