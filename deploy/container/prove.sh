#!/usr/bin/env bash
# Builds the image from the Dockerfile and runs it as a cluster would: no root, no capabilities, read-only, within memory. See engine.sh
# for what it needs.
set -euo pipefail
shopt -s extglob
cd "$(dirname "$0")/../.."
source deploy/container/engine.sh
make_bases
make_image deploy/container/Dockerfile stlm --build-arg REVISION="$(git rev-parse HEAD)"

port=$(free_port)
container=$(pod run -d --network host --read-only --read-only-tmpfs=false --cap-drop all --security-opt no-new-privileges \
  --memory 1500m --ulimit nofile=4096:4096 --ulimit nproc=1024:1024 -e STLM_OPEN=true -e HOST=127.0.0.1 -e PORT="$port" stlm)
trap 'pod rm -f "$container" >/dev/null' EXIT
for _ in $(seq 100); do pod healthcheck run "$container" >/dev/null 2>&1 && break || sleep 0.2; done

pod healthcheck run "$container" >/dev/null
echo "healthy, as $(pod exec "$container" id)"
pod exec "$container" grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/1/status
pod exec "$container" sh -c '! touch /app/file 2>/dev/null && touch /cache/file && rm /cache/file'
echo 'writes to /cache and nowhere else'
curl --fail-with-body -s "http://127.0.0.1:$port/v1/completions" -d '{"model":"stlm-auto@20s","prompt":"Once upon a time","max_tokens":40,"seed":7}'
echo
if pod logs "$container" 2>&1 | grep 'no direct binding'; then exit 1; fi
curl -sN "http://127.0.0.1:$port/v1/completions" \
  -d '{"model":"stlm-10m","prompt":"One","max_tokens":4000,"seed":1,"stream":true,"latency_budget_ms":20000}' >"$work/stream" &
stream=$!
until [ -s "$work/stream" ]; do sleep 0.02; done
pod stop -t 30 "$container" >/dev/null
wait "$stream"
grep -q 'DONE' "$work/stream"
echo "a stream under way when SIGTERM came ended whole: $(grep -o '"finish_reason":"[a-z]*"' "$work/stream")"
code=$(pod inspect "$container" --format '{{.State.ExitCode}}')
echo "the server ended with $code"
[ "$code" = 0 ]

echo 'MiB by part:'
root=$(pod image mount stlm)
size() { printf '%6d  %s\n' "$(du -cxm --apparent-size "${@:2}" | tail -1 | cut -f1)" "$1"; }
size 'everything' "$root"
size 'node' "$root/usr/local/bin/node"
size 'onnxruntime-node' "$root/app/node_modules/onnxruntime-node"
size 'the other packages' "$root"/app/node_modules/!(onnxruntime-node)
size 'our code' "$root/app/dist" "$root/app/functions"
for tier in "$root"/app/model-core/artifacts/*; do size "$(basename "$tier")" "$tier"; done
pod image umount stlm >/dev/null
