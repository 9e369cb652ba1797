/**
 * The table of the patch rule, which is the one Python trains with.
 *
 * @module
 */
import table from '../../model-core/stlm/patch.json' with { type: 'json' };

/** Longest patch, in ids. */
export const PATCH_CAP: number = table.cap;
/** 256 byte values and 16 specials. */
export const VOCABULARY: number = table.vocabulary;
export const SPECIAL = table.specials;
/** A letter an id: s(eparator), w(ord), x for the specials. */
export const ID_CLASSES: string = table.classes;

/** sha256 (hex) of what decides a boundary. A model trained with another rule must not be served by this code. */
export async function patchRuleHash(): Promise<string> {
  const canonical = JSON.stringify({ cap: table.cap, classes: table.classes, version: table.version, vocabulary: table.vocabulary });
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(canonical));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
