/** The client's own mistake, for it to read: not a regex, not a schema, or one that this server does not follow. */
export class GrammarError extends Error {
  override name = 'GrammarError';
}

export class GrammarTooLargeError extends GrammarError {
  override name = 'GrammarTooLargeError';
}

export class NoTextError extends GrammarError {
  override name = 'NoTextError';
  constructor() {
    super('no text matches it');
  }
}

/** No fault of this client's: too many compile at once. */
export class GrammarBusyError extends Error {
  override name = 'GrammarBusyError';
}
