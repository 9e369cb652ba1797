/**
 * What AWS's runtime client gives a handler, for `function-process.ts`: the global `awslambda`, an event and a context, and a stream
 * that begins with the status and the headers, then eight zero bytes. `deploy/lambda/prove.sh` runs the real client.
 */
import { Writable } from 'node:stream';

globalThis.awslambda = {
  streamifyResponse: (handler) => handler,
  HttpResponseStream: {
    from(stream, prelude) {
      stream.write(`${JSON.stringify(prelude)}${'\0'.repeat(8)}`);
      return stream;
    },
  },
};
const handlers = await import('../../../dist/functions/entries/lambda.js');

process.on('message', async ({ handler, event, remainingMs }) => {
  const endsAtMs = performance.now() + remainingMs;
  const context = { awsRequestId: 'request', getRemainingTimeInMillis: () => endsAtMs - performance.now() };
  if (handler === 'whole') return process.send({ result: await handlers.whole(event, context) });
  const stream = new Writable({
    write(chunk, _encoding, written) {
      process.send({ chunk: chunk.toString() }, written);
    },
  });
  await handlers.streaming(event, stream, context);
  process.send({ result: null });
});
process.send({ ready: true });
