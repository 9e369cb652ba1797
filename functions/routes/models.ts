import { createRoute, z } from '@hono/zod-openapi';
import { type Model, modelListSchema, modelSchema } from '../schema/model.js';
import type { Manifest } from '../schema/manifest.js';
import { withAliases } from './aliases.js';
import { unknownModel } from './api-error.js';
import type { App, AppDeps } from './context.js';
import { errorResponses } from './documented-errors.js';
import { REQUEST_ID, TRACE } from './documented-headers.js';
import { AUTO_MODEL } from './plan.js';

const listRoute = createRoute({
  method: 'get',
  path: '/v1/models',
  operationId: 'listModels',
  tags: ['Tiers'],
  summary: 'The tiers, smallest first, and the route over them',
  responses: { 200: { description: 'All models.', headers: { ...REQUEST_ID, ...TRACE }, content: { 'application/json': { schema: modelListSchema } } }, ...errorResponses(401, 405) },
});

const oneRoute = createRoute({
  method: 'get',
  path: '/v1/models/{id}',
  operationId: 'retrieveModel',
  tags: ['Tiers'],
  summary: 'One model',
  request: { params: z.object({ id: z.string().min(1).meta({ description: 'Of `GET /v1/models`.', example: 'stlm-auto' }) }) },
  responses: { 200: { description: 'The model.', headers: { ...REQUEST_ID, ...TRACE }, content: { 'application/json': { schema: modelSchema } } }, ...errorResponses(401, 404, 405) },
});

export function registerModels(app: App, { engine, aliases }: Pick<AppDeps, 'engine' | 'aliases'>): void {
  app.openAPIRegistry.registerPath(listRoute);
  app.get('/v1/models', function models(c) {
    return c.json({ object: 'list' as const, data: listModels(engine, aliases) });
  });

  app.openAPIRegistry.registerPath(oneRoute);
  app.get('/v1/models/:id', function model(c) {
    const id = c.req.param('id');
    const found = listModels(engine, aliases).find((one) => one.id === id);
    if (!found) throw unknownModel(id);
    return c.json(found);
  });
}

function listModels(engine: AppDeps['engine'], aliases: AppDeps['aliases']): Model[] {
  const states = new Map(engine.status().map((tier) => [tier.id, tier.state]));
  const tiers = engine.manifests.map((manifest) => describe(manifest, states.get(manifest.id) ?? 'cold'));
  const newest = Math.max(0, ...tiers.map(({ created }) => created));
  return withAliases([{ id: AUTO_MODEL, object: 'model', created: newest, owned_by: 'stlm' }, ...tiers], aliases);
}

function describe(manifest: Manifest, state: NonNullable<Model['stlm']>['state']): Model {
  const { id, parameters, context, defaultPrecision, evaluation, chat, infill = false } = manifest;
  return {
    id,
    object: 'model',
    created: Math.floor(Date.parse(evaluation?.date ?? '') / 1_000) || 0,
    owned_by: 'stlm',
    stlm: {
      state,
      parameters: parameters.unique,
      context_patches: context.patches,
      precision: defaultPrecision,
      chat: chat !== undefined,
      infill,
      ...(evaluation && { bits_per_byte: evaluation.mean }),
    },
  };
}
