import { describe, expect, test } from 'vitest';
import { type Release, Rollout } from '../../functions/rollout.js';

const [A, B, C] = ['a', 'b', 'c'].map((digit) => digit.repeat(16)) as [string, string, string];

/** Releases that answer when told to, and remember what happened to them. */
class Releases {
  readonly events: string[] = [];
  readonly #live = new Set<string>();
  mostLive = 0;
  /** Ids that cannot be started. */
  readonly broken = new Set<string>();
  answer: Promise<unknown> = Promise.resolve();

  readonly start = async (id: string): Promise<Release> => {
    if (this.broken.has(id)) throw new Error(`${id} is broken`);
    this.events.push(`start ${id[0]}`);
    this.#live.add(id);
    this.mostLive = Math.max(this.mostLive, this.#live.size);
    return {
      id,
      fetch: async () => {
        await this.answer;
        if (!this.#live.has(id)) throw new Error(`${id} is gone`);
        return new Response(id);
      },
      retire: async () => {
        this.events.push(`retire ${id[0]}`);
        this.#live.delete(id);
      },
    };
  };
}

async function rollout(random: () => number = Math.random) {
  const releases = new Releases();
  return { releases, served: new Rollout(await releases.start(A), releases.start, random) };
}

const ask = (path = '/v1/completions') => new Request(`http://test${path}`);
const answeredBy = async (response: Promise<Response>) => (await response).headers.get('x-stlm-release');

describe('rolling forward', () => {
  test('starts the new release before the old one goes, and back again', async () => {
    const { releases, served } = await rollout();
    await served.follow({ stable: B });
    expect(await answeredBy(served.fetch(ask()))).toBe(B);
    await served.follow({ stable: A });
    expect(await answeredBy(served.fetch(ask()))).toBe(A);
    expect(releases.events).toEqual(['start a', 'start b', 'retire a', 'start a', 'retire b']);
  });

  test('changes nothing where the alias is what it was', async () => {
    const { releases, served } = await rollout();
    await served.follow({ stable: A });
    expect(releases.events).toEqual(['start a']);
  });

  test('waits for whoever asked the old release', async () => {
    const { releases, served } = await rollout();
    let release!: () => void;
    releases.answer = new Promise<void>((resolve) => (release = resolve));
    const asked = served.fetch(ask());
    const following = served.follow({ stable: B });
    await expect.poll(() => served.stable.id).toBe(B);
    const askedAfter = served.fetch(ask());
    expect(releases.events).not.toContain('retire a');
    // A server that stops now has both to wait for.
    expect(served.live.map(({ id }) => id)).toEqual([B, A]);
    release();
    expect(await Promise.all([answeredBy(asked), answeredBy(askedAfter)])).toEqual([A, B]);
    await following;
    expect(releases.events).toContain('retire a');
  });

  test('to a release that cannot be started is an error, and the old one still answers', async () => {
    const { releases, served } = await rollout();
    releases.broken.add(B);
    await expect(served.follow({ stable: B })).rejects.toThrow('broken');
    expect(await answeredBy(served.fetch(ask()))).toBe(A);
    releases.broken.clear();
    await served.follow({ stable: B });
    expect(await answeredBy(served.fetch(ask()))).toBe(B);
  });

  test('twice at once ends at the last', async () => {
    const { releases, served } = await rollout();
    await Promise.all([served.follow({ stable: B }), served.follow({ stable: C })]);
    expect(served.stable.id).toBe(C);
    expect(releases.events).toEqual(['start a', 'start b', 'retire a', 'start c', 'retire b']);
  });
});

describe('a canary', () => {
  test.each([0.01, 0.25, 1])('gets its share of the requests: %d', async (share) => {
    const { served } = await rollout();
    await served.follow({ stable: A, canary: { release: B, share } });
    const asked = 4_000;
    const answers = await Promise.all(Array.from({ length: asked }, () => answeredBy(served.fetch(ask()))));
    const got = answers.filter((id) => id === B).length;
    // Five standard deviations of a binomial count.
    expect(Math.abs(got - share * asked)).toBeLessThanOrEqual(5 * Math.sqrt(asked * share * (1 - share)));
  });

  test('gets no probe', async () => {
    const { served } = await rollout(() => 0);
    await served.follow({ stable: A, canary: { release: B, share: 1 } });
    expect(await answeredBy(served.fetch(ask('/readyz')))).toBe(A);
    expect(await answeredBy(served.fetch(ask()))).toBe(B);
  });

  test('becomes stable without being started again, and goes when it is not wanted', async () => {
    const { releases, served } = await rollout();
    await served.follow({ stable: A, canary: { release: B, share: 0.5 } });
    await served.follow({ stable: B });
    await served.follow({ stable: B, canary: { release: C, share: 0.5 } });
    await served.follow({ stable: B });
    expect(releases.events).toEqual(['start a', 'start b', 'retire a', 'start c', 'retire c']);
  });

  test('that cannot be started leaves the stable release alone', async () => {
    const { releases, served } = await rollout(() => 0);
    releases.broken.add(B);
    await expect(served.follow({ stable: A, canary: { release: B, share: 1 } })).rejects.toThrow('broken');
    expect(await answeredBy(served.fetch(ask()))).toBe(A);
  });

  test('and two others never make three in memory', async () => {
    const { releases, served } = await rollout();
    await served.follow({ stable: A, canary: { release: B, share: 0.5 } });
    await served.follow({ stable: C, canary: { release: B, share: 0.5 } });
    await served.follow({ stable: B, canary: { release: A, share: 0.5 } });
    await served.follow({ stable: A, canary: { release: B, share: 0.5 } });
    expect(served.live.map(({ id }) => id)).toEqual([A, B]);
    expect(releases.mostLive).toBe(2);
  });
});
