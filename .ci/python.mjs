import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { Unready, announce, ask, run } from './step.mjs';

/** What trains and checks the models, and what drives the server from outside: two environments, as their packages need not agree. */
export const MODEL_CORE = { venv: 'model-core/.venv', requirements: 'model-core/requirements.txt', constraints: 'model-core/constraints.txt' };
export const CONFORMANCE = { venv: 'test/conformance/python/.venv', requirements: 'test/conformance/python/requirements.txt', constraints: 'test/conformance/python/requirements.txt' };

const IS_RECENT = 'import sys; print(sys.executable) if sys.version_info >= (3, 11) else sys.exit(1)';

function findPython() {
  for (const name of ['python3', 'python3.11', 'python3.12', 'python3.13']) {
    const path = ask(name, ['-c', IS_RECENT]);
    if (path) return path;
  }
  throw new Unready('Python 3.11 or newer is missing: install it (Debian: apt install python3 python3-venv)');
}

function hashOf({ requirements, constraints }) {
  return createHash('sha256').update(readFileSync(requirements)).update(readFileSync(constraints)).digest('hex');
}

/** A virtual environment with the exact versions of its constraints file. */
export function ensurePython(environment) {
  const { venv, requirements, constraints } = environment;
  const path = `${venv}/bin/python`;
  /** Written after a complete install: the hash of what was installed. */
  const stamp = `${venv}/.installed`;
  const wanted = hashOf(environment);
  const works = ask(path, ['-c', IS_RECENT]) !== undefined;
  if (works && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  if (!works) {
    const python = findPython();
    if (ask(python, ['-c', 'import venv, ensurepip']) === undefined) {
      throw new Unready(`${python} has no venv module: install it (Debian: apt install python3-venv)`);
    }
    announce(`creating ${venv} with ${python}`);
    run(python, ['-m', 'venv', '--clear', venv], `${python} -m venv ${venv} failed: remove that folder and run this again`);
  }
  announce(`installing ${requirements} into ${venv}`);
  run(
    path,
    ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements, '-c', constraints],
    'pip install failed: check the network (or the pip index setting) and run this again',
  );
  writeFileSync(stamp, wanted);
}
