/**
 * Signed manifests: an Ed25519 signature over the exact bytes of a manifest, which names its files by their sha256. Whoever can write to a
 * store but has no key can then take a tier away, or put an older signed one in its place, and nothing else.
 *
 * @module
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { ArtifactCorruptError } from './errors.js';

/** A public key is its 32 bytes in base64url. */
const PUBLIC_KEY = /^[\w-]{43}$/;

/** @throws {Error} where it is none. */
export function publicKey(text: string): KeyObject {
  if (!PUBLIC_KEY.test(text)) throw new Error('a public key is 43 characters of base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: text }, format: 'jwk' });
}

export function newKeys(): { readonly privateKeyPem: string; readonly publicKey: string } {
  const { privateKey } = generateKeyPairSync('ed25519');
  const privateKeyPem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  return { privateKeyPem, publicKey: publicKeyOf(privateKeyPem) };
}

/** @throws {Error} where it is none, or one for other signatures. */
function privateKey(pem: string): KeyObject {
  const key = createPrivateKey(pem);
  if (key.asymmetricKeyType !== 'ed25519') throw new Error(`the private key is for ${key.asymmetricKeyType}, expected ed25519 (\`stlm models keygen\` makes one)`);
  return key;
}

export function publicKeyOf(privateKeyPem: string): string {
  return createPublicKey(privateKey(privateKeyPem)).export({ format: 'jwk' }).x!;
}

/** Base64, with a line's end. */
export function signManifest(manifest: string, privateKeyPem: string): string {
  return `${sign(null, Buffer.from(manifest), privateKey(privateKeyPem)).toString('base64')}\n`;
}

/** @param signature undefined where there is none. @throws {ArtifactCorruptError} unless one of the keys has signed these bytes. */
export function requireSignature(manifest: string, signature: string | undefined, trusted: readonly KeyObject[]): void {
  if (signature === undefined) throw new ArtifactCorruptError('manifest: it is not signed, and only signed ones are trusted here');
  const [bytes, signed] = [Buffer.from(manifest), Buffer.from(signature, 'base64')];
  if (!trusted.some((key) => verify(null, bytes, key, signed))) throw new ArtifactCorruptError('manifest: none of the trusted keys has signed it');
}
