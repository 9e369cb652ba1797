#!/usr/bin/env bash
# From prepared shards to three evaluated, quantised artifacts. Run from model-core/; run again, it goes on where it was.
#
#   runs/speedrun.sh                   on a GPU: three tiers in half an hour of one H100 (planned, not yet run on one)
#   CHUNK_SECONDS=540 runs/speedrun.sh the same in pieces: ends in time with status 75, and the next call goes on
#   MINUTES=120 runs/speedrun.sh       on a CPU, whose default is an hour: the same stages, smaller batches
#
# Three stages a tier, one learning-rate schedule through all of them:
#   pretrain  all text                                               10M from scratch, 50M and 100M grown from the tier below
#   anneal    the same with a quarter of dialogue and instructions   rates fall; the second half trains against rounding
#   tune      only what the assistant says is learnt, with replay    against rounding
# then quantize -> evaluate -> card. Settings, all environment variables:
#   DATA, HELDOUT, CHAT, EVAL   shards of text, of held-out text, of chats (prepare --chat); folder of evaluation sets
#   CHECKPOINTS, ARTIFACTS      where runs and artifacts go           (checkpoints, artifacts)
#   TIERS                       which tiers, smallest first           (10m 50m 100m)
#   MINUTES                     training time of all TIERS together, starting and compiling apart   (20 on a GPU, 60 on a CPU)
#   SHARES                      of it by tier, in any unit            (10m=32 50m=34 100m=34; on a CPU 70, 20, 10)
#   STAGES                      of a tier's time by stage; 0 leaves one out   (pretrain=.74 anneal=.18 tune=.08)
#   ROUND                       the file that is trained for and made: int4, uint8, or both   (int4)
#   INFILL                      share of the text that is rearranged for infilling   (.2)
#   GROW_FROM                   the stage of the smaller tier that a larger one grows from   (its last before tune)
#   TEXT_MIX, CHAT_MIX          what of DATA and CHAT is read how often: NAME=FACTOR … (below: our sources); others count 1
#   ROW_PATCHES, BATCH_10M …    patches a row, rows a step
#   TASKS, EVAL_LIMIT           what `evaluate` measures, items a task at most (standard, all)
set -euo pipefail
python=${PYTHON:-.venv/bin/python}
data=${DATA:-data/pretrain} heldout=${HELDOUT:-data/heldout} chat=${CHAT:-data/chat} eval_data=${EVAL:-data/eval}
checkpoints=${CHECKPOINTS:-checkpoints} artifacts=${ARTIFACTS:-artifacts}
round=${ROUND:-int4}
precisions=(--precision "$round")
[ "$round" != both ] || precisions=(--precision int4 --precision uint8)

if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  default_minutes=20 default_shares="10m=32 50m=34 100m=34" faster=(--compile --loaders 8)
  declare -A batch=([10m]=${BATCH_10M:-128} [50m]=${BATCH_50M:-96} [100m]=${BATCH_100M:-64} [tiny]=${BATCH_TINY:-64})
else
  default_minutes=60 default_shares="10m=70 50m=20 100m=10" faster=()
  declare -A batch=([10m]=${BATCH_10M:-8} [50m]=${BATCH_50M:-6} [100m]=${BATCH_100M:-4} [tiny]=${BATCH_TINY:-4})
