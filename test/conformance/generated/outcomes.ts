/** What became of each test, and what was to be expected. */

export interface Outcome {
  /** File, and the test's own name. */
  readonly test: string;
  readonly isPassed: boolean;
  readonly failure: string;
}

/** Generated tests that fail, and why they do: `README.md` says more. */
const EXPECTED_FAILURES: readonly { readonly test: RegExp; readonly why: string }[] = [
  { test: /^(?!.*(?:path_params|request options)).*chat.*(?:retrieve|update|list|delete)/, why: 'no chat is stored' },
  { test: /^(?!.*path_params).*models.*delete/, why: "tiers are not the client's to delete" },
  { test: /create.*(?:all_params|required and optional)/, why: 'sends every field at once, some with values that mean nothing' },
];

/** Of a JUnit report, as vitest and pytest write it. */
export function outcomes(xml: string): Outcome[] {
  return xml.split('<testcase ').slice(1).map((testcase) => {
    const [, attributes, rest] = /^([^>]*)>([\s\S]*)$/.exec(testcase)!;
    const attribute = (name: string) => new RegExp(`(?:^| )${name}="([^"]*)"`).exec(attributes!)?.[1] ?? '';
    const failure = /<(?:failure|error)\b[^>]*message="([^"]*)"/.exec(rest!)?.[1];
    return { test: `${attribute('classname')} > ${attribute('name')}`, isPassed: failure === undefined, failure: failure ?? '' };
  });
}

export function judge(all: readonly Outcome[]): { readonly lines: readonly string[]; readonly isAsExpected: boolean } {
  const known = ({ test }: Outcome) => EXPECTED_FAILURES.find((expected) => expected.test.test(test));
  const surprises = all.filter((outcome) => outcome.isPassed === (known(outcome) !== undefined));
  return {
    isAsExpected: all.length > 0 && surprises.length === 0,
    lines: [
      `${all.length} tests, ${all.filter(({ isPassed }) => isPassed).length} pass`,
      ...EXPECTED_FAILURES.map((expected) => {
        const failures = all.filter((outcome) => known(outcome) === expected && !outcome.isPassed);
        return `${failures.length} fail: ${expected.why}; the first with ${failures[0]?.failure.slice(0, 160)}`;
      }),
      ...surprises.map(({ test, isPassed, failure }) => (isPassed ? `passes, though it was expected to fail: ${test}` : `fails: ${test}: ${failure.slice(0, 300)}`)),
    ],
  };
}
