/** `bench decode --profile`: where the time of a patch goes, in the graph and around it. */
import { measure } from './child.js';
import type { Entrant } from './entrants.js';
import type { ProfileMeasurement } from './systems/protocol.js';
import { table } from './table.js';

/** Operators that take less of the graph's time than this are summed up. */
const LEAST_SHARE = 0.02;

export function measureProfile(entrant: Entrant): Promise<ProfileMeasurement> {
  return measure<ProfileMeasurement>({ ...entrant, program: 'stlm-profile' });
}

export function profileTable(profile: ProfileMeasurement): string {
  const { graphUs, bindingUs, betweenUs, samplingUs, messagesUs, nodes } = profile;
  const allUs = graphUs + bindingUs + betweenUs;
  const row = (what: string, us: number, calls = '') => [what, calls, us.toFixed(0), `${((100 * us) / allUs).toFixed(1)}%`];
  const [large, small] = [nodes.filter(({ share }) => share >= LEAST_SHARE), nodes.filter(({ share }) => share < LEAST_SHARE)];
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const rest = { operator: `${small.length} others`, calls: sum(small.map(({ calls }) => calls)), share: sum(small.map(({ share }) => share)) };
  const rows = [
    row('graph', graphUs),
    ...[...large, rest].map(({ operator, calls, share }) => row(`  ${operator}`, share * graphUs, calls.toFixed(0))),
    row('event loop, binding, copied outputs', bindingUs),
    row('sampling noise', samplingUs),
    row('messages', messagesUs),
    row('cache rows, stop rules, the rest', betweenUs - samplingUs - messagesUs),
  ];
  return table(['a patch spends', 'calls', 'us', 'share'], rows);
}
