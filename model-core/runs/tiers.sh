#!/usr/bin/env bash
# From prepared shards to three trained tiers: 10M from scratch, 50M and 100M grown from the tier below.
# Run from model-core/. Stopped at any moment, it goes on where it was when run again.
#   DATA, HELDOUT   folders made by `python -m stlm prepare`     (data/pretrain, data/heldout)
#   OUT             checkpoints and metrics                      (checkpoints)
#   SECONDS_10M …   time budget of each tier's training
set -euo pipefail
python=${PYTHON:-.venv/bin/python}
data=${DATA:-data/pretrain} heldout=${HELDOUT:-data/heldout} out=${OUT:-checkpoints}

# Diversity first: small clean sources are read more often than their size, the large uniform ones less.
mix=()
for entry in wikipedia_en-00=.5 wikipedia_en-01=.5 wikipedia_en-02=.5 books_classics-00=.5 books_classics-01=.5 \
  books_classics-02=.5 eltec_novels=.5 openstax=1.3 docs_tech=3 us_gov=3.5 dialogues=1.4 topical_chat=2 \
  childrens_stories=10 fairytales=7 onestopenglish=4 wikinews=4 open_english_bible=3 bookdash=20 tinystories_sample=15; do
  mix+=(--mix "$entry")
done

train() { # tier seconds, then options
  local tier=$1 seconds=$2
  shift 2
  "$python" -m stlm train --tier "$tier" --data "$data" --heldout "$heldout" --out "$out/$tier" \
    --max-seconds "$seconds" --row-patches 512 "${mix[@]}" "$@"
}

train stlm-10m "${SECONDS_10M:-3000}" --batch-rows 6 --matrix-lr .025 --table-lr .03 --head-lr .01
# A grown tier starts at its parent's loss: the little that a short run adds must not be undone by long steps first.
for step in "10m 50m ${SECONDS_50M:-1500} .008 .003 0" "50m 100m ${SECONDS_100M:-900} .0015 .0005 1"; do
  read -r small large seconds rate head_rate seed <<<"$step"
  [ -e "$out/grown-$large.pt" ] || "$python" -m stlm grow "$out/stlm-$small/checkpoint.pt" "$out/grown-$large.pt" --tier "stlm-$large"
  train "stlm-$large" "$seconds" --init "$out/grown-$large.pt" --batch-rows 4 --warmup-steps 20 --warmdown .9 --seed "$seed" \
    --matrix-lr "$rate" --table-lr "$rate" --head-lr "$head_rate"
done
