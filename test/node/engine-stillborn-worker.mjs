/** A build that is broken: the thread dies as it starts, and leaves a mark in the folder that its address names. */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';

appendFileSync(join(new URL(import.meta.url).searchParams.get('folder'), 'births'), '.');
throw new Error('this build is broken');
