#!/usr/bin/env bash
# A TPU pod slice from creation to results: change the variables, then
#
#   experiments/pod.sh create     the slice, and a disk that all its hosts see
#   experiments/pod.sh install    this commit and DATA on every host
#   experiments/pod.sh run        the training on every host; once more with RESUME=--resume to go on
#   experiments/pod.sh collect    the run folder, to ./runs
#   experiments/pod.sh delete     slice and disk, with what is on it
#
# Needs gcloud, logged in, and TPU quota. DRY=echo prints the commands and runs none of them.
set -euo pipefail

NAME=${NAME:-gated-lift}
PROJECT=${PROJECT:-my-project}
ZONE=${ZONE:-us-west4-a}
# v5e: v5litepod-16 and v2-alpha-tpuv5-lite; v5p: v5p-8 and v2-alpha-tpuv5; v6e: v6e-16 and v2-alpha-tpuv6e
ACCELERATOR=${ACCELERATOR:-v5litepod-16}
RUNTIME=${RUNTIME:-v2-alpha-tpuv5-lite}
DATA=${DATA:-cmu_single.npz cmu_pairs.npz}
CONFIG=${CONFIG:-paper}
FLAGS=${FLAGS:-}
RESUME=${RESUME:-}
DRY=${DRY:-}

# Words that are several arguments are arrays.
read -ra data <<<"$DATA"
place=(--project="$PROJECT" --zone="$ZONE")

tpu() { $DRY gcloud compute tpus tpu-vm "$@"; }
share() { $DRY gcloud filestore instances "$@"; }
on_every_host() { tpu ssh "$NAME" "${place[@]}" --worker=all --command="$1"; }

case "${1:-}" in
create)
    tpu create "$NAME" "${place[@]}" --accelerator-type="$ACCELERATOR" --version="$RUNTIME"
    share create "$NAME" "${place[@]}" --tier=BASIC_HDD --file-share=name=runs,capacity=1TiB \
        --network=name=default
    ;;
install)
    if [ -n "$DRY" ]; then address=ADDRESS; else
        address=$(share describe "$NAME" "${place[@]}" --format='value(networks[0].ipAddresses[0])')
    fi
    $DRY git archive --output=gated_lift.tar HEAD
    tpu scp gated_lift.tar "${data[@]}" "$NAME": "${place[@]}" --worker=all
    # The images have Python 3.10; uv brings 3.11.
    on_every_host "set -e
        sudo apt-get update -q && sudo apt-get install -qy nfs-common
        sudo mkdir -p /mnt/runs && (mountpoint -q /mnt/runs || sudo mount $address:/runs /mnt/runs)
        sudo chmod 777 /mnt/runs
        mkdir -p gated_lift && tar -xf gated_lift.tar -C gated_lift
        python3 -m pip install --quiet --user uv
        ~/.local/bin/uv venv --python 3.11 venv
        ~/.local/bin/uv pip install --python venv/bin/python -e 'gated_lift[tpu]'"
    ;;
run)
    files=$(printf ' %s' "${data[@]##*/}")
    on_every_host "venv/bin/python -m experiments.train $CONFIG --distributed --data$files \
--output /mnt/runs/$CONFIG $FLAGS $RESUME"
    ;;
collect)
    $DRY mkdir -p runs
    tpu scp --recurse "$NAME":/mnt/runs/"$CONFIG" runs/ "${place[@]}" --worker=0
    ;;
delete)
    tpu delete "$NAME" "${place[@]}" --quiet
    share delete "$NAME" "${place[@]}" --quiet
    ;;
*)
    echo "pod: give create, install, run, collect or delete" >&2
    exit 2
    ;;
esac
