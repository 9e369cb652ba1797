import { Ajv2020 } from 'ajv/dist/2020.js';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { shortest } from '../../../functions/grammar/automaton.js';
import { GrammarError } from '../../../functions/grammar/errors.js';
import { compileGrammar } from '../../../functions/grammar/grammars.js';
import { seededRandom } from '../../load/seeded.js';
import { matches, writeBlindly } from './walk.js';

const compile = (schema: unknown) => compileGrammar({ kind: 'json_schema', schema });
const blind = (automaton: ReturnType<typeof compile>, seed: number, spare = 60) =>
  new TextDecoder('utf-8', { fatal: true }).decode(writeBlindly(automaton, shortest(automaton) + spare, seededRandom(seed)));

const person = {
  type: 'object',
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 8 },
    age: { type: 'integer', minimum: 0 },
    tags: { type: 'array', items: { enum: ['a/b', 'c"d'] }, minItems: 1, maxItems: 3 },
    born: { type: 'string', format: 'date' },
    code: { type: 'string', pattern: '^[A-Z]{3}$' },
    place: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/point' }] },
  },
  required: ['age', 'code'],
  additionalProperties: false,
  $defs: { point: { type: 'object', properties: { x: { type: 'number' }, y: { type: ['number', 'null'] } }, required: ['x', 'y'], additionalProperties: false } },
};

/** Any schema that is supported, two objects deep. */
const { schema: anySchema } = fc.letrec<{ schema: Record<string, unknown> }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 2, withCrossShrink: true },
    fc.constantFrom({ type: 'string' }, { type: 'integer' }, { type: 'number', minimum: 0 }, { type: 'boolean' }, { type: 'null' }, { type: ['string', 'null'] }, { const: 'x.y' }, { enum: [1, 'b', null, { c: [] }] }),
    fc.record({ type: fc.constant('array'), items: tie('schema'), maxItems: fc.integer({ min: 0, max: 3 }) }),
    fc
      .record({ names: fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'q"', 'é'), { minLength: 1, maxLength: 3 }), values: fc.array(tie('schema'), { minLength: 3, maxLength: 3 }), required: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }) })
      .map(({ names, values, required }) => ({
        type: 'object',
        properties: Object.fromEntries(names.map((name, index) => [name, values[index]])),
        required: names.filter((_, index) => required[index]),
        additionalProperties: false,
      })),
  ),
}));

describe('a JSON schema', () => {
  test('is kept by whoever follows its automaton, whatever the schema, even blindly and in a hurry', () => {
    const ajv = new Ajv2020({ strict: false });
    fc.assert(
      fc.property(anySchema, fc.nat(1_000), fc.nat(80), (schema, seed, spare) => {
        const value: unknown = JSON.parse(blind(compile(schema), seed, spare));
        expect(ajv.validate(schema, value)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('with formats, patterns, references and optional members as well', () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    for (let seed = 0; seed < 40; seed += 1) {
      const value = JSON.parse(blind(compile(person), seed)) as { born?: string };
      expect(ajv.validate(person, value)).toBe(true);
      expect(value.born ?? '2000-01-01').toMatch(/^\d{4}-[01]\d-[0-3]\d$/);
    }
  });

  test('takes what is right and nothing else', () => {
    const automaton = compile(person);
    expect(matches(automaton, '{"age":7,"code":"ABC"}')).toBe(true);
    expect(matches(automaton, '{"name":"Zoë","age":0,"tags":["a/b","c\\"d"],"code":"ABC","place":{"x":-1.5,"y":null}}')).toBe(true);
    for (const wrong of ['{"code":"ABC"}', '{"age":-1,"code":"ABC"}', '{"age":7,"code":"AB"}', '{"age":7,"code":"ABC",}', '{"age":7,"code":"ABC","more":1}', '{"age":07,"code":"ABC"}']) {
      expect(matches(automaton, wrong)).toBe(false);
    }
  });

  test.each([
    ['the schema', 7],
    ['type', { type: 'text' }],
    ['multipleOf', { type: 'integer', multipleOf: 3 }],
    ['properties.age.minimum', { type: 'object', properties: { age: { type: 'integer', minimum: 3 } } }],
    ['properties.name.pattern', { type: 'object', properties: { name: { type: 'string', pattern: '.*' } } }],
    ['properties.name.format', { type: 'object', properties: { name: { type: 'string', format: 'email' } } }],
    // Not what every object inherits.
    ['format', { type: 'string', format: 'constructor' }],
    ['type', { type: 'constructor' }],
    ['$ref', { $ref: '#/__proto__' }],
    ['type', { type: [] }],
    ['anyOf.1.type', { anyOf: [{ type: 'null' }, { type: 'date' }] }],
    ['required', { type: 'object', properties: { a: {} }, required: ['b'] }],
    ['additionalProperties', { type: 'object', properties: { a: {} }, additionalProperties: true }],
    ['items.$ref', { type: 'array', items: { $ref: '#/$defs/none' } }],
    ['not', { not: { type: 'null' } }],
    ['nests deeper', { $ref: '#' }],
    ['maxItems', { type: 'array', maxItems: -1 }],
    ['maxItems', { type: 'array', minItems: 3, maxItems: 1 }],
    ['multipleOf', { type: ['integer', 'null'], multipleOf: 5 }],
    ['additionalProperties', { type: 'object', additionalProperties: { type: 'integer' } }],
    ['maxLength', { type: 'string', pattern: 'a*', maxLength: 3 }],
    ['minLength', { type: 'string', format: 'date', minLength: 3 }],
    ['const', { const: 5, type: 'string' }],
    ['properties', { type: 'object', properties: Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`p${index}`, {}])) }],
  ])('that asks for what is not followed is refused by its place: %s', (place, schema) => {
    expect(() => compile(schema)).toThrow(GrammarError);
    expect(() => compile(schema)).toThrow(place);
  });
});

test('of values written out those count that are of the type', () => {
  const automaton = compile({ enum: [1, 'a', null], type: ['string', 'null'] });
  expect(['"a"', 'null', '1'].map((text) => matches(automaton, text))).toEqual([true, true, false]);
});

describe('json_object', () => {
  test('is an object, whatever is written', () => {
    for (let seed = 0; seed < 60; seed += 1) {
      const value: unknown = JSON.parse(blind(compileGrammar({ kind: 'json_object' }), seed));
      expect(typeof value === 'object' && value !== null && !Array.isArray(value)).toBe(true);
    }
  });
});
