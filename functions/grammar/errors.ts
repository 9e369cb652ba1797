/** The client's own mistakes; the messages are for it to read. */

/** Not a regex, not a schema, or one that this server does not follow. */
export class GrammarError extends Error {
  override name = 'GrammarError';
}

export class GrammarTooLargeError extends GrammarError {
  override name = 'GrammarTooLargeError';
}
