/** Another server that may answer a request for text, because it runs tiers that this one does not. */
import type { Flight } from '../drain.js';
import type { RouteReason } from '../router/types.js';
import type { TextRequest } from '../schema/request.js';
import type { Plan } from './plan.js';

/** A request for text that has been read, checked and counted here, and may be answered anywhere. */
export interface Movable {
  readonly id: string;
  readonly path: string;
  readonly header: (name: string) => string | undefined;
  readonly body: TextRequest;
  readonly plan: Plan;
  /** Stopping it ends only what is done here. */
  readonly flight: Flight;
}

/** @param reason why it is answered here, if the router cannot know. Rejects with what the router refuses. */
export type Here = (reason?: RouteReason) => Promise<Response>;

export interface Elsewhere {
  /** Answers there or here, inside the budget; `here` is called once at most. The flight has landed unless it was called. */
  answer(request: Movable, here: Here): Promise<Response>;
}
