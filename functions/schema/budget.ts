/** Ten minutes: no client waits longer. */
export const MAX_BUDGET_MS = 600_000;
