import { type ApiError, methodNotAllowed, notFound } from './api-error.js';
import type { App } from './context.js';

/** What to say of a request that no route takes: that the path has other methods, or that there is no such path. */
export function unserved(app: App, method: string, path: string): ApiError {
  const methods = app.openAPIRegistry.definitions.flatMap((definition) =>
    definition.type === 'route' && matches(definition.route.path, path) ? [definition.route.method.toUpperCase()] : [],
  );
  if (methods.length === 0) return notFound(method, path);
  return methodNotAllowed(method, path, methods.includes('GET') ? [...methods, 'HEAD'] : methods);
}

/** @param template as the document writes it: `/v1/models/{id}`. */
function matches(template: string, path: string): boolean {
  const [wanted, given] = [template.split('/'), path.split('/')];
  return wanted.length === given.length && wanted.every((part, index) => part === given[index] || (part.startsWith('{') && given[index] !== ''));
}
