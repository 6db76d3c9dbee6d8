#!/usr/bin/env bash
# Runs a training until it is done: where it ends by itself or by a crash, it goes on with --resume.
#
#   experiments/supervise.sh python -m experiments.train paper --data cmu_single.npz --output runs/paper
#
# Exit codes 0 (done, or stopped by SIGTERM) and 130 (Ctrl-C) end it; after every other one it waits PAUSE
# seconds and goes on, at most TIMES times. SIGTERM and SIGINT are passed on to the training. On several
# hosts, start it on all of them: when one process ends, the others do, and all go on together.
set -um # every run in a group of its own, so that a terminal's Ctrl-C reaches it once, from here
times=${TIMES:-10} pause=${PAUSE:-10} asked=''
if [ $# -eq 0 ]; then
    echo "supervise: give a command, such as python -m experiments.train small --output runs/small" >&2
    exit 2
fi
trap 'asked=yes; kill -TERM "$run"' TERM
trap 'asked=yes; kill -INT "$run"' INT
for ((turn = 0; ; turn++)); do
    if [ "$turn" -eq 1 ]; then set -- "$@" --resume; fi
    "$@" &
    run=$!
    wait "$run"
    code=$?
    if [ -n "$asked" ]; then # the signal has ended the wait, not yet the run
        wait "$run"
        exit $?
    fi
    if [ "$code" -eq 0 ] || [ "$code" -eq 130 ] || [ "$turn" -ge "$times" ]; then exit "$code"; fi
    echo "supervise: exit code $code; going on in $pause s ($((turn + 1)) of $times)" >&2
    sleep "$pause"
    if [ -n "$asked" ]; then exit "$code"; fi
done
