/** Cloudflare's R2 on this machine, with its S3 API: `node r2.mjs BUCKET KEY_ID SECRET`, from where Miniflare is installed. Says its address. */
import { createRequire } from 'node:module';

const { Miniflare } = createRequire(`${process.cwd()}/`)('miniflare');
const [bucket, accessKeyId, secretAccessKey] = process.argv.slice(2);
const miniflare = new Miniflare({
  modules: true,
  script: 'export default {}',
  r2Buckets: { MODELS: { id: bucket, s3Credentials: { accessKeyId, secretAccessKey } } },
  host: '127.0.0.1',
  port: 0,
});
console.log(new URL('/cdn-cgi/local/r2/s3', await miniflare.ready).href);
