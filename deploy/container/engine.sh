# Builds and runs images without a Docker engine or a registry of images, for the scripts that source this: buildah, podman and runc
# from Debian, on stand-ins for the two base images: Debian by debootstrap, Node from npm.
#
#   apt-get install -y --no-install-recommends buildah podman runc debootstrap
work=$PWD/.cache/container
mkdir -p "$work"
export STORAGE_DRIVER=overlay BUILDAH_ISOLATION=chroot
build() { buildah --root "$work/images" --runroot "$work/run" --log-level error "$@"; }
pod() { podman --root "$work/images" --runroot "$work/run" --log-level fatal --runtime runc --cgroup-manager cgroupfs "$@"; }

make_bases() {
  local debian=docker.io/library/debian:bookworm-slim node=docker.io/library/node:24-bookworm-slim container
  build inspect "$node" >/dev/null 2>&1 && return
  if [ ! -d "$work/debian" ]; then
    debootstrap --variant=minbase --include=ca-certificates bookworm "$work/debian.part" >"$work/debootstrap.log"
    # As the slim image: no manuals, no translations, no lists of packages.
    rm -rf "$work"/debian.part/usr/share/{doc,man,info,locale} "$work"/debian.part/var/{cache/apt/archives,lib/apt/lists}/*
    mv "$work/debian.part" "$work/debian"
  fi
  npm install --silent --prefix "$work/node" node@24 npm@11
  container=$(build from scratch)
  build copy -q "$container" "$work/debian" / >/dev/null
  build config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  build commit -q --rm "$container" "$debian" >/dev/null
  container=$(build from --pull-never "$debian")
  build copy -q "$container" "$work/node/node_modules/node/bin/node" /usr/local/bin/node >/dev/null
  build copy -q "$container" "$work/node/node_modules/npm" /usr/local/lib/node_modules/npm >/dev/null
  build run "$container" ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
  # Node-API is the same in all of them, so this machine's headers will do.
  build copy -q "$container" "$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")/include/node" /usr/local/include/node >/dev/null
  build commit -q --rm "$container" "$node" >/dev/null
}

# make_image DOCKERFILE TAG [OPTION…]: asks this machine's registry of packages, and trusts whom this machine trusts.
make_image() {
  local dockerfile=$1 tag=$2
  shift 2
  printf 'cafile=/etc/ssl/certs/ca-certificates.crt\n' >"$work/npmrc"
  build bud --pull-never --network host --format docker --layers -v /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro \
    -v "$work/npmrc:/root/.npmrc:ro" -f "$dockerfile" --ignorefile "$dockerfile.dockerignore" -t "$tag" "$@" . >"$work/build.log" 2>&1 \
    || { tail -20 "$work/build.log"; return 1; }
}

free_port() { node -e 'const s = require("node:net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'; }
