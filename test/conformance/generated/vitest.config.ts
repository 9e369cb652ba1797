import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

/** For a checkout as the root: its tests, with the package that is installed here. */
export default defineConfig({
  resolve: { alias: { openai: resolve(import.meta.dirname, '../../../node_modules/openai') } },
  test: {
    globals: true,
    include: ['tests/api-resources/completions.test.ts', 'tests/api-resources/chat/completions/completions.test.ts', 'tests/api-resources/models.test.ts'],
  },
});
