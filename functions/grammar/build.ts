/**
 * From a deterministic automaton over code points, as the regex library has it, to one over bytes.
 *
 * @module
 */
import type { DFA } from 'refa';
import { type ByteAutomaton, REFUSED } from './automaton.js';
import { GrammarTooLargeError, NoTextError } from './errors.js';
import { type ByteRange, type ByteSequence, utf8Sequences } from './utf8.js';

type Node = DFA.ReadonlyNode;

/** What may follow: the rest of an encoding, and where it leads. Several, if their first bytes were the same. */
type Residue = readonly { readonly rest: ByteSequence; readonly target: Node }[];

const BYTES = 256;
const UNREACHED = -1;

/** @throws {GrammarTooLargeError} {NoTextError} */
export function byteAutomaton(dfa: { readonly initial: Node; readonly finals: ReadonlySet<Node> }, maxStates: number): ByteAutomaton {
  const { rows, accepting } = explore(dfa, maxStates);
  const distance = distances(rows, accepting);
  // A lone surrogate is a code point that no bytes write.
  if (distance[0] === UNREACHED) throw new NoTextError();
  // What leads nowhere may not come.
  for (const row of rows) for (let byte = 0; byte < BYTES; byte += 1) if (row[byte] !== REFUSED && distance[row[byte] as number] === UNREACHED) row[byte] = REFUSED;
  return { ...byClasses(rows), distance: shared(distance) };
}

/** Every state as its row of 256 next states: a node of `dfa`, or the middle of a code point. */
function explore({ initial, finals }: { readonly initial: Node; readonly finals: ReadonlySet<Node> }, maxStates: number) {
  const rows: Int32Array[] = [];
  const accepting: number[] = [];
  const ofNode = new Map<Node, number>();
  const ofResidue = new Map<string, number>();
  const nodeNames = new Map<Node, number>();
  const pending: { state: number; residue: Residue }[] = [];

  const add = (residue: Residue): number => {
    if (rows.length === maxStates) throw new GrammarTooLargeError(`it needs more than ${maxStates} states`);
    rows.push(new Int32Array(BYTES).fill(REFUSED));
    pending.push({ state: rows.length - 1, residue });
    return rows.length - 1;
  };
  const stateOfNode = (node: Node): number => {
    const found = ofNode.get(node);
    if (found !== undefined) return found;
    const state = add(residueOf(node));
    ofNode.set(node, state);
    if (finals.has(node)) accepting.push(state);
    return state;
  };
  const nameOf = (node: Node) => nodeNames.get(node) ?? nodeNames.set(node, nodeNames.size).size - 1;
  const stateOfResidue = (residue: Residue): number => {
    const key = residue.map(({ rest, target }) => `${rest.map(({ from, to }) => `${from}-${to}`).join()}>${nameOf(target)}`).join(' ');
    const found = ofResidue.get(key);
    if (found !== undefined) return found;
    const state = add(residue);
    ofResidue.set(key, state);
    return state;
  };

  stateOfNode(initial);
  for (let one = pending.pop(); one !== undefined; one = pending.pop()) {
    const row = rows[one.state] as Int32Array;
    for (const { from, to, after } of branches(one.residue)) {
      const [first] = after;
      if (first !== undefined) row.fill(first.rest.length === 0 ? stateOfNode(first.target) : stateOfResidue(after), from, to + 1);
    }
  }
  return { rows, accepting };
}

/** What may follow each next byte, a run of bytes at a time that have the same. */
function branches(residue: Residue): readonly (ByteRange & { readonly after: Residue })[] {
  const heads = residue.map(({ rest: [head] }) => head as ByteRange);
  const edges = [...new Set(heads.flatMap(({ from, to }) => [from, to + 1]))].toSorted((a, b) => a - b);
  return edges.slice(0, -1).map((from, index) => {
    const inside = residue.filter((_, entry) => (heads[entry] as ByteRange).from <= from && from <= (heads[entry] as ByteRange).to);
    return { from, to: (edges[index + 1] as number) - 1, after: inside.map(({ rest, target }) => ({ rest: rest.slice(1), target })) };
  });
}

function residueOf(node: Node): Residue {
  return [...node.out].flatMap(([{ min, max }, target]) => utf8Sequences(min, max).map((rest) => ({ rest, target })));
}

/** Breadth first, against the arrows. */
function distances(rows: readonly Int32Array[], accepting: readonly number[]): Int32Array {
  const before = rows.map(() => new Set<number>());
  for (const [state, row] of rows.entries()) for (const next of row) if (next !== REFUSED) (before[next] as Set<number>).add(state);
  const distance = new Int32Array(rows.length).fill(UNREACHED);
  for (const state of accepting) distance[state] = 0;
  for (let frontier = accepting, steps = 1; frontier.length > 0; steps += 1) {
    const further = new Set(frontier.flatMap((state) => Array.from(before[state] as Set<number>)).filter((state) => distance[state] === UNREACHED));
    for (const state of further) distance[state] = steps;
    frontier = [...further];
  }
  return distance;
}

/** Bytes whose columns are the same share one: a few dozen instead of 256. */
function byClasses(rows: readonly Int32Array[]): Omit<ByteAutomaton, 'distance'> {
  const classOfColumn = new Map<string, number>();
  const representative: number[] = [];
  const classOfByte = Uint8Array.from({ length: BYTES }, (_, byte) => {
    const column = rows.map((row) => row[byte]).join();
    const found = classOfColumn.get(column) ?? representative.push(byte) - 1;
    classOfColumn.set(column, found);
    return found;
  });
  const next = Int32Array.from(rows.flatMap((row) => representative.map((byte) => row[byte] as number)));
  return { classOfByte: shared(classOfByte), classes: representative.length, next: shared(next) };
}

/** The same numbers where every thread can read them. */
function shared<T extends Uint8Array | Int32Array>(values: T): T {
  const copy = new (values.constructor as new (buffer: SharedArrayBuffer) => T)(new SharedArrayBuffer(values.byteLength));
  copy.set(values);
  return copy;
}
