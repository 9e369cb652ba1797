import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { Unready, announce, ask, run } from './step.mjs';

const VENV = 'model-core/.venv';
const PYTHON = `${VENV}/bin/python`;
const REQUIREMENTS = 'model-core/requirements.txt';
const CONSTRAINTS = 'model-core/constraints.txt';
/** Written after a complete install: the hash of what was installed. */
const STAMP = `${VENV}/.installed`;

const IS_RECENT = 'import sys; print(sys.executable) if sys.version_info >= (3, 11) else sys.exit(1)';

function findPython() {
  for (const name of ['python3', 'python3.11', 'python3.12', 'python3.13']) {
    const path = ask(name, ['-c', IS_RECENT]);
    if (path) return path;
  }
  throw new Unready('Python 3.11 or newer is missing: install it (Debian: apt install python3 python3-venv)');
}

function wantedHash() {
  return createHash('sha256').update(readFileSync(REQUIREMENTS)).update(readFileSync(CONSTRAINTS)).digest('hex');
}

/** A virtual environment for model-core with the exact versions of its constraints file. */
export function ensurePython() {
  const wanted = wantedHash();
  const works = ask(PYTHON, ['-c', IS_RECENT]) !== undefined;
  if (works && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === wanted) return;
  if (!works) {
    const python = findPython();
    if (ask(python, ['-c', 'import venv, ensurepip']) === undefined) {
      throw new Unready(`${python} has no venv module: install it (Debian: apt install python3-venv)`);
    }
    announce(`creating ${VENV} with ${python}`);
    run(python, ['-m', 'venv', '--clear', VENV], `${python} -m venv ${VENV} failed: remove that folder and run this again`);
  }
  announce(`installing ${REQUIREMENTS} into ${VENV}`);
  run(
    PYTHON,
    ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', REQUIREMENTS, '-c', CONSTRAINTS],
    'pip install failed: check the network (or the pip index setting) and run this again',
  );
  writeFileSync(STAMP, wanted);
}
