#!/usr/bin/env bash
# Builds the image from the Dockerfile and runs it as a cluster would: no root, no capabilities, read-only, within memory. It needs
# neither a Docker engine nor a registry of images, and stands in for the two base images: Debian by debootstrap, Node from npm.
#
#   apt-get install -y --no-install-recommends buildah podman runc debootstrap && deploy/container/prove.sh
set -euo pipefail
shopt -s extglob
cd "$(dirname "$0")/../.."
work=$PWD/.cache/container
mkdir -p "$work"
export STORAGE_DRIVER=overlay BUILDAH_ISOLATION=chroot
build() { buildah --root "$work/images" --runroot "$work/run" --log-level error "$@"; }
pod() { podman --root "$work/images" --runroot "$work/run" --log-level fatal --runtime runc --cgroup-manager cgroupfs "$@"; }

debian=docker.io/library/debian:bookworm-slim
node=docker.io/library/node:24-bookworm-slim
if ! build inspect "$node" >/dev/null 2>&1; then
  [ -d "$work/debian" ] || debootstrap --variant=minbase bookworm "$work/debian.part" >"$work/debootstrap.log"
  [ -d "$work/debian" ] || mv "$work/debian.part" "$work/debian"
  # As the slim image: no manuals, no translations, no lists of packages.
  rm -rf "$work"/debian/usr/share/{doc,man,info,locale} "$work"/debian/var/cache/apt "$work"/debian/var/lib/apt/lists
  npm install --silent --prefix "$work/node" node@24 npm@11
  container=$(build from scratch)
  build copy -q "$container" "$work/debian" / >/dev/null
  build config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  build commit -q --rm "$container" "$debian" >/dev/null
  container=$(build from --pull-never "$debian")
  build copy -q "$container" "$work/node/node_modules/node/bin/node" /usr/local/bin/node >/dev/null
  build copy -q "$container" "$work/node/node_modules/npm" /usr/local/lib/node_modules/npm >/dev/null
  build run "$container" ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
  build commit -q --rm "$container" "$node" >/dev/null
fi

# The build asks this machine's registry and trusts whom this machine trusts.
trust=(-v /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro)
printf 'cafile=/etc/ssl/certs/ca-certificates.crt\n' >"$work/npmrc"
build bud --pull-never --network host --format docker --layers "${trust[@]}" -v "$work/npmrc:/root/.npmrc:ro" \
  -f deploy/container/Dockerfile --ignorefile deploy/container/Dockerfile.dockerignore \
  --build-arg REVISION="$(git rev-parse HEAD)" -t stlm . >"$work/build.log" 2>&1 || { tail -20 "$work/build.log"; exit 1; }

port=$(node -e 'const s = require("node:net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
container=$(pod run -d --network host --read-only --read-only-tmpfs=false --cap-drop all --security-opt no-new-privileges \
  --memory 1500m --ulimit nofile=4096:4096 --ulimit nproc=1024:1024 -e STLM_OPEN=true -e HOST=127.0.0.1 -e PORT="$port" stlm)
trap 'pod rm -f "$container" >/dev/null' EXIT
for _ in $(seq 100); do pod healthcheck run "$container" >/dev/null 2>&1 && break || sleep 0.2; done

pod healthcheck run "$container" >/dev/null
echo "healthy, as $(pod exec "$container" id)"
pod exec "$container" grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/1/status
pod exec "$container" sh -c '! touch /app/file 2>/dev/null && touch /cache/file && rm /cache/file' && echo 'writes to /cache and nowhere else'
curl -sf "http://127.0.0.1:$port/v1/completions" -d '{"model":"stlm-auto@2s","prompt":"Once upon a time","max_tokens":40,"seed":7}'
echo
curl -sN "http://127.0.0.1:$port/v1/completions" -d '{"model":"stlm-10m","prompt":"One","max_tokens":4000,"seed":1,"stream":true,"latency_budget_ms":20000}' >"$work/stream" &
stream=$!
until [ -s "$work/stream" ]; do sleep 0.02; done
pod stop -t 30 "$container" >/dev/null
wait "$stream"
grep -o '"finish_reason":"[a-z]*"' "$work/stream" | sed 's/^/a stream under way when SIGTERM came ended with /'
grep -q DONE "$work/stream"
code=$(pod inspect "$container" --format '{{.State.ExitCode}}')
echo "SIGTERM: ended with $code"
[ "$code" = 0 ]

echo 'MiB by part:'
root=$(pod image mount stlm)
trap 'pod image umount stlm >/dev/null; pod rm -f "$container" >/dev/null' EXIT
size() { printf '%6d  %s\n' "$(du -sxm --apparent-size "${@:2}" | awk '{sum += $1} END {print sum}')" "$1"; }
size 'everything' "$root"
size 'node' "$root/usr/local/bin/node"
size 'onnxruntime-node' "$root/app/node_modules/onnxruntime-node"
size 'the other packages and our code' "$root"/app/{dist,functions,node_modules/!(onnxruntime-node)} 2>/dev/null || true
for tier in "$root"/app/model-core/artifacts/*; do size "$(basename "$tier")" "$tier"; done
