/** `stlm complete` */
import { isUtf8 } from 'node:buffer';
import { buffer } from 'node:stream/consumers';
import { Command } from 'commander';
import { connect, type ConnectOptions, type StartLocal, withConnectOptions } from './connect.js';
import { writeReport } from './report.js';
import { requestFields, type SamplingOptions, withSamplingOptions } from './sampling.js';

interface Options extends ConnectOptions, SamplingOptions {
  readonly report?: true;
}

export function completeCommand(startLocal: StartLocal): Command {
  const command = new Command('complete').description('Continues a text, from the argument or from standard input, on standard output.').argument('[prompt]', 'the text; standard input if absent');
  return withSamplingOptions(withConnectOptions(command))
    .option('--report', 'say on standard error which tier wrote it, and how long that took')
    .action((prompt: string | undefined, options: Options) => complete(prompt, options, startLocal));
}

async function complete(argument: string | undefined, options: Options, startLocal: StartLocal): Promise<void> {
  if (argument === undefined && process.stdin.isTTY) throw new Error('no prompt: give it as an argument, or on standard input');
  const prompt = argument ?? (await readPrompt());
  const interrupt = new AbortController();
  process.once('SIGINT', () => interrupt.abort());
  const { stlm, close } = await connect(options, startLocal);
  try {
    for await (const { text, stlm: report } of stlm.stream({ prompt, ...requestFields(options, options.model) }, { signal: interrupt.signal })) {
      process.stdout.write(text);
      if (report && process.stdout.isTTY) process.stdout.write('\n');
      if (report && options.report) writeReport(report);
    }
    // A server in this process ends the text well.
    interrupt.signal.throwIfAborted();
  } finally {
    await close();
  }
}

/** A text, or raw bytes where it is none. */
async function readPrompt(): Promise<string | number[]> {
  const bytes = await buffer(process.stdin);
  return isUtf8(bytes) ? bytes.toString() : [...bytes];
}
