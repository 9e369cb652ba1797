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
 * A response body that pulls its lines, so that a slow reader slows the generation. An error becomes one more line (never
 * `event: error`, which the SDKs fail to parse), and the stream still ends well-formed.
 */
export function sseBody(first: IteratorResult<string, void>, lines: AsyncIterator<string, void>, { onError, onCancel, onEnd }: SseEnds): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let next: IteratorResult<string, void> | undefined = first;
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = next ?? (await lines.next());
        next = undefined;
        controller.enqueue(encoder.encode(done ? DONE : value));
        if (!done) return;
        controller.close();
      } catch (error) {
        controller.enqueue(encoder.encode(sseLine(onError(error)) + DONE));
        controller.close();
      }
      onEnd();
    },
    async cancel() {
      onCancel();
      await lines.return?.();
      onEnd();
    },
  });
}
