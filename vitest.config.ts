import { defineConfig } from 'vitest/config';

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
      { extends: true, test: { name: 'conformance', include: ['test/conformance/**/*.test.ts'] } },
    ],
  },
});
