/** The manifests against the schemas of Kubernetes, Knative and KEDA, and against what the server really is. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject';
import { Service as KnativeService } from '@kubernetes-models/knative/serving.knative.dev/v1/Service';
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import { Service } from 'kubernetes-models/v1/Service';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { readConfig } from '../../../functions/config.js';
import type { RouteReason } from '../../../functions/router/types.js';
import { startServer } from '../../server-process.js';

const FOLDER = 'deploy/kubernetes';
const VARIANTS = ['base', 'autoscaled', 'knative'];
const MODELS = {
  'apps/v1 Deployment': Deployment,
  'v1 Service': Service,
  'policy/v1 PodDisruptionBudget': PodDisruptionBudget,
  'networking.k8s.io/v1 NetworkPolicy': NetworkPolicy,
  'keda.sh/v1alpha1 ScaledObject': ScaledObject,
  'serving.knative.dev/v1 Service': KnativeService,
};

interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
}

function read(path: string): Resource {
  return parse(readFileSync(join(FOLDER, path), 'utf8')) as Resource;
}

const resources = VARIANTS.flatMap((variant) =>
  readdirSync(join(FOLDER, variant))
    .filter((file) => file !== 'kustomization.yaml')
    .map((file) => `${variant}/${file}`),
);

/** The fields of `value` that reading it through the proxy does not touch. */
function watched<T extends object>(value: T, path = ''): { value: T; unread: () => string[] } {
  const children = Object.entries(value).map(([key, child]: [string, unknown]) => {
    const inner = typeof child === 'object' && child !== null ? watched(child, `${path}/${key}`) : undefined;
    return { key, value: inner?.value ?? child, unread: inner?.unread ?? (() => []) };
  });
  const read = new Set<PropertyKey>();
  const proxy = new Proxy(value, {
    get(target, key, receiver) {
      read.add(key);
      return children.find((child) => child.key === key)?.value ?? Reflect.get(target, key, receiver);
    },
  });
  return { value: proxy, unread: () => children.flatMap(({ key, unread }) => (read.has(key) ? unread() : [`${path}/${key}`])) };
}

/** What is wrong with a resource: the schema's complaints, and the fields that no schema knows, which a cluster would drop. */
function complaints(resource: Resource): string[] {
  const Model = MODELS[`${resource.apiVersion} ${resource.kind}` as keyof typeof MODELS];
  if (Model === undefined) return [`no schema for ${resource.apiVersion} ${resource.kind}`];
  const { value, unread } = watched(resource);
  try {
    // On what was parsed itself: a model made from it would copy, and so read, every field.
    (Model.prototype as { validate: () => void }).validate.call(value);
    return unread();
  } catch (error) {
    return [(error as Error).message];
  }
}

describe('every manifest', () => {
  test.each(resources)('%s is what its schema says, without a field that it does not know', (path) => {
    expect(complaints(read(path))).toEqual([]);
  });

  test('that is wrong or misspelt is found', () => {
    const deployment = read('base/deployment.yaml') as Resource & { spec: { replicas: unknown; template: { spec: { containers: object[] } } } };
    expect(complaints({ ...deployment, spec: { ...deployment.spec, replicas: 'two' } } as Resource).join()).toMatch(/replicas must be integer/);
    Object.assign(deployment.spec.template.spec.containers[0]!, { readynessProbe: {} });
    expect(complaints(deployment)).toEqual(['/spec/template/spec/containers/0/readynessProbe']);
  });

  test('is part of its kustomization, and nothing else is', () => {
    for (const variant of VARIANTS) {
      const { resources: listed } = read(`${variant}/kustomization.yaml`) as Resource & { resources: string[] };
      const own = resources.filter((path) => path.startsWith(`${variant}/`)).map((path) => path.slice(variant.length + 1));
      expect(listed.filter((resource) => resource !== '../base').toSorted()).toEqual(own.toSorted());
    }
  });
});

interface Pod {
  readonly terminationGracePeriodSeconds?: number;
  readonly containers: readonly {
    readonly env: readonly { name: string; value: string }[];
    readonly lifecycle?: { preStop: { sleep: { seconds: number } } };
    readonly readinessProbe: { httpGet: { path: string } };
    readonly livenessProbe: { httpGet: { path: string } };
  }[];
}
const podOf = (path: string) => (read(path) as Resource & { spec: { template: { spec: Pod } } }).spec.template.spec;

describe.each(['base/deployment.yaml', 'knative/service.yaml'])('the pod of %s', (path) => {
  const [container] = podOf(path).containers;

  test('has settings that the server takes', () => {
    const environment = Object.fromEntries(container!.env.map(({ name, value }) => [name, value]));
    expect(readConfig({ HOST: '0.0.0.0', ...environment })).toMatchObject({ keysFile: '/etc/stlm/keys.json', pool: { workers: 2 } });
  });

  test('is asked whether it is ready where the server says so, and whether it lives where it always answers', () => {
    expect(container!.readinessProbe.httpGet.path).toBe('/readyz');
    expect(container!.livenessProbe.httpGet.path).toBe('/healthz');
  });
});

test('a pod has the time to drain that the server takes, after the pause before it', () => {
  const { terminationGracePeriodSeconds, containers } = podOf('base/deployment.yaml');
  const drainS = /GRACE_MS = (\d+)_000[^]*HANDOVER_MS = (\d+)_000/.exec(readFileSync('functions/shutdown.ts', 'utf8'))!.slice(1).map(Number);
  expect(terminationGracePeriodSeconds).toBeGreaterThan(containers[0]!.lifecycle!.preStop.sleep.seconds + drainS[0]! + drainS[1]!);
});

test.each(['deploy/README.md', 'deploy/container/Dockerfile', 'deploy/kubernetes/base/deployment.yaml'])('%s says for how long texts go on that are in flight when a server is asked to stop', (path) => {
  const [, graceS] = /GRACE_MS = (\d+)_000/.exec(readFileSync('functions/shutdown.ts', 'utf8'))!;
  // Across the end of a line.
  expect(readFileSync(path, 'utf8')).toMatch(new RegExp(`texts\\s[^.]*\\b${graceS} s|${graceS} s for texts`));
});

test('what the autoscaler asks Prometheus for is what the server counts', async () => {
  const { spec } = read('autoscaled/scaled-object.yaml') as Resource & { spec: { triggers: { metadata: { query: string } }[] } };
  const queries = spec.triggers.map(({ metadata }) => metadata.query).join('\n');
  const server = await startServer();
  const body = JSON.stringify({ model: 'stlm-auto', prompt: 'Once', max_tokens: 8, latency_budget_ms: 10_000 });
  expect((await fetch(`${server.url}/v1/completions`, { method: 'POST', body })).status).toBe(200);
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  await server.stop();
  const [names, selectors] = [[...queries.matchAll(/stlm_\w+/g)], [...queries.matchAll(/(stlm_\w+)\{(\w+)="(\w+)"\}/g)]];
  expect(names.length).toBe(3);
  for (const [name] of names) expect(metrics).toMatch(new RegExp(`^${name}\\{`, 'm'));
  for (const [, name, label] of selectors) expect(metrics).toMatch(new RegExp(`^${name}\\{[^}]*\\b${label}="`, 'm'));
  expect(selectors.map(([, , , value]) => value)).toEqual(['load' satisfies RouteReason, '503']);
});
