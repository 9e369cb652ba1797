/**
 * The server as a few files instead of several hundred, in `bundle/`: it starts in two thirds of the time (`bench cold`). Paths in it are as in `dist/`,
 * so that what is found beside a file is found here too. Needs a build and the development packages.
 */
import { cpSync, rmSync } from 'node:fs';
import { rolldown } from 'rolldown';

const OUT = 'bundle';
const ENTRIES = ['functions/entries/node', 'functions/engine/worker', 'functions/grammar/thread'];
/** What has native parts stays a package. */
const NATIVE = /^(koffi|onnxruntime-node|onnxruntime-common)(\/|$)/;
/** zod brings its messages in fifty languages, of which English is used: a quarter of what a start would have to compile before it can read a manifest. */
const ENGLISH = { name: 'english', load: { filter: { id: /\/zod\/v4\/locales\/index\.js$/ }, handler: () => "export { default as en } from './en.js';" } };

rmSync(OUT, { recursive: true, force: true });
const bundle = await rolldown({
  input: Object.fromEntries(ENTRIES.map((entry) => [entry, `dist/${entry}.js`])),
  platform: 'node',
  external: NATIVE,
  plugins: [ENGLISH],
});
// Shared parts lie as deep as the entries, which find the pages by their own place.
await bundle.write({ dir: OUT, format: 'esm', minify: true, entryFileNames: '[name].js', chunkFileNames: 'functions/entries/[name]-[hash].js' });
for (const pages of ['playground', 'client', 'docs']) cpSync(`dist/functions/${pages}`, `${OUT}/functions/${pages}`, { recursive: true });
