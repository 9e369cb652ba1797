import { describe, expect, test } from 'vitest';
import { countPromptPatches } from '../../../functions/engine/patch.js';
import { forecastMs, REFERENCE, type TierForecast } from '../../../functions/origin/forecast.js';
import { cautiousMs, measured, UNMEASURED } from '../../../functions/origin/network.js';
import { choosePlace, type View } from '../../../functions/origin/place.js';
import { AUTO, type Decision, type Refusal, type RouteRequest } from '../../../functions/router/types.js';

const [HERE, MEDIUM, LARGE] = ['stlm-10m', 'stlm-50m', 'stlm-100m'] as const;

/** 1 ms a patch read and a byte written, on a tier so many times as slow; certain if `tail` is 1. */
function tier(id: string, slower: number, { waitMs = 0, tail = 1 } = {}): TierForecast {
  const prefillMs = slower * REFERENCE.patches;
  return {
    tier: id,
    verdict: 'fits',
    warm: true,
    load_ms: 0,
    wait_ms: waitMs,
    prefill_ms: prefillMs,
    decode_ms: slower * REFERENCE.bytes,
    predicted_first_byte_ms: tail * (waitMs + prefillMs),
    // In a budget of minutes others may take minutes before it.
    predicted_ms: 600_000,
    planned_bytes: REFERENCE.bytes,
  };
}

function request(more: Partial<RouteRequest> = {}): RouteRequest {
  const patches = 10;
  return {
    id: 'one',
    tier: AUTO,
    arrivalMs: 0,
    budgetMs: 1_000,
    promptBytes: 5 * patches,
    promptPatches: { [HERE]: patches, [MEDIUM]: patches, [LARGE]: patches },
    maxBytes: 90,
    lengthClass: 'plain',
    generations: 1,
    sharesRuns: true,
    ...more,
  };
}

const FORECAST = { worker: 0, waitMs: 0, loadMs: 0, prefillMs: 1, decodeMs: 1, expectedMs: 2, predictedMs: 2, predictedFirstByteMs: 1, plannedBytes: 90, verdict: 'fits' } as const;
const here = (warm = true): Decision => ({
  kind: 'admitted',
  ticket: 1,
  placement: { tier: HERE, worker: 0 },
  reason: 'fits',
  expectedMs: 2,
  predictedMs: 2,
  predictedFirstByteMs: 1,
  deadlineAtMs: 1_000,
  tiers: [{ ...FORECAST, tier: HERE, warm }],
});
const REFUSED: Refusal = { kind: 'unavailable', tiers: [] };
const view = (more: Partial<View> = {}): View => ({ reachable: true, networkMs: 50, forecasts: [tier(HERE, 1), tier(MEDIUM, 2), tier(LARGE, 4)], ...more });

describe('what a tier there takes', () => {
  test('is told from what it takes of the reference', () => {
    expect(REFERENCE.patches).toBe(countPromptPatches(new TextEncoder().encode(REFERENCE.prompt)));
    expect(forecastMs(tier(MEDIUM, 2), request())).toBeCloseTo(2 * (10 + 90));
    expect(forecastMs(tier(MEDIUM, 2, { waitMs: 30 }), request({ generations: 3 }))).toBeCloseTo(30 + 3 * 2 * (10 + 90));
    expect(forecastMs(tier(MEDIUM, 2, { tail: 1.5 }), request())).toBeCloseTo(1.5 * 2 * (10 + 90));
  });
});

describe('a request whose tier is open', () => {
  test.each([
    ['goes there when the way leaves a larger tier time', 260, {}, { where: 'origin', budgetMs: 210 }],
    ['stays when it does not', 240, {}, { where: 'here', reason: 'budget' }],
    ['stays when others are before it there', 400, { forecasts: [tier(MEDIUM, 2, { waitMs: 500 })] }, { where: 'here', reason: 'load' }],
    ['stays when the way alone takes too long', 50, { forecasts: undefined }, { where: 'here', reason: 'budget' }],
    ['stays when nobody is there', 1_000, { reachable: false }, { where: 'here', reason: 'origin_down' }],
    ['goes and sees when nothing is known', 60, { forecasts: undefined }, { where: 'origin', budgetMs: 10 }],
    ['does not go for the tier that is here', 1_000, { forecasts: [tier(HERE, 1)] }, { where: 'here', reason: 'budget' }],
  ])('%s', (_, leftMs, known, place) => {
    expect(choosePlace(request(), leftMs, here(), view(known))).toEqual(place);
  });

  test('goes there while the model here is still to be loaded', () => {
    expect(choosePlace(request(), 200, here(false), view()).where).toBe('origin');
  });

  test('goes there when nothing here can run it, even if only to be refused', () => {
    expect(choosePlace(request(), 20, REFUSED, view({ reachable: false }))).toEqual({ where: 'origin', budgetMs: 1 });
  });

  test('goes only for a tier that can do it', () => {
    expect(choosePlace(request({ eligible: [HERE, LARGE] }), 260, here(), view()).where).toBe('here');
  });
});

test('a request for the tier that is here stays here', () => {
  expect(choosePlace(request({ tier: HERE }), 1_000, here(), view())).toEqual({ where: 'here' });
});

test('the way is as long as it mostly was, whatever an isolate was doing when one answer came', () => {
  const network = [20, 22, 900, 21, 19, 20, 23].reduce(measured, UNMEASURED);
  expect(cautiousMs(network)).toBeGreaterThan(20);
  expect(cautiousMs(network)).toBeLessThan(30);
});
