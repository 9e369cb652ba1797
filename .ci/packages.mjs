import { existsSync, readFileSync } from 'node:fs';
import { announce, run } from './step.mjs';

/** npm writes this at the end of an install, so a broken-off one leaves none. */
const INSTALLED = 'node_modules/.package-lock.json';

/**
 * Compares what is installed with the lockfile, entry by entry: a plain `npm ci` by hand counts, a changed lockfile does not.
 * Optional packages may be absent, since most are binaries for other machines, but not those of package.json: the build reads their types.
 */
function isInstalled(withDev) {
  if (!existsSync(INSTALLED)) return false;
  const installed = JSON.parse(readFileSync(INSTALLED, 'utf8')).packages;
  const locked = JSON.parse(readFileSync('package-lock.json', 'utf8')).packages;
  const own = new Set(Object.keys(locked[''].optionalDependencies).map((name) => `node_modules/${name}`));
  return Object.entries(locked).every(([path, { version, dev, optional, devOptional }]) => {
    const found = installed[path];
    if (path === '' || (!found && (optional || devOptional) && !own.has(path)) || (dev && !withDev)) return true;
    return found !== undefined && found.version === version;
  });
}

export function ensurePackages(withDev) {
  if (isInstalled(withDev)) return;
  announce(withDev ? 'installing the packages of package-lock.json (npm ci)' : 'installing what the server needs (npm ci --omit=dev)');
  run('npm', ['ci'].concat(withDev ? [] : ['--omit=dev']), 'npm ci failed: check the network (or the npm registry setting) and run this again');
}
