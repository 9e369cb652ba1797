/** `npm run key -- NAME`: makes a key, shows it this once, and the line that admits it. */
import { randomBytes } from 'node:crypto';
import { sha256Hex } from '../access/keys.js';
import { keySchema } from '../schema/keys.js';

const key = `stlm-${randomBytes(24).toString('base64url')}`;
const entry = keySchema.safeParse({ name: process.argv[2] ?? 'default', sha256: await sha256Hex(key) });
if (entry.success) {
  console.log(`The key, which is kept nowhere: ${key}`);
  console.log(`For the list "keys" in the file that STLM_KEYS names: ${JSON.stringify(entry.data)}`);
} else {
  console.error(`stlm: the name: ${entry.error.issues[0]?.message}`);
  process.exitCode = 1;
}
