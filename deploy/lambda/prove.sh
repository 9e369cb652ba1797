#!/usr/bin/env bash
# Builds the function's image and runs it with AWS's own runtime client against the runtime API, as a Lambda environment is: read-only but
# for /tmp, no root. After deploy/container/prove.sh, which makes the image it starts from.
set -euo pipefail
cd "$(dirname "$0")/../.."
source deploy/container/engine.sh
make_bases
npx tsc -b
make_image deploy/lambda/Dockerfile stlm-lambda --build-arg SERVER_IMAGE=localhost/stlm
names=(AWS_LAMBDA_RUNTIME_API AWS_LAMBDA_FUNCTION_NAME AWS_LAMBDA_FUNCTION_VERSION AWS_LAMBDA_FUNCTION_MEMORY_SIZE AWS_LAMBDA_LOG_GROUP_NAME AWS_LAMBDA_LOG_STREAM_NAME)
node deploy/lambda/runtime-api.mjs podman --root "$work/images" --runroot "$work/run" --log-level fatal --runtime runc --cgroup-manager cgroupfs \
  run --rm --network host --read-only --read-only-tmpfs=false --tmpfs /tmp:notmpcopyup --cap-drop all --security-opt no-new-privileges \
  --memory 3538m --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 -e STLM_OPEN=true "${names[@]/#/--env=}" stlm-lambda
