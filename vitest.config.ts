import { cloudflareTest } from '@cloudflare/vitest-pool-workers';
import { defineConfig } from 'vitest/config';

/** Inside workerd, with the bindings of wrangler.toml; files of the artifacts come from the disk. */
const workerd = cloudflareTest({
  wrangler: { configPath: './wrangler.toml' },
  miniflare: { cf: false, bindings: { STLM_OPEN: 'true' }, serviceBindings: { ARTIFACTS: { disk: { path: 'model-core/artifacts' } } } },
});

/** Real sockets and real ONNX sessions on two cores: files run one after the other, so that none measures another's load. */
export default defineConfig({
  test: {
    fileParallelism: false,
    // Nothing here measures speed: a busy machine may take its time.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
    projects: [
      { extends: true, test: { name: 'node', include: ['test/node/**/*.test.ts'] } },
      { extends: true, test: { name: 'browser', include: ['test/browser/**/*.test.ts'] } },
      { extends: true, test: { name: 'edge', include: ['test/edge/*.test.ts'] } },
      { extends: true, plugins: [workerd], test: { name: 'workerd', include: ['test/edge/workerd/*.test.ts'] } },
      { extends: true, test: { name: 'conformance', include: ['test/conformance/**/*.test.ts'] } },
    ],
  },
});
