import type { Model } from '../schema/model.js';
import type { Aliases } from '../schema/model-name.js';

/** The request with the model that its name is another name for. */
export function unaliased<Body extends { readonly model: string }>(body: Body, aliases: Aliases): Body {
  return { ...body, model: aliases.get(body.model) ?? body.model };
}

/** The models, and once more under each of their other names. */
export function withAliases(models: readonly Model[], aliases: Aliases): Model[] {
  const renamed = Array.from(aliases).flatMap(([alias, name]) => {
    const model = models.find(({ id }) => id === name.split('@')[0]);
    return model === undefined ? [] : [rename(model, alias)];
  });
  return [...models, ...renamed];
}

function rename(model: Model, id: string): Model {
  return { ...model, id };
}
