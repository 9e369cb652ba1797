#!/usr/bin/env bash
# BLiMP measured twice on the same pairs: by lm-eval through a running server, and by our own evaluation from the file that it serves.
# usage: blimp.sh FOLDER [PAIRS] [TIER]    FOLDER has blimp.jsonl.xz; so many pairs of each of the 67 paradigms (30), of stlm-10m
# STLM_URL: the server (http://127.0.0.1:8080)
set -euo pipefail
data=$(realpath "$1") pairs=${2:-30} tier=${3:-stlm-10m} url=${STLM_URL:-http://127.0.0.1:8080}
here=$(realpath "$(dirname "$0")") core=$(realpath "$(dirname "$0")/../../../model-core") venv=$here/../.venv
if [ ! -x "$venv/bin/lm_eval" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet -r "$here/requirements.txt" -c "$here/constraints.txt"
fi
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
python3 "$here/first_pairs.py" "$data/blimp.jsonl.xz" "$pairs" "$work/blimp.jsonl.xz"

cd "$work"
HF_HOME=$work/hf HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 "$venv/bin/lm_eval" --model local-completions --include_path "$here" --tasks stlm_blimp \
  --model_args "model=$tier@60s,base_url=$url/v1/completions,tokenizer=$core/tokenizer,num_concurrent=2,max_length=4096"
cd "$core"
.venv/bin/python -m stlm evaluate "artifacts/$tier" --tasks blimp --eval-data "$work"
