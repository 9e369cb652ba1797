/** Whatever the server's pages are made of, wherever it runs. */
import { readdirSync } from 'node:fs';

const guides = readdirSync('functions/docs').filter((file) => file.endsWith('.md'));
const PAGES = [
  '/',
  '/playground/style.css',
  ...modules('playground'),
  ...modules('client'),
  '/docs',
  ...modules('docs'),
  '/docs/scalar.js',
  '/docs/client.md',
  ...guides.map((guide) => `/docs/${guide}`),
];

function modules(folder: string): string[] {
  return readdirSync(`functions/${folder}`).filter((file) => file.endsWith('.ts')).map((file) => `/${folder}/${file.replace(/ts$/, 'js')}`);
}

/** Those that a server does not have, or has empty. */
export async function brokenPages(url: string): Promise<string[]> {
  const wholeness = await Promise.all(PAGES.map(async (path) => {
    const response = await fetch(url + path);
    return response.ok && (await response.text()) !== '';
  }));
  return PAGES.filter((_, index) => !wholeness[index]);
}
