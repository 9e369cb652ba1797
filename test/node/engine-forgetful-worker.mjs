/** The real worker, except that no text finds what an earlier one has read: each is given a salt of its own. */
import { ModelThread } from '../../dist/functions/engine/model-thread.js';

const { obey } = ModelThread.prototype;
ModelThread.prototype.obey = function (message) {
  if (message.kind === 'generate') message.options.cacheSalt = `text ${message.id}`;
  obey.call(this, message);
};

await import('../../dist/functions/engine/worker.js');
