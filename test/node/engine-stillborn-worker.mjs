/** A build that is broken: the thread dies as it starts, and leaves a mark in the folder that STILLBORN names. */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';

appendFileSync(join(process.env.STILLBORN, 'births'), '.');
throw new Error('this build is broken');
