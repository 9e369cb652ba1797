import type { CompletionChunk } from '../../../functions/schema/completion.js';

/** The `data:` lines of a finished stream; throws where one is not JSON or `[DONE]` is not the last. */
export async function readChunks<Chunk = CompletionChunk>(response: Response): Promise<Chunk[]> {
  const lines = (await response.text()).split('\n\n');
  if (lines.pop() !== '' || lines.pop() !== 'data: [DONE]') throw new Error('the stream does not end with [DONE]');
  return lines.map((line) => JSON.parse(line.replace(/^data: /, '')) as Chunk);
}
