/**
 * The metrics in Prometheus' format, by prom-client. Names, units and labels follow https://prometheus.io/docs/practices/naming/; the
 * dashboard in `deploy/grafana` reads them.
 *
 * @module
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Engine, TierState } from '../engine/types.js';
import type { StlmReport, Usage } from '../schema/answer.js';
import type { Exchange, Metrics } from './metrics.js';

/** From what one patch takes to the longest budgets. */
const SECONDS = [0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5, 0.8, 1.2, 2, 3, 5, 10, 30];
/** Around 1: actual over expected. */
const RATIOS = [0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 1, 1.05, 1.1, 1.15, 1.2, 1.3, 1.5, 2, 3, 5];
const STATES: readonly TierState[] = ['cold', 'loading', 'ready', 'quarantined'];

export class PrometheusMetrics implements Metrics {
  readonly #registry = new Registry();
  readonly #exchanges = new Counter({
    name: 'stlm_http_requests_total',
    help: 'HTTP answers.',
    labelNames: ['method', 'route', 'status'],
    registers: [this.#registry],
  });
  readonly #exchangeSeconds = new Histogram({
    name: 'stlm_http_request_duration_seconds',
    help: 'Arrival to the end of the answer.',
    labelNames: ['route'],
    buckets: SECONDS,
    registers: [this.#registry],
  });
  readonly #answers = new Counter({
    name: 'stlm_answers_total',
    help: 'Answers with text, by the tier that wrote them, why it was chosen, why the text ended and whether the budget was kept.',
    labelNames: ['tier', 'route_reason', 'stop_cause', 'in_budget'],
    registers: [this.#registry],
  });
  readonly #answerSeconds = this.#byTier('stlm_answer_duration_seconds', 'Arrival to the last byte of text.', SECONDS);
  readonly #firstByteSeconds = this.#byTier('stlm_time_to_first_byte_seconds', 'Arrival to the first byte of text.', SECONDS);
  readonly #predictionRatio = this.#byTier('stlm_prediction_ratio', 'Actual time over the time expected before the first run.', RATIOS);
  readonly #stageSeconds = new Counter({
    name: 'stlm_stage_seconds_total',
    help: 'Time of answers by stage: queue, load, prefill, decode.',
    labelNames: ['tier', 'stage'],
    registers: [this.#registry],
  });
  readonly #bytes = new Counter({
    name: 'stlm_bytes_total',
    help: 'Bytes read of prompts, and written.',
    labelNames: ['tier', 'direction'],
    registers: [this.#registry],
  });

  readonly #joules = new Counter({
    name: 'stlm_energy_joules_total',
    help: 'Estimated energy of answers with text, by where the estimate of power comes from.',
    labelNames: ['tier', 'source'],
    registers: [this.#registry],
  });

  readonly #tierState = new Gauge({
    name: 'stlm_tier_state',
    help: '1 for the state that a tier is in.',
    labelNames: ['tier', 'state'],
    registers: [this.#registry],
  });
  readonly #engine: Pick<Engine, 'status'>;

  /** @param engine its tiers' states are read when the metrics are. */
  constructor(engine: Pick<Engine, 'status'>) {
    collectDefaultMetrics({ register: this.#registry });
    this.#engine = engine;
  }

  exchanged({ method, route, status, ms }: Exchange): void {
    this.#exchanges.inc({ method, route, status: String(status) });
    this.#exchangeSeconds.observe({ route }, ms / 1_000);
  }

  answered(report: StlmReport, usage: Usage): void {
    const { tier, route_reason, stop_cause, actual_ms: actualMs, expected_ms: expectedMs } = report;
    this.#answers.inc({ tier, route_reason, stop_cause, in_budget: String(actualMs <= report.budget_ms) });
    this.#answerSeconds.observe({ tier }, actualMs / 1_000);
    this.#firstByteSeconds.observe({ tier }, report.time_to_first_byte_ms / 1_000);
    if (expectedMs > 0) this.#predictionRatio.observe({ tier }, actualMs / expectedMs);
    const stages = { queue: report.queue_ms, load: report.load_ms, prefill: report.prefill_ms, decode: report.decode_ms };
    for (const [stage, ms] of Object.entries(stages)) this.#stageSeconds.inc({ tier, stage }, ms / 1_000);
    this.#bytes.inc({ tier, direction: 'in' }, usage.prompt_tokens);
    this.#bytes.inc({ tier, direction: 'out' }, usage.completion_tokens);
    this.#joules.inc({ tier, source: report.energy_source }, report.energy_joules);
  }

  async render(): Promise<{ contentType: string; body: string }> {
    // A release that was retired may have had other tiers.
    this.#tierState.reset();
    for (const { id: tier, state } of this.#engine.status()) {
      for (const one of STATES) this.#tierState.set({ tier, state: one }, one === state ? 1 : 0);
    }
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() };
  }

  #byTier(name: string, help: string, buckets: number[]): Histogram<'tier'> {
    return new Histogram({ name, help, labelNames: ['tier'], buckets, registers: [this.#registry] });
  }
}
