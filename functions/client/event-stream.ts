/**
 * The `data:` lines of a stream of server-sent events (WHATWG HTML, 9.2.6), as far as this API uses it: no names, no ids.
 *
 * @module
 */

const DATA = 'data:';

/** Yields the data of each event. Breaking off cancels the body, and with it the server's work. */
export async function* eventData(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let pending = '';
  let data: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      pending += decoder.decode(value, { stream: !done });
      const lines = pending.split(/\r\n|\n|\r(?!$)/);
      pending = lines.pop() as string;
      for (const line of lines) {
        if (line.startsWith(DATA)) data.push(line.slice(line[DATA.length] === ' ' ? DATA.length + 1 : DATA.length));
        else if (line === '' && data.length > 0) {
          yield data.join('\n');
          data = [];
        }
      }
      if (done) return;
    }
  } finally {
    // Rejects if the connection is what failed: that error is on its way already.
    await reader.cancel().catch(() => undefined);
  }
}
