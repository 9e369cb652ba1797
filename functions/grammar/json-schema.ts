/**
 * JSON Schema (draft 2020-12) as a regular expression, for as much of it as one can say. Whatever else a schema asks for is refused by
 * its place, so that nobody believes it was followed.
 *
 * @module
 */
import { NFA } from 'refa';
import { GrammarError, GrammarTooLargeError } from './errors.js';
import { anyObject, anyValue, arrayOf, BOOLEAN, INTEGER, literal, type Member, NATURAL, NULL, NUMBER, objectOf, POSITIVE_NUMBER, stringOf } from './json.js';
import { parseRegex } from './regex.js';

type Schema = Readonly<Record<string, unknown>>;

/** Each combination of members that may be absent is an alternative of its own. */
const MOST_MEMBERS = 200;
/** Values of a schema that says nothing of them nest so deep. */
const FREE_DEPTH = 2;
const MAX_DEPTH = 12;
/** Repeating a schema inside a schema multiplies: before the regex library would notice. */
const MAX_SOURCE = 200_000;

const ANNOTATIONS = new Set(['title', 'description', 'default', 'examples', '$schema', '$id', '$comment', '$defs', 'definitions', 'deprecated', 'readOnly', 'writeOnly']);

const DATE = String.raw`[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])`;
const TIME = String.raw`(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])`;
const FORMATS: ReadonlyMap<unknown, string> = new Map([
  ['date', DATE],
  ['time', TIME],
  ['date-time', `${DATE}T${TIME}`],
  ['uuid', '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'],
]);

/** @throws {GrammarError} naming the place, as `properties.age.multipleOf` */
export function schemaRegex(schema: unknown): string {
  return valueOf(schema, { root: schema, path: [], depth: 0 });
}

interface Place {
  readonly root: unknown;
  readonly path: readonly (string | number)[];
  readonly depth: number;
}

function valueOf(schema: unknown, place: Place): string {
  if (schema === true) return anyValue(FREE_DEPTH);
  if (!isSchema(schema)) throw wrong(place, 'expected a schema');
  if (place.depth > MAX_DEPTH) throw wrong(place, `nests deeper than ${MAX_DEPTH}, or without end`);
  const source = oneOf(schema, place);
  if (source.length > MAX_SOURCE) throw new GrammarTooLargeError('it is too large');
  return source;
}

function oneOf(schema: Schema, place: Place): string {
  if ('$ref' in schema) return only(schema, place, ['$ref'], () => referred(schema['$ref'], place));
  if ('const' in schema) return only(schema, place, ['const', 'type'], () => oneOfThese([schema['const']], schema, inside(place, 'const')));
  if ('enum' in schema) return only(schema, place, ['enum', 'type'], () => oneOfThese(listAt(schema, 'enum', place), schema, inside(place, 'enum')));
  for (const key of ['anyOf', 'oneOf'] as const) {
    if (key in schema) return only(schema, place, [key], () => any(listAt(schema, key, place).map((one, index) => valueOf(one, inside(place, key, index)))));
  }
  const { type } = schema;
  if (type === undefined && 'properties' in schema) return only(schema, place, KEYWORDS['object'] as string[], () => typed('object', schema, place));
  if (type === undefined) return only(schema, place, [], () => anyValue(FREE_DEPTH));
  const types = Array.isArray(type) ? listAt(schema, 'type', place) : [type];
  const keywords = ['type', ...types.flatMap((one) => KEYWORDS[String(one)] ?? [])];
  return only(schema, place, keywords, () => any(types.map((one) => typed(one, schema, place))));
}

/** Values that are written out, as far as they are of the type that is asked for too. */
function oneOfThese(values: readonly unknown[], { type }: Schema, place: Place): string {
  const types: readonly unknown[] = Array.isArray(type) ? type : [type];
  const fitting = type === undefined ? values : values.filter((value) => types.some((one) => isOfType(value, one)));
  if (fitting.length === 0) throw wrong(place, 'has no value of the type');
  return any(fitting.map(literal));
}

function isOfType(value: unknown, type: unknown): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isSchema(value);
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}

/** What each type is followed in. */
const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  string: ['minLength', 'maxLength', 'pattern', 'format'],
  integer: ['minimum'],
  number: ['minimum'],
  array: ['items', 'minItems', 'maxItems'],
  object: ['properties', 'required', 'additionalProperties'],
};

function typed(type: unknown, schema: Schema, place: Place): string {
  switch (type) {
    case 'string':
      return textOf(schema, place);
    case 'integer':
      return isFromZero(schema, place) ? NATURAL : INTEGER;
    case 'number':
      return isFromZero(schema, place) ? POSITIVE_NUMBER : NUMBER;
    case 'boolean':
      return BOOLEAN;
    case 'null':
      return NULL;
    case 'array': {
      const items = 'items' in schema ? valueOf(schema['items'], inside(place, 'items')) : anyValue(FREE_DEPTH);
      return arrayOf(items, ...boundsAt(schema, 'minItems', 'maxItems', place));
    }
    case 'object':
      return membersOf(schema, place);
    default:
      throw wrong(inside(place, 'type'), 'expected string, number, integer, boolean, null, array or object');
  }
}

