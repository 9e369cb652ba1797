/** By what models are asked for. Plain zod: settings are read before the server's code is there. */
import { z } from 'zod';

/** Other names that models are asked by, for clients that cannot say another: name to model. */
export type Aliases = ReadonlyMap<string, string>;

export const modelName = z.string().min(1).max(64);

/** `gpt-4o-mini=stlm-auto`, separated by commas. */
export const aliases = z
  .string()
  .transform((list) => list.split(',').map((pair) => pair.split('=').map((part) => part.trim())))
  .pipe(z.array(z.tuple([modelName, modelName])))
  .transform((pairs): Aliases => new Map(pairs));