fi
read -ra tiers <<<"${TIERS:-10m 50m 100m}"
declare -A share=([tiny]=1)
for entry in $default_shares ${SHARES:-}; do share[${entry%%=*}]=${entry#*=}; done
for tier in "${tiers[@]}"; do
  [ -n "${share[$tier]:-}" ] && [ -n "${batch[$tier]:-}" ] || { echo "speedrun: TIERS: no tier $tier" >&2; exit 2; }
done
all_shares=$(for tier in "${tiers[@]}"; do echo "${share[$tier]}"; done | awk '{ sum += $1 } END { print sum }')
declare -A part=([pretrain]=.74 [anneal]=.18 [tune]=.08)
for entry in ${STAGES:-}; do part[${entry%%=*}]=${entry#*=}; done

# Diversity first: small clean sources are read more often than their size, the large uniform ones less.
read -ra text <<<"${TEXT_MIX:-wikipedia_en-00=.5 wikipedia_en-01=.5 wikipedia_en-02=.5 books_classics-00=.5 books_classics-01=.5 books_classics-02=.5 \
  eltec_novels=.5 openstax=1.3 docs_tech=3 us_gov=3.5 dialogues=1.4 topical_chat=2 childrens_stories=10 fairytales=7 \
  onestopenglish=4 wikinews=4 open_english_bible=3 bookdash=20 tinystories_sample=15}"
# Long prompts with a short answer (p3_permissive, fairytaleqa, qmsum) would crowd out the rest.
read -ra talk <<<"${CHAT_MIX:-chat-p3_permissive=.1 chat-fairytaleqa=.15 chat-qmsum=.3 chat-arc_openbookqa=.7 chat-commonsense_qa=.7 \
  chat-sgd_dialogue=1.5 chat-topical_chat=2 chat-persona_chat=4 chat-factbook_qa=4 chat-self_instruct_seed=5 chat-dolly_partial=6 \
  chat-llms_from_scratch_instructions=10}"

times() { # the product of its arguments
  awk 'BEGIN { p = 1; for (i = 1; i < ARGC; i++) p *= ARGV[i]; print p }' "$@"
}

mix() { # entries NAME=FACTOR, as options of `train`
  [ $# = 0 ] || printf -- '--mix\n%s\n' "$@"
}

remaining() { # seconds of this call that are left for a stage
  echo $((CHUNK_SECONDS - SECONDS))
}

stage() { # tier name, then options of `train`; goes on from $last, and leaves there what it made
  local tier=$1 name=$2 folder="$checkpoints/stlm-$1/$2" seconds options=()
  shift 2
  seconds=$(times "${MINUTES:-$default_minutes}" 60 "$(awk "BEGIN { print ${share[$tier]} / $all_shares }")" "${part[$name]}")
  [ "$seconds" != 0 ] || return 0
  [ -z "$last" ] || options=(--init "$last")
  last="$folder/checkpoint.pt"
  [ "$name" = tune ] || grown_from=$last
  [ ! -e "$folder/finished" ] || return 0
  if [ -n "${CHUNK_SECONDS:-}" ]; then
    # Under a minute is spent on starting and compiling.
    [ "$(remaining)" -gt 60 ] || exit 75
    options+=(--stop-after "$(($(remaining) - 15))")
  fi
  echo "== stlm-$tier: $name, $seconds s"
  "$python" -m stlm train --tier "stlm-$tier" --out "$folder" --max-seconds "$seconds" --heldout "$heldout" \
    --infill "${INFILL:-.2}" --row-patches "${ROW_PATCHES:-512}" --batch-rows "${batch[$tier]}" "${faster[@]}" "${options[@]}" "$@"
  touch "$folder/finished"
}

rates() { # factor: the learning rates of all groups times it
  local factor=$1 name
  for name in matrix=.02 table=.03 head=.01; do
    printf -- '--%s-lr\n%s\n' "${name%%=*}" "$(times "${name#*=}" "$factor")"
  done
}

declare -A made=()
below= number=0 grown_from=
for tier in "${tiers[@]}"; do
  run="$checkpoints/stlm-$tier" last=
  number=$((number + 1))
  if [ -n "$below" ]; then
    last="$run/grown.pt"
    [ -z "${GROW_FROM:-}" ] || grown_from="$checkpoints/stlm-$below/$GROW_FROM/checkpoint.pt"
    [ -e "$last" ] || "$python" -m stlm grow "$grown_from" "$last" --tier "stlm-$tier"
  fi
  # One schedule through the stages: each begins at the rate at which the one before ends. A grown tier starts at its parent's loss,
  # which long steps would undo.
  peak=$([ -n "$below" ] && echo .5 || echo 1)
  mapfile -t pretrain_options < <(mix "${text[@]}"; rates "$peak")
  # With our sources, chats are a quarter of the rows of the second stage and three quarters of those of the third; there about half of
  # a chat is the assistant's, so that chats are a little over half of what is learnt.
  mapfile -t anneal_options < <(mix "${text[@]}" "${talk[@]}" "chat-*=3.8"; rates "$(times "$peak" .4)")
  mapfile -t tune_options < <(mix "${text[@]}" "${talk[@]}" "*=.03" "chat-*=34"; rates "$(times "$peak" .1)")
  # Every stage of every tier reads in an order of its own.
  stage "$tier" pretrain --data "$data" --seed "${number}1" "${pretrain_options[@]}" --warmdown .55 --final-rate .4 --round-fraction 0
  stage "$tier" anneal --data "$data" --data "$chat" --seed "${number}2" "${anneal_options[@]}" \
    --warmdown 1 --final-rate .25 --round "$round" --round-fraction .5
  stage "$tier" tune --data "$data" --data "$chat" --seed "${number}3" "${tune_options[@]}" --masked \
    --warmdown 1 --round "$round" --round-fraction 1
  made[$tier]=$last
  below=$tier
done

for tier in "${tiers[@]}"; do
  folder="$artifacts/stlm-$tier" limit=()
  [ ! -e "$checkpoints/stlm-$tier/exported" ] || continue
  if [ -n "${CHUNK_SECONDS:-}" ]; then
    [ "$(remaining)" -gt 60 ] || exit 75
    limit=(timeout "$(($(remaining) - 10))")
  fi
  "$python" -m stlm quantize "${made[$tier]}" "$folder" "${precisions[@]}"
  # Stopped by the clock, it goes on from its report next time.
  status=0
  "${limit[@]}" "$python" -m stlm evaluate "$folder" --heldout "$heldout" --eval-data "$eval_data" --tasks "${TASKS:-standard}" \
    ${EVAL_LIMIT:+--limit "$EVAL_LIMIT"} --threads "$(nproc)" --json "$checkpoints/stlm-$tier/evaluation.json" --write || status=$?
  [ "$status" != 124 ] || exit 75
  [ "$status" = 0 ] || exit "$status"
  "$python" -m stlm card "$folder" --trained-with runs/speedrun.sh
  touch "$checkpoints/stlm-$tier/exported"
done
