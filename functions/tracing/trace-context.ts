/**
 * W3C Trace Context (https://www.w3.org/TR/trace-context/): which trace a request belongs to, as `traceparent` says it.
 *
 * @module
 */

export interface TraceContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits: of the caller's span in a request, of ours in what we send. */
  readonly spanId: string;
  /** Whoever began the trace records it. */
  readonly sampled: boolean;
}

const SAMPLED = 1;
/** What a later version adds stands behind another dash. */
const TRACEPARENT = /^(?<version>[0-9a-f]{2})-(?<traceId>[0-9a-f]{32})-(?<spanId>[0-9a-f]{16})-(?<flags>[0-9a-f]{2})(?<rest>-.*)?$/;

/** Undefined where it is missing or means nothing: the request then begins a trace of its own. */
export function parseTraceparent(header: string | undefined): TraceContext | undefined {
  const { version, traceId, spanId, flags, rest } = TRACEPARENT.exec(header ?? '')?.groups ?? {};
  if (version === 'ff' || (version === '00' && rest !== undefined) || isNone(traceId) || isNone(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags!, 16) & SAMPLED) !== 0 };
}

export function formatTraceparent({ traceId, spanId, sampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}

/** A span of this server's: in the caller's trace, or in one that it begins. */
export function continued(caller: TraceContext | undefined): TraceContext {
  return { traceId: caller?.traceId ?? randomHex(16), spanId: randomHex(8), sampled: caller?.sampled ?? false };
}

function isNone(id: string | undefined): id is undefined {
  return id === undefined || /^0+$/.test(id);
}

function randomHex(bytes: number): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
