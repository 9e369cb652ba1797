/**
 * Puts what a server needs at run time into a folder: the build, the packages it loads, their licences, a list of them, and nothing else. Run after
 * `npm ci` and the build; the Dockerfile and the tests share it. The standard library only.
 *
 *   node deploy/container/assemble.mjs FOLDER [x64 | arm64]
 *
 * @module
 */
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { billOfMaterials } from './sbom.mjs';

/** The server's own in package.json because `npm start` builds; a built server loads neither. */
const BUILD_ONLY = new Set(['typescript', '@types/node']);
/** What a package depends on for its install step, or under other names, is no part of a run. */
const RUN_TIME_DEPENDENCIES = { 'onnxruntime-node': ['onnxruntime-common'] };
/** Declarations, maps and manuals. */
const UNUSED_FILE = /\.(?:map|[cm]?ts|md|tsbuildinfo)$/;
const LICENCE = /(?:^|\/)(?:licen[cs]e|notice|copying)[^/]*$/i;

const [folder, arch = process.arch] = process.argv.slice(2);
if (folder === undefined || !['x64', 'arm64'].includes(arch)) {
  console.error('usage: node deploy/container/assemble.mjs FOLDER [x64 | arm64]');
  process.exit(1);
}
const root = fileURLToPath(new URL('../..', import.meta.url));
const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;

const ourBinaries = `bin/napi-v6/linux/${arch}`;
/** Native code for other machines, and folders that are there to install or to compile it. */
const UNUSED = {
  'onnxruntime-node': (path) => /^(?:lib|script)\b/.test(path) || (path.startsWith('bin/') && isBeside(ourBinaries, path)),
  koffi: (path) => /^(?:doc|lib|vendor)\b|\.(?:cc|hh|inc|S|asm|txt)$/.test(path),
  [`@koromix/koffi-linux-${arch}`]: (path) => path.startsWith('musl'),
};

/** Neither the folder, nor in it, nor above it. */
function isBeside(folder, path) {
  return !path.startsWith(folder) && !folder.startsWith(path);
}

/** Where Node finds `name` when the package at `path` asks for it. */
function resolve(path, name) {
  for (let from = path; ; from = from.slice(0, Math.max(0, from.lastIndexOf('/node_modules/')))) {
    const candidate = `${from === '' ? '' : `${from}/`}node_modules/${name}`;
    if (candidate in lock) return candidate;
    if (from === '') return undefined;
  }
}

function fits({ os, cpu }) {
  return (os?.includes('linux') ?? true) && (cpu?.includes(arch) ?? true);
}

function addPackages(path, names, found) {
  for (const name of names) {
    const at = BUILD_ONLY.has(name) ? undefined : resolve(path, name);
    if (at === undefined || found.has(at) || !fits(lock[at])) continue;
    found.add(at);
    const { dependencies, optionalDependencies } = lock[at];
    addPackages(at, RUN_TIME_DEPENDENCIES[name] ?? Object.keys({ ...dependencies, ...optionalDependencies }), found);
  }
  return found;
}

function copy(path, isUnused = (inside) => UNUSED_FILE.test(inside)) {
  const source = join(root, path);
  if (!existsSync(source)) throw new Error(`${path} is missing: npm ci --omit=dev --os=linux --cpu=${arch}, then build`);
  cpSync(source, join(folder, path), {
    recursive: true,
    filter(from) {
      const inside = from.slice(source.length + 1).split(sep).join('/');
      return inside === '' || LICENCE.test(inside) || !(basename(from) === 'node_modules' || isUnused(inside));
    },
  });
}

mkdirSync(folder, { recursive: true });
const packages = [...addPackages('', Object.keys({ ...lock[''].dependencies, ...lock[''].optionalDependencies }), new Set())];
for (const path of packages) {
  const isUnused = UNUSED[path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)] ?? (() => false);
  copy(path, (inside) => UNUSED_FILE.test(inside) || isUnused(inside));
}
copy('dist/functions');
copy('dist/model-core');
// The page's markup and style are served as they are.
copy('functions/playground');
for (const guides of ['functions/docs', 'functions/client/README.md']) copy(guides, (inside) => inside.endsWith('.ts'));
copy('LICENSE');
const { name, version, license, type } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const write = (file, content) => writeFileSync(join(folder, file), `${JSON.stringify(content)}\n`);
write('package.json', { name, version, license, type, private: true });
write('sbom.cdx.json', billOfMaterials({ name, version, license }, Object.fromEntries(packages.map((path) => [path, lock[path]]))));
