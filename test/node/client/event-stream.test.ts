import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { eventData } from '../../../functions/client/event-stream.js';

const encode = (text: string) => new TextEncoder().encode(text);

async function read(pieces: readonly Uint8Array[]): Promise<string[]> {
  const data = [];
  for await (const one of eventData(ReadableStream.from(pieces) as ReadableStream<Uint8Array>)) data.push(one);
  return data;
}

describe('a stream of events', () => {
  test('is the data of each, whatever line ends and comments stand between', async () => {
    expect(await read([encode('data: {"a":1}\n\n: a comment\nevent: x\ndata:two\r\n\r\ndata: [DONE]\n\n')])).toEqual(['{"a":1}', 'two', '[DONE]']);
  });

  test('joins the lines of one event', async () => {
    expect(await read([encode('data: a\ndata: b\n\n')])).toEqual(['a\nb']);
  });

  test('drops an event that the end of the stream cut off', async () => {
    expect(await read([encode('data: whole\n\ndata: ha')])).toEqual(['whole']);
  });

  test('does not depend on how the bytes arrive', async () => {
    const wire = encode('data: größe 🙂\r\n\r\ndata: b\n\ndata: c\r\n\r\n');
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(wire.length), { maxLength: 12 }), async (cuts) => {
        const edges = [0, ...cuts.toSorted((a, b) => a - b), wire.length];
        const pieces = edges.slice(1).map((edge, index) => wire.slice(edges[index], edge));
        expect(await read(pieces)).toEqual(['größe 🙂', 'b', 'c']);
      }),
    );
  });

  test('is cancelled when its reader leaves', async () => {
    let cancelled = false;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(encode('data: again\n\n')),
      cancel: () => {
        cancelled = true;
      },
    });
    for await (const _ of eventData(body)) break;
    expect(cancelled).toBe(true);
  });
});
