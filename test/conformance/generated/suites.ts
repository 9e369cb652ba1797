/** How each package's generated tests are run: those of the resources that are served. */
import { resolve } from 'node:path';

interface Command {
  readonly command: string;
  readonly options: readonly string[];
}

export const SUITES: Record<string, (checkout: string, report: string) => Command> = {
  /** They are written for jest, of which they use what vitest has too; vitest compiles them. */
  'openai-node': (checkout, report) => ({
    command: process.execPath,
    options: [
      [resolve('node_modules/vitest/vitest.mjs'), 'run', '--root', checkout],
      ['--config', resolve('test/conformance/generated/vitest.config.ts')],
      ['--reporter', 'junit', '--outputFile', report],
    ].flat(),
  }),
  'openai-python': (_, report) => ({
    command: resolve('test/conformance/python/.venv/bin/python'),
    options: [
      ['-m', 'pytest', '--quiet', '--tb', 'short', '--junitxml', report],
      // As the checkout sets them they want plugins that only its authors need, and fail on any warning.
      ['-o', 'addopts=', '-o', 'filterwarnings=', '-p', 'no:cacheprovider'],
      ['test_completions.py', 'chat/test_completions.py', 'test_models.py'].map((file) => `tests/api_resources/${file}`),
    ].flat(),
  }),
};
