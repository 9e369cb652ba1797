/** What the engine's threads run. */
export const WORKER_URL = new URL('../engine/worker.js', import.meta.url);
