import { describe, expect, test } from 'vitest';
import { ApiError, ConnectionError, OverloadedError } from '../../../functions/client/errors.js';
import { retryDelayMs } from '../../../functions/client/retry.js';

const fields = { status: 429, code: null, param: null, requestId: undefined };
const overloaded = (retryAfterMs?: number) => new OverloadedError('full', fields, retryAfterMs);
const attempt = { made: 1, maxRetries: 2, remainingMs: 1_000, random: 0.5 };

describe('a retry', () => {
  test('waits as long as the server asks', () => {
    expect(retryDelayMs(overloaded(300), attempt)).toBe(300);
  });

  test('is none if the budget ends before', () => {
    expect(retryDelayMs(overloaded(300), { ...attempt, remainingMs: 300 })).toBeUndefined();
  });

  test('comes later each time, spread by chance, where the server names no time', () => {
    const delays = [1, 2, 3].map((made) => retryDelayMs(new ConnectionError('gone'), { ...attempt, made, maxRetries: 9 }) as number);
    expect(delays).toEqual(delays.toSorted((a, b) => a - b));
    expect(delays[2]! / delays[0]!).toBe(4);
    expect(retryDelayMs(overloaded(), { ...attempt, random: 0 })).toBeLessThan(retryDelayMs(overloaded(), { ...attempt, random: 0.9 }) as number);
  });

  test('ends with the number of retries allowed', () => {
    expect(retryDelayMs(overloaded(), { ...attempt, made: 2 })).toBeDefined();
    expect(retryDelayMs(overloaded(), { ...attempt, made: 3 })).toBeUndefined();
    expect(retryDelayMs(overloaded(), { ...attempt, maxRetries: 0 })).toBeUndefined();
  });

  test('is none for what would only fail again, nor for what is no failure of the server', () => {
    expect(retryDelayMs(new ApiError('no', { ...fields, status: 500 }), attempt)).toBeUndefined();
    expect(retryDelayMs(new DOMException('left', 'AbortError'), attempt)).toBeUndefined();
  });
});
