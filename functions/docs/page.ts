/** The page at `/docs`: how each client is used, and what the running server says of itself, shown by Scalar. */

declare const Scalar: { createApiReference(selector: string, configuration: object): void };

interface Tag {
  readonly name: string;
}

/** In the order of the page. */
const GUIDES = ['curl', 'openai', 'ai-sdk', 'langchain', 'lm-eval', 'client'];

async function read(path: string): Promise<string> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.text();
}

/** A tag without endpoints: Scalar gives it a page and an address, `/docs#tag/openai`. */
async function guide(name: string): Promise<Tag & { 'x-displayName': string; description: string }> {
  const text = await read(`/docs/${name}.md`);
  const [, title, rest] = /^# (.*)\n([\s\S]*)$/.exec(text)!;
  return { name, 'x-displayName': title!.replaceAll('`', ''), description: rest!.replaceAll('http://127.0.0.1:8080', location.origin) };
}

const [openapi, ...guides] = await Promise.all([read('/openapi.json'), ...GUIDES.map(guide)]);
const document = JSON.parse(openapi) as { tags: Tag[] };
const groups = [
  { name: 'Clients', tags: GUIDES },
  { name: 'Endpoints', tags: document.tags.map(({ name }) => name) },
];

Scalar.createApiReference('#reference', {
  content: { ...document, tags: [...guides, ...document.tags], 'x-tagGroups': groups },
  documentDownloadType: 'none',
  // A guide has no list of endpoints beside it, whose half of the page its code can use.
  customCss: '.section-columns:has(.markdown pre) { display: block } .markdown pre code { white-space: pre-wrap !important }',
  // Fonts, measurements and helpers of Scalar's would come from elsewhere: this page works without a network.
  withDefaultFonts: false,
  telemetry: false,
  showDeveloperTools: 'never',
  hideClientButton: true,
  agent: { disabled: true },
  mcp: { disabled: true },
});
