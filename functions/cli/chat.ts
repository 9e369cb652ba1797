/** `stlm chat`: a conversation in the terminal, or with what standard input says, a message a line. */
import { createInterface, type Interface } from 'node:readline';
import { Command } from 'commander';
import type { ChatOptions, Stlm } from '../client/index.js';
import { connect, type ConnectOptions, type StartLocal, withConnectOptions } from './connect.js';
import { fail, isAbort } from './fail.js';
import { requestFields, type SamplingOptions, withSamplingOptions } from './sampling.js';

interface Options extends ConnectOptions, SamplingOptions {
  readonly system?: string;
}

export function chatCommand(startLocal: StartLocal): Command {
  const command = new Command('chat').description('A chat: a message a line. Ctrl-C stops an answer, twice it ends the chat, as Ctrl-D does.');
  return withSamplingOptions(withConnectOptions(command))
    .option('--system <text>', 'what the model is told beforehand')
    .action((options: Options) => chat(options, startLocal));
}

async function chat(options: Options, startLocal: StartLocal): Promise<void> {
  const { stlm, close } = await connect(options, startLocal);
  const terminal = process.stdin.isTTY && process.stdout.isTTY;
  const lines = createInterface({ input: process.stdin, ...(terminal && { output: process.stdout }), prompt: '> ' });
  try {
    await converse(new Conversation(stlm, options), lines, terminal);
  } finally {
    lines.close();
    await close();
  }
}

async function converse(conversation: Conversation, lines: Interface, terminal: boolean): Promise<void> {
  let over = false;
  lines.once('close', () => (over = true));
  // A prompt would open a closed one again.
  const ask = () => terminal && !over && lines.prompt();
  // Readline takes Ctrl-C for itself where it has a terminal.
  const source = terminal ? lines : process;
  let warned = false;
  const interrupt = () => {
    const stopped = conversation.stop();
    if (warned || (!stopped && !terminal)) return lines.close();
    warned = true;
    if (terminal) process.stdout.write('\n(Ctrl-C again ends the chat)\n');
    ask();
  };
  source.on('SIGINT', interrupt);
  ask();
  for await (const line of lines) {
    warned = false;
    if (line.trim() !== '') await conversation.say(line, (text) => process.stdout.write(text)).catch(fail);
    ask();
  }
  source.off('SIGINT', interrupt);
}

class Conversation {
  readonly #stlm: Stlm;
  readonly #fields: Omit<ChatOptions, 'messages'>;
  readonly #messages: ChatOptions['messages'];
  #answer: AbortController | undefined;

  constructor(stlm: Stlm, options: Options) {
    this.#stlm = stlm;
    this.#fields = requestFields(options, options.model);
    this.#messages = options.system === undefined ? [] : [{ role: 'system', content: options.system }];
  }

  /** Ends the answer that is being written; false if none is. */
  stop(): boolean {
    this.#answer?.abort();
    return this.#answer !== undefined;
  }

  /** One exchange. What was stopped counts as far as it came; what failed was never said. */
  async say(content: string, write: (text: string) => void): Promise<void> {
    const messages = [...this.#messages, { role: 'user' as const, content }];
    let reply = '';
    this.#answer = new AbortController();
    try {
      for await (const { text } of this.#stlm.streamChat({ ...this.#fields, messages }, { signal: this.#answer.signal })) {
        reply += text;
        write(text);
      }
    } catch (error) {
      if (!isAbort(error)) throw error;
    } finally {
      this.#answer = undefined;
    }
    write('\n');
    if (reply !== '') this.#messages.push({ role: 'user', content }, { role: 'assistant', content: reply });
  }
}
