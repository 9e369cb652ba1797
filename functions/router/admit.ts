/**
 * The ledger of work a worker has been promised to do, and whether one more piece can be promised.
 *
 * A worker runs, patch by patch, the generation with the earliest deadline, and ends every generation at its deadline. So the time a
 * newcomer waits is what the bookings with earlier deadlines still need, each cut at its own deadline; and what it takes from the
 * bookings with later deadlines must leave each of them what it was promised.
 */
export interface Booking {
  readonly ticket: number;
  readonly deadlineAtMs: number;
  /** Expected compute that it still adds to the worker's, as if there were no deadline. */
  readonly remainingMs: number;
  /** How much of that no later admission may take away; all of it if more. */
  readonly promisedMs: number;
  /** The longest stretch of it that nothing can interrupt: one run. */
  readonly runMs: number;
  /** Others of this tier may decode in its runs; absent if it has its runs to itself. */
  readonly sharedTier?: string | undefined;
}

export interface WorkerLedger {
  /** Earliest deadline first; among equals, first come first. */
  readonly bookings: readonly Booking[];
  /** Up to when the bookings' remaining work has been brought. */
  readonly asOfMs: number;
  /** A load blocks its worker; now or in the past when none is under way. */
  readonly loadingUntilMs: number;
  /** A run that had begun when an earlier deadline arrived goes on at most until here. */
  readonly inRunUntilMs: number;
  /** Time the worker has had bookings to work on, ever. */
  readonly busyMs: number;
  /** Share of recent time that it was busy. */
  readonly utilisation: number;
  readonly drained: Drained;
}

/** Decayed sums over recent releases: the work that left the ledger, and the time the worker was busy with it. */
interface Drained {
  readonly workMs: number;
  readonly busyMs: number;
  /** The ledger's `busyMs` at the last release. */
  readonly upToBusyMs: number;
}

/** Work counted as drained before any was measured: the rate starts at 1. */
const PRIOR_DRAINED_MS = 100;
const DRAINED_DECAY = 0.95;
/** What counts as recent. */
const UTILISATION_MS = 5_000;
/** Bookings below this are rounding, not a broken promise. */
const GRACE_MS = 0.5;

export function idleLedger(nowMs: number): WorkerLedger {
  return {
    bookings: [],
    asOfMs: nowMs,
    loadingUntilMs: nowMs,
    inRunUntilMs: nowMs,
    busyMs: 0,
    utilisation: 0,
    drained: { workMs: PRIOR_DRAINED_MS, busyMs: PRIOR_DRAINED_MS, upToBusyMs: 0 },
  };
}

/**
 * Lets the worker have worked on the earliest deadline since the ledger was last brought up to date. It turns to the next only once
 * that one is released: a booking that outlasts its estimate needs at least one run more, and hands its lateness to nobody.
 */
export function advance(ledger: WorkerLedger, nowMs: number): WorkerLedger {
  if (nowMs <= ledger.asOfMs) return ledger;
  const workedMs = Math.max(0, nowMs - Math.max(ledger.asOfMs, ledger.loadingUntilMs));
  const [first, ...others] = ledger.bookings;
  const busyMs = first === undefined ? 0 : workedMs;
  const doneMs = first === undefined ? 0 : Math.min(workedMs, Math.max(0, first.remainingMs - first.runMs));
  const bookings = first === undefined || doneMs === 0 ? ledger.bookings : [worked(first, doneMs), ...others];
  const passedMs = nowMs - ledger.asOfMs;
  const utilisation = ledger.utilisation + (busyMs / passedMs - ledger.utilisation) * -Math.expm1(-passedMs / UTILISATION_MS);
  return { ...ledger, bookings, asOfMs: nowMs, busyMs: ledger.busyMs + busyMs, utilisation };
}

function worked({ ticket, deadlineAtMs, remainingMs, promisedMs, runMs, sharedTier }: Booking, doneMs: number): Booking {
  return { ticket, deadlineAtMs, remainingMs: remainingMs - doneMs, promisedMs: Math.max(0, promisedMs - doneMs), runMs, sharedTier };
}

/** Replaces the guess of a booking's remaining work by what its progress shows; progress also means that a run has just ended. */
export function reestimate(ledger: WorkerLedger, ticket: number, remainingMs: number, runMs: number): WorkerLedger {
  const bookings = ledger.bookings.map((booking) =>
    booking.ticket === ticket ? { ...booking, remainingMs, runMs } : booking,
  );
  return { ...ledger, bookings, inRunUntilMs: ledger.asOfMs };
}

