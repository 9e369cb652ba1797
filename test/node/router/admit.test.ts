import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { advance, backlogMs, block, book, type Booking, crowds, drainRate, idleLedger, reestimate, release, unblock, wait, type WorkerLedger } from '../../../functions/router/admit.js';

const BEGIN_MS = 1_000;

const bookings = fc
  .array(
    fc.record({
      deadlineAtMs: fc.integer({ min: BEGIN_MS + 1, max: BEGIN_MS + 300 }),
      remainingMs: fc.integer({ min: 1, max: 120 }),
      // Not fc.double: it draws among representable numbers, so nearly always about 0, and nothing promised can be taken.
      promised: fc.integer({ min: 0, max: 100 }).map((percent) => percent / 100),
    }),
    { maxLength: 8 },
  )
  .map((rows) => rows.map(({ deadlineAtMs, remainingMs, promised }, ticket): Booking => ({ ticket, deadlineAtMs, remainingMs, promisedMs: promised * remainingMs, runMs: 1 })));

function ledgerOf(rows: readonly Booking[]): WorkerLedger {
  return { ...rows.reduce(book, idleLedger(BEGIN_MS)), inRunUntilMs: BEGIN_MS };
}

/** What each ticket is served, by stepping an earliest-deadline-first worker a millisecond at a time: slow, and plainly right. */
function servedMs(rows: readonly Booking[], fromMs: number): Map<number, number> {
  const left = rows.map(({ ticket, deadlineAtMs, remainingMs }) => ({ ticket, deadlineAtMs, remainingMs }));
  const served = new Map(rows.map(({ ticket }) => [ticket, 0]));
  for (let now = fromMs; now < BEGIN_MS + 300; now += 1) {
    const next = left
      .filter(({ deadlineAtMs, remainingMs }) => remainingMs > 0 && deadlineAtMs > now)
      .toSorted((a, b) => a.deadlineAtMs - b.deadlineAtMs || a.ticket - b.ticket)[0];
    if (next === undefined) continue;
    next.remainingMs -= 1;
    served.set(next.ticket, (served.get(next.ticket) ?? 0) + 1);
  }
  return served;
}

