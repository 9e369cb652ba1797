import { once } from 'node:events';
import { type AddressInfo, connect, type Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from 'vitest';
import { agentReply, listenForAgent } from '../../functions/agent-check.js';

describe('what an agent check says', () => {
  test('is the share of its weight that a server can bear', () => {
    expect(agentReply(false, 1)).toBe('ready up 100%\n');
    expect(agentReply(false, 0.754)).toBe('ready up 75%\n');
  });

  test('never takes a server out because it is full', () => {
    expect(agentReply(false, 0)).toBe('ready up 1%\n');
  });

  test('takes it out when it leaves, whatever it could bear', () => {
    expect(agentReply(true, 1)).toBe('drain\n');
  });
});

describe('an agent port', () => {
  let server: Server;
  afterEach(() => server.close());

  const listening = async (reply: () => string) => {
    server = await listenForAgent(0, '127.0.0.1', reply);
    return (server.address() as AddressInfo).port;
  };

  test('says what holds when it is asked, and hangs up', async () => {
    let slack = 1;
    const port = await listening(() => agentReply(false, slack));
    expect(await text(connect(port, '127.0.0.1'))).toBe('ready up 100%\n');
    slack = 0.5;
    expect(await text(connect(port, '127.0.0.1'))).toBe('ready up 50%\n');
  });

  test('answers others while one client neither reads nor leaves', async () => {
    const port = await listening(() => agentReply(true, 1));
    const silent = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    await once(silent, 'connect');
    expect(await text(connect(port, '127.0.0.1'))).toBe('drain\n');
    silent.destroy();
  });

  test('refuses a port that is taken', async () => {
    const port = await listening(() => '');
    await expect(listenForAgent(port, '127.0.0.1', () => '')).rejects.toThrow('EADDRINUSE');
  });
});
