/** One streamed answer on the page: its text as it comes, then what was promised and what came of it. */
import type { CallOptions, CompleteOptions, Stlm } from '../client/client.js';
import { StlmError } from '../client/errors.js';
import type { Completion } from '../schema/completion.js';
import { shownMs } from './budget.js';
import { caption, timeline } from './timeline.js';

type Report = Completion['stlm'];

export interface RunParts {
  readonly stlm: Pick<Stlm, 'stream'>;
  readonly colorOf: (tier: string) => string;
  /** Where the outcome is shown; what was there is replaced. */
  readonly into: Element;
  readonly write: (text: string) => void;
  readonly note: (report: Report) => void;
}

/** Never rejects: a failure is shown where the outcome would be. */
export async function run({ stlm, colorOf, into, write, note }: RunParts, options: CompleteOptions, call: CallOptions): Promise<void> {
  into.replaceChildren();
  try {
    for await (const { text, stlm: report } of stlm.stream(options, call)) {
      write(text);
      if (report === undefined) continue;
      note(report);
      into.replaceChildren(...outcome(report, colorOf(report.tier)));
    }
  } catch (error) {
    if (call.signal?.aborted === true) into.replaceChildren('Stopped.');
    else into.replaceChildren(failure(error));
  }
}

function outcome(report: Report, color: string): Node[] {
  const badge = element('span', 'badge', report.tier);
  badge.style.setProperty('--tier', color);
  const facts = [
    caption(report),
    `first byte ${shownMs(report.time_to_first_byte_ms)}`,
    `${report.bytes_per_second.toFixed(0)} bytes/s`,
    `chosen: ${report.route_reason}`,
    ...(report.stop_cause === 'deadline' ? ['ended at the budget'] : []),
  ];
  return [element('div', 'title', badge, ...facts.map((fact) => element('span', '', fact))), timeline(report, color)];
}

function failure(error: unknown): HTMLElement {
  // A defect of this page belongs into the console, not in front of a user.
  if (!(error instanceof StlmError)) reportError(error);
  return element('p', 'error', error instanceof StlmError ? error.message : 'Something went wrong on this page.');
}

export function element(name: string, className: string, ...children: (Node | string)[]): HTMLElement {
  const made = document.createElement(name);
  if (className !== '') made.className = className;
  made.append(...children);
  return made;
}
