/** The page at `/`: what its controls do. Talks to the server it came from, through the same client that products use. */
import { Stlm } from '../client/client.js';
import { AuthenticationError } from '../client/errors.js';
import type { Completion } from '../schema/completion.js';
import { budgetMsAt, positionOf, shownMs } from './budget.js';
import { histogram, type Sample } from './histogram.js';
import { element, run } from './run.js';
import { Typeahead } from './typeahead.js';

type Report = Completion['stlm'];

const FIRST_BUDGET_MS = 300;
const TYPEAHEAD_BUDGET_MS = 80;
/** What the session remembers: a histogram of more tells no more. */
const MOST_SAMPLES = 500;
const COLORS = ['var(--small)', 'var(--medium)', 'var(--large)'];
const AUTO = 'stlm-auto';

function byId<E extends Element>(id: string): E {
  const found = document.querySelector<E>(`#${id}`);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

/** Until the tab is closed. */
const KEY = 'stlm-api-key';
const apiKey = sessionStorage.getItem(KEY);
const server = { baseUrl: `${location.origin}/v1`, ...(apiKey !== null && { apiKey }) };
const stlm = new Stlm(server);
const text = byId<HTMLTextAreaElement>('text');
const [typed, suggestion] = byId<HTMLElement>('mirror').children as unknown as [HTMLElement, HTMLElement];
const budget = byId<HTMLInputElement>('budget');
const model = byId<HTMLSelectElement>('model');
const write = byId<HTMLButtonElement>('write');
const compare = byId<HTMLButtonElement>('compare');
const columns = byId<HTMLElement>('tiers');

let tiers: readonly string[] = [];
let running: AbortController | undefined;
let samples: Sample[] = [];
let inBudget = 0;
let answers = 0;

const colorOf = (tier: string) => COLORS[Math.max(0, tiers.indexOf(tier)) % COLORS.length] as string;

/** A suggestion that the server has no time for now is not worth asking for again: the next key asks anew. */
const hasty = new Stlm({ ...server, maxRetries: 0 });
const typeahead = new Typeahead({ stlm: hasty, budgetMs: TYPEAHEAD_BUDGET_MS, show: suggest, note });

function suggest(words: string): void {
  typed.textContent = text.value;
  suggestion.textContent = words;
}

function changed(): void {
  text.style.height = 'auto';
  text.style.height = `${text.scrollHeight}px`;
  suggest('');
}

function typedOn(): void {
  changed();
  const atEnd = text.selectionStart === text.value.length;
  if (atEnd && byId<HTMLInputElement>('typeahead').checked && running === undefined) typeahead.ask(text.value);
  else typeahead.forget();
}

function note(report: Report): void {
  answers += 1;
  if (report.actual_ms <= report.budget_ms) inBudget += 1;
  samples = [...samples.slice(1 - MOST_SAMPLES), { tier: report.tier, ms: report.actual_ms }];
  byId('histogram').replaceChildren(histogram(samples, tiers, colorOf));
  const ordered = samples.map(({ ms }) => ms).toSorted((a, b) => a - b);
  const figures = {
    answers: String(answers),
    'inside their budget': `${((100 * inBudget) / answers).toFixed(1)} %`,
    median: shownMs(ordered[ordered.length >> 1] as number),
    p95: shownMs(ordered[Math.floor(0.95 * (ordered.length - 1))] as number),
  };
  const rows = Object.entries(figures).map(([name, value]) => element('div', '', element('dt', '', name), element('dd', '', value)));
  const served = tiers.map((tier) => {
    const row = element('div', 'legend', element('dt', '', tier), element('dd', '', String(samples.filter((sample) => sample.tier === tier).length)));
    row.style.setProperty('--tier', colorOf(tier));
    return row;
  });
  byId('figures').replaceChildren(...rows, ...served);
}

function options(chosen: string) {
  return {
    model: chosen,
    prompt: text.value,
    max_tokens: Number(byId<HTMLInputElement>('bytes').value),
    temperature: Number(byId<HTMLInputElement>('temperature').value),
    budgetMs: budgetMsAt(Number(budget.value)),
  };
}

/** One piece of work at a time: starting another ends the first. */
async function start(work: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  running?.abort();
  typeahead.forget();
  const mine = new AbortController();
  running = mine;
  write.textContent = 'Stop';
  await work(mine.signal);
  if (running !== mine) return;
  running = undefined;
  write.textContent = 'Write on';
}

function writeOn(): void {
  void start((signal) => run({ stlm, colorOf, into: byId('last'), write: append, note }, options(model.value), { signal }));
}

function append(words: string): void {
  text.value += words;
  changed();
}

function compareTiers(): void {
  columns.hidden = false;
  const seats = tiers.map((tier) => {
    const [words, outcome] = [element('pre', ''), element('div', 'run')];
    const column = element('article', 'tier', element('h2', '', tier), outcome, words);
    column.style.setProperty('--tier', colorOf(tier));
    return { tier, words, outcome, column };
  });
  columns.replaceChildren(...seats.map(({ column }) => column));
  void start(async (signal) => {
    // One after the other: at once they would share the machine, and show how fast it is shared.
    for (const { tier, words, outcome } of seats) {
      await run({ stlm, colorOf, into: outcome, write: (piece) => words.append(piece), note }, options(tier), { signal });
    }
  });
}

function stop(): void {
  running?.abort();
  typeahead.forget();
}

function setBudget(position: number): void {
  budget.value = String(position);
  byId('budget-ms').textContent = shownMs(budgetMsAt(position));
}

function pressed(event: KeyboardEvent): void {
  const { key, altKey, ctrlKey, metaKey } = event;
  if (key === 'Tab' && document.activeElement === text && suggestion.textContent !== '') {
    text.value += suggestion.textContent;
    typedOn();
  } else if (key === 'Enter' && (ctrlKey || metaKey)) writeOn();
  else if (key === 'Escape') stop();
  else if (altKey && (key === 'ArrowLeft' || key === 'ArrowRight')) setBudget(Math.min(1, Math.max(0, Number(budget.value) + (key === 'ArrowLeft' ? -0.05 : 0.05))));
  else return;
  event.preventDefault();
}

function turnTheme(): void {
  const root = document.documentElement;
  const isDark = root.dataset['theme'] === 'dark' || (root.dataset['theme'] === undefined && matchMedia('(prefers-color-scheme: dark)').matches);
  root.dataset['theme'] = isDark ? 'light' : 'dark';
}

/** A deployment with keys lists its models to who has one. */
async function listTiers(): Promise<string[]> {
  try {
    return (await stlm.models()).map(({ id }) => id).filter((id) => id !== AUTO);
  } catch (error) {
    if (!(error instanceof AuthenticationError)) throw error;
    byId<HTMLElement>('login').hidden = false;
    return [];
  }
}

function logIn(event: Event): void {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId<HTMLInputElement>('key').value.trim());
  location.reload();
}

byId('login').addEventListener('submit', logIn);
text.addEventListener('input', typedOn);
text.addEventListener('blur', () => typeahead.forget());
document.addEventListener('keydown', pressed);
write.addEventListener('click', () => (running === undefined ? writeOn() : stop()));
compare.addEventListener('click', compareTiers);
budget.addEventListener('input', () => setBudget(Number(budget.value)));
byId('theme').addEventListener('click', turnTheme);

setBudget(positionOf(FIRST_BUDGET_MS));
changed();
text.setSelectionRange(text.value.length, text.value.length);
byId('histogram').replaceChildren(histogram(samples, tiers, colorOf));
tiers = await listTiers();
model.replaceChildren(...[AUTO, ...tiers].map((id) => new Option(id, id)));
