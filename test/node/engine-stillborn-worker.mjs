/** A build that is broken: the thread dies as it starts, and leaves a mark in the folder it was given. */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { workerData } from 'node:worker_threads';

appendFileSync(join(workerData.preparedFolder, 'births'), '.');
throw new Error('this build is broken');