/** @param ledger brought up to now. */
export function book(ledger: WorkerLedger, booking: Booking): WorkerLedger {
  const later = ledger.bookings.findIndex((other) => other.deadlineAtMs > booking.deadlineAtMs);
  const at = later < 0 ? ledger.bookings.length : later;
  const overtaken = at === 0 ? ledger.bookings[0] : undefined;
  const inRunUntilMs = overtaken === undefined ? ledger.inRunUntilMs : Math.max(ledger.inRunUntilMs, ledger.asOfMs + overtaken.runMs);
  return { ...ledger, bookings: ledger.bookings.toSpliced(at, 0, booking), inRunUntilMs };
}

/** @param bookedMs the whole work the booking was made with: all of it has left the queue, done or not. */
export function release(ledger: WorkerLedger, ticket: number, bookedMs: number): WorkerLedger {
  const { workMs, busyMs, upToBusyMs } = ledger.drained;
  return {
    ...ledger,
    bookings: ledger.bookings.filter((booking) => booking.ticket !== ticket),
    drained: {
      workMs: workMs * DRAINED_DECAY + bookedMs,
      busyMs: busyMs * DRAINED_DECAY + ledger.busyMs - upToBusyMs,
      upToBusyMs: ledger.busyMs,
    },
  };
}

export function block(ledger: WorkerLedger, untilMs: number): WorkerLedger {
  return { ...ledger, loadingUntilMs: Math.max(ledger.loadingUntilMs, untilMs) };
}

export function unblock(ledger: WorkerLedger, nowMs: number): WorkerLedger {
  return { ...ledger, loadingUntilMs: Math.min(ledger.loadingUntilMs, nowMs) };
}

/** Work queued, each booking cut at its deadline. */
export function backlogMs(ledger: WorkerLedger, nowMs: number): number {
  return lastEndMs(ledger.bookings, startMs(ledger, nowMs)) - nowMs;
}

/** Booked work that leaves per millisecond of a busy worker; 1 when predictions are right. */
export function drainRate(ledger: WorkerLedger): number {
  return ledger.drained.workMs / ledger.drained.busyMs;
}

export interface Wait {
  /** Until the worker turns to a generation of that deadline. */
  readonly expectedMs: number;
  /** The same if the run under way has only just begun. */
  readonly worstMs: number;
}

export function wait(ledger: WorkerLedger, nowMs: number, deadlineAtMs: number): Wait {
  const earlier = ledger.bookings.filter((booking) => booking.deadlineAtMs <= deadlineAtMs);
  const queuedMs = lastEndMs(earlier, startMs(ledger, nowMs)) - nowMs;
  // With nothing earlier to run, the worker is inside a run of the next booking, if it has one.
  const blockingMs = earlier.length === 0 ? (ledger.bookings[0]?.runMs ?? 0) : 0;
  return { expectedMs: queuedMs + blockingMs / 2, worstMs: queuedMs + blockingMs };
}

/**
 * Whether `workMs` more with this deadline, and a load of `loadMs` before anything else, would take from a later booking what it was
 * promised, or from any booking in the case of a load.
 */
export function crowds(ledger: WorkerLedger, nowMs: number, newcomer: { deadlineAtMs: number; workMs: number; loadMs: number }): boolean {
  let without = startMs(ledger, nowMs);
  let within = without + newcomer.loadMs;
  let arrived = false;
  for (const booking of ledger.bookings) {
    if (!arrived && booking.deadlineAtMs > newcomer.deadlineAtMs) {
      within = endMs(within, newcomer.workMs, newcomer.deadlineAtMs);
      arrived = true;
    }
    const withoutEnd = endMs(without, booking.remainingMs, booking.deadlineAtMs);
    const withinEnd = endMs(within, booking.remainingMs, booking.deadlineAtMs);
    // One that already gets less than promised may not lose more, but does not forbid what leaves it alone.
    const dueMs = Math.min(booking.promisedMs, withoutEnd - without);
    if (withinEnd - within < dueMs - GRACE_MS) return true;
    without = withoutEnd;
    within = withinEnd;
  }
  return false;
}

function startMs(ledger: WorkerLedger, nowMs: number): number {
  return Math.max(nowMs, ledger.loadingUntilMs, ledger.inRunUntilMs);
}

export function lastEndMs(bookings: readonly Booking[], fromMs: number): number {
  return bookings.reduce((end, booking) => endMs(end, booking.remainingMs, booking.deadlineAtMs), fromMs);
}

/** Served from `fromMs` on, it ends with its work or at its deadline, and not before it began. */
function endMs(fromMs: number, workMs: number, deadlineAtMs: number): number {
  return Math.max(fromMs, Math.min(fromMs + workMs, deadlineAtMs));
}
