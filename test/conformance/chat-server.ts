/** The built server with the test model, which here says that it was tuned to chat: its replies are noise, its turns are real. */
import { rm } from 'node:fs/promises';
import { chatModels } from '../node/engine-models.js';
import { type ServerProcess, startServer } from '../server-process.js';

/** `stop` removes the models too. */
export async function startChatServer(environment: Record<string, string> = {}): Promise<ServerProcess> {
  const folder = await chatModels();
  const server = await startServer({ ...environment, STLM_ARTIFACTS: folder });
  const stop = async () => {
    const code = await server.stop();
    await rm(folder, { recursive: true });
    return code;
  };
  return { ...server, stop };
}
