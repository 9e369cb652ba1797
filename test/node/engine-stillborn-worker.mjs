/** A build that is broken: the thread dies as it starts, and leaves a mark in the file that its address names. */
import { appendFileSync } from 'node:fs';

appendFileSync(new URL(import.meta.url).searchParams.get('births'), '.');
throw new Error('this build is broken');
