#!/usr/bin/env bash
# Pushes the models to Cloudflare's R2 as Miniflare runs it here, rolls them out, checks them, pulls them and serves from there. The
# pinned Miniflare lacks R2's S3 API, and one that has it wants Node 22, so this installs both into a folder of its own. After `npm run build`.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
server='' r2=''
trap 'kill $server $r2 2>/dev/null || true; wait; rm -rf "$work"' EXIT
npm install --silent --no-fund --no-audit --prefix "$work" node@24 miniflare@4.20260730.0
(cd "$work" && exec node_modules/node/bin/node "$OLDPWD/deploy/cloudflare/r2.mjs" models key-id 'a secret' >"$work/address") & r2=$!
until [ -s "$work/address" ]; do kill -0 "$r2"; sleep 0.1; done
export AWS_ENDPOINT_URL AWS_REGION=auto AWS_ACCESS_KEY_ID=key-id AWS_SECRET_ACCESS_KEY='a secret'
AWS_ENDPOINT_URL=$(<"$work/address")

models() { node dist/functions/entries/stlm.js models "$@"; }
store=s3://models/stlm
release=$(models push model-core/artifacts $store)
[ "$(models push model-core/artifacts $store)" = "$release" ]
echo "pushed as $release, and again the same"
models alias $store stable "$release"
models ls $store
models verify $store
models pull $store "$work/pulled"
diff -r --exclude=README.md model-core/artifacts "$work/pulled"
echo 'what was pulled is what was pushed, byte by byte'
if AWS_SECRET_ACCESS_KEY=other models ls $store; then exit 1; fi

STLM_ARTIFACTS=$store STLM_CACHE="$work/cache" PORT=0 LOG_LEVEL=silent node dist/functions/entries/node.js >"$work/server" & server=$!
until url=$(grep -om1 'http://[0-9.:]*' "$work/server"); do kill -0 "$server"; sleep 0.1; done
until curl -sf "$url/readyz" >/dev/null; do kill -0 "$server"; sleep 0.1; done
curl -si --fail-with-body "$url/v1/completions" -d '{"model":"stlm-10m","prompt":"Once upon a time","max_tokens":24,"seed":7}' | grep -Ei '^x-stlm-release|"text"'
