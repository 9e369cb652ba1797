import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { says, ScriptedEngine } from './scripted-engine.js';
import { listen, type TestServer } from './server.js';

let server: TestServer;
let metrics: string;
beforeAll(async () => {
  server = await listen(new ScriptedEngine(says(['once ', 'more'])));
  const body = { model: 'stlm-auto', prompt: 'say', latency_budget_ms: 5_000 };
  await server.post('/v1/completions', body);
  await (await server.post('/v1/completions', { ...body, stream: true })).text();
  await server.post('/v1/completions', { ...body, temperature: 9 });
  await fetch(`${server.url}/v1/models/any-of-a-million-names`);
  metrics = await (await fetch(`${server.url}/metrics`)).text();
});
afterAll(() => server.close());

/** The samples of a metric whose labels include these. */
function value(name: string, labels: Record<string, string>): number {
  const lines = metrics.split('\n').filter((line) => line.startsWith(`${name}{`) && Object.entries(labels).every(([key, one]) => line.includes(`${key}="${one}"`)));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

describe('GET /metrics', () => {
  test('counts answers with text by tier and by whether the budget was kept, streamed or not', () => {
    expect(value('stlm_answers_total', { tier: 'stlm-small', in_budget: 'true', stop_cause: 'eod' })).toBe(2);
    expect(value('stlm_answer_duration_seconds_count', { tier: 'stlm-small' })).toBe(2);
    expect(value('stlm_bytes_total', { direction: 'out' })).toBe(2 * 'once more'.length);
    expect(value('stlm_bytes_total', { direction: 'in' })).toBe(2 * 3);
  });

  test('counts every HTTP answer by the pattern of its route', () => {
    expect(value('stlm_http_requests_total', { route: '/v1/completions', status: '200' })).toBe(2);
    expect(value('stlm_http_requests_total', { route: '/v1/completions', status: '400' })).toBe(1);
    expect(value('stlm_http_requests_total', { route: '/v1/models/:id', status: '404' })).toBe(1);
    expect(metrics).not.toContain('any-of-a-million-names');
  });

  test('says where time and energy went, how good the prediction was, and what state each tier is in', () => {
    expect(value('stlm_stage_seconds_total', { stage: 'decode' })).toBeCloseTo(0.006);
    expect(value('stlm_energy_joules_total', { tier: 'stlm-small', source: 'cpu_time' })).toBeCloseTo(0.1);
    expect(value('stlm_prediction_ratio_count', { tier: 'stlm-small' })).toBe(2);
    expect(value('stlm_tier_state', { tier: 'stlm-small', state: 'ready' })).toBe(1);
    expect(value('stlm_tier_state', { tier: 'stlm-small', state: 'cold' })).toBe(0);
  });

  test('has every metric that the dashboard draws', () => {
    const dashboard = JSON.parse(readFileSync('deploy/grafana/stlm.json', 'utf8')) as { panels: { targets: { expr: string }[] }[] };
    const names = new Set(dashboard.panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => expr.match(/\b(?:stlm|nodejs|process)_[a-z0-9_]+/g) ?? [])));
    expect(names.size).toBeGreaterThan(8);
    expect([...names].filter((name) => !new RegExp(`^${name}[ {]`, 'm').test(metrics))).toEqual([]);
  });
});
