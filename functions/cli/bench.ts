/** `stlm bench`: the measurements of a checkout. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

export function benchCommand(): Command {
  return new Command('bench')
    .description('Measures, as `npm run bench` does: it needs a checkout, and installs its development packages. `stlm bench --help` says what there is.')
    .argument('[arguments...]', 'for the benchmark')
    .helpOption(false)
    .allowUnknownOption()
    .action(async (rest: string[]) => {
      if (!existsSync(`${ROOT}test/bench`)) throw new Error('bench needs a checkout of the sources, and this is an installed package');
      const child = spawn('npm', ['run', '--silent', 'bench', '--', ...rest], { cwd: ROOT, stdio: 'inherit' });
      const [code] = (await once(child, 'exit')) as [number | null];
      process.exitCode = code ?? 1;
    });
}