describe('a worker ledger', () => {
  test('keeps the earliest deadline first, and among equals the first come', () => {
    fc.assert(
      fc.property(bookings, (rows) => {
        const order = ledgerOf(rows).bookings.map(({ deadlineAtMs, ticket }) => [deadlineAtMs, ticket]);
        expect(order).toEqual(order.toSorted(([a = 0, s = 0], [b = 0, t = 0]) => a - b || s - t));
      }),
    );
  });

  test('lets time pass into the work of the earliest deadline, to its last run, and into no other until that one is released', () => {
    fc.assert(
      fc.property(bookings, fc.integer({ min: 0, max: 500 }), (rows, passedMs) => {
        fc.pre(rows.length > 0);
        const before = ledgerOf(rows);
        const after = advance(before, BEGIN_MS + passedMs);
        const [first, ...others] = before.bookings as [Booking, ...Booking[]];
        expect(after.bookings[0]?.remainingMs).toBeCloseTo(Math.max(Math.min(first.remainingMs, first.runMs), first.remainingMs - passedMs), 6);
        expect(after.bookings.slice(1)).toEqual(others);
      }),
    );
  });

  test('holds what outlasts its estimate against newcomers, not against those who were promised time', () => {
    const rows = [
      { ticket: 1, deadlineAtMs: BEGIN_MS + 500, remainingMs: 40, promisedMs: 40, runMs: 10 },
      { ticket: 2, deadlineAtMs: BEGIN_MS + 600, remainingMs: 100, promisedMs: 100, runMs: 10 },
    ];
    const late = advance(ledgerOf(rows), BEGIN_MS + 200);
    expect(wait(late, BEGIN_MS + 200, BEGIN_MS + 700).expectedMs).toBe(110);
    const newcomer = { deadlineAtMs: BEGIN_MS + 550, workMs: 350, loadMs: 0 };
    expect(crowds(late, BEGIN_MS + 200, newcomer)).toBe(true);
  });

  test('knows how busy its worker was of late', () => {
    const busy = ledgerOf([{ ticket: 1, deadlineAtMs: Infinity, remainingMs: 1e9, promisedMs: 0, runMs: 1 }]);
    const afterBusy = advance(busy, BEGIN_MS + 30_000);
    expect(afterBusy.utilisation).toBeGreaterThan(0.95);
    expect(advance(release(afterBusy, 1, 0), BEGIN_MS + 60_000).utilisation).toBeLessThan(0.05);
  });

  test('predicts the wait that an earliest-deadline-first worker gives', () => {
    fc.assert(
      fc.property(bookings, fc.integer({ min: BEGIN_MS + 1, max: BEGIN_MS + 300 }), (rows, deadlineAtMs) => {
        const earlier = rows.filter((row) => row.deadlineAtMs <= deadlineAtMs);
        fc.pre(earlier.length > 0);
        const total = [...servedMs(earlier, BEGIN_MS).values()].reduce((sum, ms) => sum + ms, 0);
        expect(wait(ledgerOf(rows), BEGIN_MS, deadlineAtMs).expectedMs).toBeCloseTo(total, 6);
      }),
    );
  });

  test('calls a newcomer crowding exactly when it takes promised time from a later booking', () => {
    const newcomers = fc.record({ deadlineAtMs: fc.integer({ min: BEGIN_MS + 1, max: BEGIN_MS + 300 }), workMs: fc.integer({ min: 1, max: 120 }) });
    let crowded = 0;
    fc.assert(
      fc.property(bookings, newcomers, (rows, newcomer) => {
        const extra: Booking = { ticket: 99, ...newcomer, remainingMs: newcomer.workMs, promisedMs: 0, runMs: 1 };
        const without = servedMs(rows, BEGIN_MS);
        const within = servedMs([...rows, extra], BEGIN_MS);
        const robbed = rows.some(({ ticket, promisedMs }) => (within.get(ticket) ?? 0) < Math.min(promisedMs, without.get(ticket) ?? 0) - 0.5);
        if (robbed) crowded += 1;
        expect(crowds(ledgerOf(rows), BEGIN_MS, { ...newcomer, loadMs: 0 })).toBe(robbed);
      }),
      { numRuns: 300 },
    );
    expect(crowded).toBeGreaterThan(10);
  });

  test('does not let a load push a tight booking past its deadline, and lets it when there is slack', () => {
    const tight = ledgerOf([{ ticket: 1, deadlineAtMs: BEGIN_MS + 50, remainingMs: 40, promisedMs: 40, runMs: 1 }]);
    const slack = ledgerOf([{ ticket: 1, deadlineAtMs: BEGIN_MS + 500, remainingMs: 40, promisedMs: 40, runMs: 1 }]);
    const load = { deadlineAtMs: Infinity, workMs: 0, loadMs: 200 };
    expect(crowds(tight, BEGIN_MS, load)).toBe(true);
    expect(crowds(slack, BEGIN_MS, load)).toBe(false);
  });

  test('makes a newcomer wait for a load, and no longer once it is done', () => {
    const loading = block(idleLedger(BEGIN_MS), BEGIN_MS + 200);
    expect(wait(loading, BEGIN_MS, BEGIN_MS + 1_000).expectedMs).toBe(200);
    expect(wait(unblock(loading, BEGIN_MS + 10), BEGIN_MS + 10, BEGIN_MS + 1_000).expectedMs).toBe(0);
  });

  test('makes a newcomer with the earliest deadline wait at worst for the run under way', () => {
    const ledger = ledgerOf([{ ticket: 1, deadlineAtMs: BEGIN_MS + 500, remainingMs: 300, promisedMs: 0, runMs: 60 }]);
    expect(wait(ledger, BEGIN_MS, BEGIN_MS + 100)).toEqual({ expectedMs: 30, worstMs: 60 });
    const overtaken = book(ledger, { ticket: 2, deadlineAtMs: BEGIN_MS + 90, remainingMs: 5, promisedMs: 5, runMs: 1 });
    expect(wait(overtaken, BEGIN_MS, BEGIN_MS + 100).worstMs).toBe(65);
    expect(wait(reestimate(overtaken, 2, 3, 1), BEGIN_MS, BEGIN_MS + 100).worstMs).toBe(3);
  });

  test('measures how fast booked work really leaves: half as fast when everything takes twice as long', () => {
    let ledger = idleLedger(0);
    for (let ticket = 0; ticket < 100; ticket += 1) {
      ledger = book(ledger, { ticket, deadlineAtMs: Infinity, remainingMs: 10, promisedMs: 0, runMs: 1 });
      ledger = release(advance(ledger, (ticket + 1) * 20), ticket, 10);
    }
    expect(drainRate(ledger)).toBeCloseTo(0.5, 1);
    expect(backlogMs(ledger, 2_000)).toBe(0);
  });
});
