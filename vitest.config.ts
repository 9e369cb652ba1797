import { defineConfig } from 'vitest/config';

/** Real sockets and real ONNX sessions on two cores: files run one after the other, so that none measures another's load. */
export default defineConfig({
  test: {
    fileParallelism: false,
    testTimeout: 20_000,
    projects: [
      { extends: true, test: { name: 'node', include: ['test/node/**/*.test.ts'] } },
      { extends: true, test: { name: 'conformance', include: ['test/conformance/**/*.test.ts'] } },
    ],
  },
});
