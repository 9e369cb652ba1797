/** Server-sent events as the OpenAI SDKs read them: `data:` lines of JSON, closed by `[DONE]`. */

const DONE = 'data: [DONE]\n\n';

export function sseLine(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

interface SseEnds {
  /** The error as the body the client is to see. */
  readonly onError: (error: unknown) => object;
  /** The client left: the compute behind `lines` should end. */
  readonly onCancel: () => void;
  /** In every case, last. */
  readonly onEnd: () => void;
}

/**
 * A response body of all `lines`, as fast as they come: a client that reads slowly must not hold its place on a worker, and what it
 * has not read yet is bounded by the text a request may ask for. An error becomes one more line (never `event: error`, which the SDKs fail to parse), and
 * the stream still ends well-formed.
 */
export function sseBody(first: IteratorResult<string, void>, lines: AsyncIterator<string, void>, { onError, onCancel, onEnd }: SseEnds): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let left = false;
  async function write(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    const say = (line: string) => left || controller.enqueue(encoder.encode(line));
    try {
      for (let next = first; !next.done; next = await lines.next()) say(next.value);
    } catch (error) {
      say(sseLine(onError(error)));
    }
    say(DONE);
    if (!left) controller.close();
    onEnd();
  }
  return new ReadableStream({
    start: (controller) => void write(controller),
    cancel() {
      left = true;
      onCancel();
    },
  });
}