function textOf(schema: Schema, place: Place): string {
  const { format, pattern } = schema;
  const form = (['format', 'pattern'] as const).find((key) => key in schema);
  const other = form && ['minLength', 'maxLength', 'pattern'].find((key) => key !== form && key in schema);
  if (other !== undefined) throw wrong(inside(place, other), `not supported beside ${form}`);
  if (format !== undefined) {
    const source = FORMATS.get(format);
    if (source === undefined) throw wrong(inside(place, 'format'), `expected date, time, date-time or uuid`);
    return `"${source}"`;
  }
  if (pattern !== undefined) return `"(?:${plainPattern(pattern, inside(place, 'pattern'))})"`;
  return stringOf(...boundsAt(schema, 'minLength', 'maxLength', place));
}

/** A pattern that would match what JSON has to escape cannot be written between quotes as it is. */
function plainPattern(pattern: unknown, place: Place): string {
  if (typeof pattern !== 'string') throw wrong(place, 'expected a regular expression');
  try {
    const { nfa, source } = parseRegex(pattern);
    const { nfa: escaped } = parseRegex(String.raw`[^]*["\\\x00-\x1f][^]*`);
    if (!NFA.fromIntersection(nfa, escaped).isEmpty) throw new GrammarError('matches characters that JSON has to escape: say which ones it should match instead of "."');
    return source;
  } catch (error) {
    throw wrong(place, (error as Error).message);
  }
}

function membersOf(schema: Schema, place: Place): string {
  const { properties = {}, additionalProperties = false } = schema;
  if (!isSchema(properties)) throw wrong(inside(place, 'properties'), 'expected an object of schemas');
  const required = 'required' in schema ? listAt(schema, 'required', place) : [];
  const unknown = required.find((name) => !Object.hasOwn(properties, String(name)));
  if (unknown !== undefined) throw wrong(inside(place, 'required'), `names ${JSON.stringify(unknown)}, which is not in properties`);
  const names = Object.keys(properties);
  if (names.length > MOST_MEMBERS) throw wrong(inside(place, 'properties'), `more than ${MOST_MEMBERS}`);
  const isOpen = names.length === 0 && (!('additionalProperties' in schema) || additionalProperties === true);
  if (isOpen) return anyObject(FREE_DEPTH);
  if (additionalProperties !== false) throw wrong(inside(place, 'additionalProperties'), names.length === 0 ? 'expected true or false' : 'only false is supported beside properties');
  const members = names.map((name): Member => {
    const value = valueOf(properties[name], inside(place, 'properties', name));
    return { name, value, required: required.includes(name) };
  });
  return objectOf(members);
}

function referred(reference: unknown, place: Place): string {
  const [, ...keys] = /^#(?:\/.*)?$/.test(String(reference)) ? String(reference).split('/') : [undefined, undefined];
  const target = keys.reduce<unknown>((at, key) => (isSchema(at) && key !== undefined ? own(at, key.replaceAll('~1', '/').replaceAll('~0', '~')) : undefined), place.root);
  if (target === undefined) throw wrong(inside(place, '$ref'), 'expected the place of a schema in this document, as #/$defs/name');
  return valueOf(target, inside(place, '$ref'));
}

function isFromZero(schema: Schema, place: Place): boolean {
  if (!('minimum' in schema)) return false;
  if (schema['minimum'] !== 0) throw wrong(inside(place, 'minimum'), 'only 0 is supported');
  return true;
}

function listAt(schema: Schema, key: string, place: Place): readonly unknown[] {
  const list = schema[key];
  if (!Array.isArray(list) || (list.length === 0 && key !== 'required')) throw wrong(inside(place, key), 'expected a list that is not empty');
  return list;
}

/** The least and the most of something. */
function boundsAt(schema: Schema, least: string, most: string, place: Place): [number, number | undefined] {
  const [from, to] = [countAt(schema, least, place) ?? 0, countAt(schema, most, place)];
  if (to !== undefined && to < from) throw wrong(inside(place, most), `less than ${least}`);
  return [from, to];
}

function countAt(schema: Schema, key: string, place: Place): number | undefined {
  const count = schema[key];
  if (count !== undefined && !(Number.isInteger(count) && (count as number) >= 0)) throw wrong(inside(place, key), 'expected a whole number from 0');
  return count as number | undefined;
}

/** @throws {GrammarError} for a keyword that would not be followed */
function only(schema: Schema, place: Place, keywords: readonly string[], make: () => string): string {
  const other = Object.keys(schema).find((key) => !keywords.includes(key) && !ANNOTATIONS.has(key));
  if (other !== undefined) throw wrong(inside(place, other), 'not supported here');
  return make();
}

function any(sources: readonly string[]): string {
  return sources.length === 1 ? (sources[0] as string) : `(?:${sources.join('|')})`;
}

function inside(place: Place, ...keys: readonly (string | number)[]): Place {
  return { ...place, path: [...place.path, ...keys], depth: place.depth + 1 };
}

function wrong({ path }: Place, message: string): GrammarError {
  return new GrammarError(`${path.join('.') || 'the schema'}: ${message}`);
}

function own(schema: Schema, key: string): unknown {
  return Object.hasOwn(schema, key) ? schema[key] : undefined;
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
