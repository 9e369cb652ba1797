import { z } from '@hono/zod-openapi';

/**
 * Refuses a long list, or an object of many keys, before looking inside: zod would collect an issue for every wrong element, a
 * hundred milliseconds of work for one request of a megabyte.
 */
export function bounded<T extends z.ZodType>(most: number, schema: T) {
  return z.preprocess((value, context) => {
    if (entriesOf(value) > most) context.addIssue(`expected at most ${most} entries`);
    return value;
  }, schema);
}

/**
 * A list of 1 to `most` objects, each of which can be wrong in many ways: what is wrong with the first wrong one is said, and the
 * others are not looked at, for the same reason.
 */
export function listOf<T extends z.ZodType>(most: number, element: T) {
  return z.preprocess((value, context) => {
    if (!Array.isArray(value)) return value;
    if (value.length > most) context.addIssue(`expected at most ${most} entries`);
    else addFirstIssue(value, element, context);
    return value;
  }, z.array(element).min(1).max(most));
}

function addFirstIssue(values: readonly unknown[], element: z.ZodType, context: z.core.$RefinementCtx): void {
  for (const [index, value] of values.entries()) {
    const [issue] = element.safeParse(value).error?.issues ?? [];
    if (issue === undefined) continue;
    context.addIssue({ code: 'custom', path: [index, ...issue.path], message: issue.message });
    return;
  }
}

function entriesOf(value: unknown): number {
  if (Array.isArray(value)) return value.length;
  return typeof value === 'object' && value !== null ? Object.keys(value).length : 0;
}
