import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openDecisionLog } from '../../functions/decision-log.js';
import type { OutcomeRecord } from '../../functions/schema/decision-log.js';

function outcome(ticket: number): OutcomeRecord {
  return { event: 'outcome', atMs: 1_795_561_078_123.456_8, id: `request ${ticket}`, ticket, tier: 'stlm-10m', worker: 0, actualMs: 12.345_678_9, othersBusy: 1 / 3, result: null };
}

test('the decision log has every record once it is closed, and adds to what was there', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'stlm-decisions-'));
  try {
    const path = join(folder, 'decisions.jsonl');
    for (const from of [0, 100]) {
      const log = await openDecisionLog(path, () => {});
      for (let ticket = from; ticket < from + 100; ticket += 1) log.write(outcome(ticket));
      await log.close();
    }
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n').map((line) => JSON.parse(line) as OutcomeRecord);
    expect(lines.map(({ ticket }) => ticket)).toEqual(Array.from({ length: 200 }, (_, ticket) => ticket));
    expect(lines[0]).toMatchObject({ atMs: 1_795_561_078_123.457, actualMs: 12.346 });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('a decision log that cannot be written is refused at once', async () => {
  await expect(openDecisionLog('package.json/decisions.jsonl', () => {})).rejects.toThrow('package.json');
});
