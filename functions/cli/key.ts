/** `stlm key`, which is also `npm run key`: makes a key, shows it this once, and the line that admits it. */
import { randomBytes } from 'node:crypto';
import { Command } from 'commander';
import { sha256Hex } from '../access/keys.js';
import { keySchema } from '../schema/keys.js';

export function keyCommand(): Command {
  return new Command('key')
    .description('Makes an API key, and the entry of the file STLM_KEYS that admits it.')
    .argument('[name]', 'whose it is', 'default')
    .action(async (name: string) => {
      const key = `stlm-${randomBytes(24).toString('base64url')}`;
      const entry = keySchema.safeParse({ name, sha256: await sha256Hex(key) });
      if (!entry.success) throw new Error(`the name: ${entry.error.issues[0]?.message}`);
      console.log(`The key, which is kept nowhere: ${key}`);
      console.log(`For the list "keys" in the file that STLM_KEYS names: ${JSON.stringify(entry.data)}`);
    });
}
