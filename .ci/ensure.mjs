/**
 * Brings a fresh checkout to the point where `npm start`, `npm test`, `npm run conformance` or `npm run bench` can run, and does nothing when it is there.
 * It runs before any package exists: Node's standard library only, and syntax that a Node too old for the rest still parses.
 *
 *   node .ci/ensure.mjs start | test | conformance | bench
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ensurePackages } from './packages.mjs';
import { CONFORMANCE, ensurePython, MODEL_CORE } from './python.mjs';
import { Unready, run } from './step.mjs';

/** What each command needs: packages beyond the server's own, which TypeScript projects, and Python. */
const NEEDS = {
  start: { devPackages: false, projects: ['tsconfig.node.json', 'tsconfig.browser.json'], python: [] },
  bench: { devPackages: true, projects: ['tsconfig.json'], python: [] },
  conformance: { devPackages: true, projects: ['tsconfig.json'], python: [CONFORMANCE] },
  test: { devPackages: true, projects: ['tsconfig.json'], python: [MODEL_CORE, CONFORMANCE] },
};

function requireNode() {
  const wanted = JSON.parse(readFileSync('package.json', 'utf8')).engines.node.replace('>=', '');
  const [major, minor] = wanted.split('.').map(Number);
  const [hasMajor, hasMinor] = process.versions.node.split('.').map(Number);
  if (hasMajor < major || (hasMajor === major && hasMinor < minor)) {
    throw new Unready(`Node ${process.versions.node} is too old: install Node ${wanted} or newer`);
  }
}

/** `tsc -b` looks at its build info and writes only what changed. */
function ensureBuild(projects) {
  run(process.execPath, ['node_modules/typescript/bin/tsc', '-b'].concat(projects), 'TypeScript found the errors above: mend them');
}

try {
  const needs = NEEDS[process.argv[2]];
  if (!needs) throw new Unready('usage: node .ci/ensure.mjs start|test|conformance|bench');
  process.chdir(fileURLToPath(new URL('..', import.meta.url)));
  requireNode();
  ensurePackages(needs.devPackages);
  ensureBuild(needs.projects);
  needs.python.forEach(ensurePython);
} catch (error) {
  if (!(error instanceof Unready)) throw error;
  console.error(`stlm: ${error.message}`);
  process.exitCode = 1;
}
