import { describe, expect, test } from 'vitest';
import { judge, outcomes } from './outcomes.js';

/** A JUnit report: test by test, its class, its name and why it failed. */
const junit = (...tests: (readonly [string, string, string?])[]) =>
  `<testsuites><testsuite>${tests
    .map(([classname, name, failure]) => `<testcase classname="${classname}" name="${name}" time="0.1">${failure === undefined ? '' : `<failure message="${failure}">trace</failure>`}</testcase>`)
    .join('\n')}</testsuite></testsuites>`;

const passes = ['tests.api_resources.test_models.TestModels', 'test_method_list[strict]'] as const;
const known = ['tests.api_resources.chat.test_completions.TestCompletions', 'test_method_retrieve[loose]'] as const;

describe('the outcome of generated tests', () => {
  test('is as expected if what is known to fail fails, and all else passes', () => {
    expect(judge(outcomes(junit(passes, [...known, 'not found']))).isAsExpected).toBe(true);
  });

  test.each([
    ['something else fails', junit([...passes, 'boom'], [...known, 'not found']), /^fails: .*test_method_list\[strict\]: boom$/],
    ['what is known to fail passes', junit(passes, known), /^passes, though it was expected to fail: .*test_method_retrieve/],
  ])('is not if %s', (_when, xml, line) => {
    const { isAsExpected, lines } = judge(outcomes(xml));
    expect(isAsExpected).toBe(false);
    expect(lines.at(-1)).toMatch(line);
  });

  test('is not if nothing ran', () => {
    expect(judge(outcomes('<testsuites></testsuites>')).isAsExpected).toBe(false);
  });
});
