export { type CallOptions, type ChatOptions, type CompleteOptions, type Piece, Stlm, type StlmOptions } from './client.js';
export {
  ApiError,
  AuthenticationError,
  BudgetInfeasibleError,
  ConnectionError,
  InvalidRequestError,
  NotFoundError,
  OverloadedError,
  ProtocolError,
  StlmError,
} from './errors.js';
export { tiered, type Use } from './tiered.js';
export type { ChatCompletion } from '../schema/chat.js';
export type { Completion } from '../schema/completion.js';
export type { ChatLogprobs, CompletionLogprobs } from '../schema/logprobs.js';
export type { Model } from '../schema/model.js';
export type { RouteAnswer } from '../schema/route.js';
