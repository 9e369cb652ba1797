/** Requests and answers for the OpenAPI document. The answers are those of a server with the committed tiers. */
import type { ChatChunk, ChatCompletion, ChatRequest } from '../schema/chat.js';
import type { Completion, CompletionChunk, CompletionRequest } from '../schema/completion.js';

const REPORT = {
  tier: 'stlm-100m',
  route_reason: 'fits',
  load_state: 'warm',
  stop_cause: 'length',
  budget_ms: 300,
  budget_source: 'model',
  expected_ms: 56,
  predicted_ms: 73.5,
  actual_ms: 68.3,
  time_to_first_byte_ms: 13.4,
  bytes_per_second: 1_276,
  queue_ms: 2.8,
  load_ms: 0,
  prefill_ms: 7.3,
  decode_ms: 55.4,
  prompt_patches: 4,
  decoded_patches: 15,
  context_truncated: false,
  energy_joules: 0.314,
  energy_source: 'cpu_time',
  energy_watts_per_core: 5,
} satisfies Completion['stlm'];

export const COMPLETION_REQUESTS = {
  budget: {
    summary: 'Within 300 ms',
    value: { model: 'stlm-auto@300ms', prompt: 'Once upon a time', max_tokens: 80, seed: 7 } satisfies CompletionRequest,
  },
  schema: {
    summary: 'In the form of a JSON schema',
    value: {
      model: 'stlm-auto',
      prompt: 'The weather in Oslo: ',
      max_tokens: 80,
      latency_budget_ms: 500,
      response_format: {
        type: 'json_schema',
        json_schema: {
          schema: {
            type: 'object',
            properties: { sky: { enum: ['clear', 'cloudy', 'rain'] }, degrees: { type: 'integer' } },
            required: ['sky', 'degrees'],
            additionalProperties: false,
          },
        },
      },
    } satisfies CompletionRequest,
  },
  raw: {
    summary: 'Raw bytes',
    value: { model: 'stlm-10m', prompt: [79, 110, 99, 101], max_tokens: 16 } satisfies CompletionRequest,
  },
};

export const COMPLETION: Completion = {
  id: 'cmpl-df59bb76-4872-45ef-b486-c8e892c7a38b',
  object: 'text_completion',
  created: 1_795_572_337,
  model: 'stlm-100m',
  choices: [
    {
      text: " Panch Watchtent's offm\n\nEven buyers, he won a golden door and feels that would ",
      index: 0,
      logprobs: null,
      finish_reason: 'length',
    },
  ],
  usage: { prompt_tokens: 16, completion_tokens: 80, total_tokens: 96, prompt_tokens_details: { cached_tokens: 0 } },
  stlm: REPORT,
};

const { usage: _, stlm: __, ...SHARED } = COMPLETION;
export const COMPLETION_CHUNK: CompletionChunk = { ...SHARED, choices: [{ text: ' Panch', index: 0, logprobs: null, finish_reason: null }] };

export const CHAT_REQUESTS = {
  budget: {
    summary: 'Within 300 ms',
    value: {
      model: 'stlm-auto@300ms',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'What is rain?' },
      ],
      seed: 7,
    } satisfies ChatRequest,
  },
};

export const CHAT_COMPLETION: ChatCompletion = {
  id: 'chatcmpl-dce1591f-f4a0-466c-a42c-b3e16a973eef',
  object: 'chat.completion',
  created: 1_795_572_338,
  model: 'stlm-100m',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Art long! Where should I home?', refusal: null }, logprobs: null, finish_reason: 'stop' }],
  usage: { prompt_tokens: 27, completion_tokens: 30, total_tokens: 57, prompt_tokens_details: { cached_tokens: 0 } },
  stlm: { ...REPORT, stop_cause: 'eod', actual_ms: 49.1 },
};

export const CHAT_CHUNK: ChatChunk = {
  id: CHAT_COMPLETION.id,
  object: 'chat.completion.chunk',
  created: CHAT_COMPLETION.created,
  model: CHAT_COMPLETION.model,
  choices: [{ index: 0, delta: { content: 'Art ' }, logprobs: null, finish_reason: null }],
};
