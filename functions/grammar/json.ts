/**
 * JSON as regular expressions: compact, without blanks between its parts, and nested no deeper than an automaton can count.
 *
 * @module
 */

const CHARACTER = String.raw`(?:[^"\\\x00-\x1f\x7f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))`;

/** No longer than a double can tell apart, and finite. */
export const INTEGER = String.raw`-?(?:0|[1-9][0-9]{0,14})`;
export const NATURAL = String.raw`(?:0|[1-9][0-9]{0,14})`;
const FRACTION = String.raw`(?:\.[0-9]{1,15})?(?:[eE][+-]?[0-9]{1,2})?`;
export const NUMBER = INTEGER + FRACTION;
export const POSITIVE_NUMBER = NATURAL + FRACTION;
export const BOOLEAN = '(?:true|false)';
export const NULL = 'null';

export function stringOf(least = 0, most?: number): string {
  return `"${CHARACTER}${times(least, most)}"`;
}

export function arrayOf(item: string, least = 0, most?: number): string {
  if (most === 0) return String.raw`\[\]`;
  const items = `${item}(?:,${item})${times(Math.max(0, least - 1), most === undefined ? undefined : most - 1)}`;
  return String.raw`\[${least === 0 ? `(?:${items})?` : items}\]`;
}

export interface Member {
  readonly name: string;
  readonly value: string;
  readonly required: boolean;
}

/** In the order given; those that are not required may be absent. */
export function objectOf(members: readonly Member[]): string {
  const texts = members.map(({ name, value, required }) => ({ text: `${literal(name)}:${value}`, required }));
  const after = (from: number) => texts.slice(from).map(({ text, required }) => (required ? `,${text}` : `(?:,${text})?`)).join('');
  const pivot = texts.findIndex(({ required }) => required);
  // Commas stand between members: around one that is surely there, or around whichever is the first.
  const before = texts.slice(0, pivot).map(({ text }) => `(?:${text},)?`).join('');
  const firsts = texts.map(({ text }, index) => `${text}${after(index + 1)}`);
  const inside = pivot >= 0 ? `${before}${texts[pivot]?.text}${after(pivot + 1)}` : firsts.length > 0 ? `(?:${firsts.join('|')})?` : '';
  return String.raw`\{${inside}\}`;
}

/** Any object whose values nest `depth` deep. */
export function anyObject(depth: number): string {
  const member = `${stringOf()}:${anyValue(depth)}`;
  return String.raw`\{(?:${member}(?:,${member})*)?\}`;
}

export function anyValue(depth: number): string {
  const scalar = `${stringOf()}|${NUMBER}|${BOOLEAN}|${NULL}`;
  return depth === 0 ? `(?:${scalar})` : `(?:${scalar}|${anyObject(depth - 1)}|${arrayOf(anyValue(depth - 1))})`;
}

/** A JSON value, exactly as it is written compactly. */
export function literal(value: unknown): string {
  return JSON.stringify(value).replaceAll(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);
}

function times(least: number, most: number | undefined): string {
  if (least === 0 && most === undefined) return '*';
  return `{${least},${most ?? ''}}`;
}
