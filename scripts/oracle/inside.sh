#!/usr/bin/env bash
# Where criu and crit are: dumps a process and answers one question about the images.
# usage: inside.sh decode|restore|bench|cores|bench-cores COLDCASE [ARGUMENT...] | answers|other-machines COLDCASE CORPUS [CASE...]
set -euo pipefail
question=$1 coldcase=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
case $question in
bench) exec python3 "$here/bench.py" "$coldcase" ;;
other-machines) exec python3 "$here/other_machines.py" "$coldcase" "$1/cases" "${@:2}" ;;
answers) exec python3 "$here/answers.py" "$coldcase" "$1/cases/core" "${@:2}" ;;
cores) exec python3 "$here/cores.py" "$coldcase" "$here/../../target/oracle-rust" "$@" ;;
bench-cores) exec python3 "$here/bench_cores.py" "$coldcase" "$@" ;;
esac
command -v criu crit >/dev/null || { echo "criu and crit are not in PATH: see README.md" >&2; exit 2; }
work=$(mktemp -d)
subject=
clean() {
    # With its child: the subject leads a session of its own.
    [ -z "$subject" ] || kill -9 -- "-$subject" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT
mkdir "$work/images"
# Without any descriptor of ours: CRIU would have to dump what is at the other end.
cp "$here/subject.py" "$work/subject.py"
(cd "$work" && exec setsid --fork python3 "$work/subject.py" "$work" </dev/null >/dev/null 2>&1)
for _ in $(seq 100); do [ ! -e "$work/pid" ] || break; sleep 0.1; done
subject=$(cat "$work/pid")

# Waits until the subject has counted on; fails if it does not within ten seconds.
counts_on() {
    local before
    before=$(wc -c <"$work/count")
    for _ in $(seq 100); do
        [ "$(wc -c <"$work/count")" -le "$before" ] || return 0
        sleep 0.1
    done
    return 1
}
counts_on
criu dump --tree "$subject" --images-dir "$work/images" --shell-job --ghost-limit 1M -v0
echo "dumped process $subject: $(find "$work/images" -type f | wc -l) files, by $(criu --version | head -1)"

different=0 images=0
each_image() {
    local image
    for image in "$work/images"/*; do
        case ${image##*/} in pages-* | dump.log) continue ;; esac
        images=$((images + 1))
        "$1" "$image"
    done
}

# The same text in every form, and the same count.
decode() {
    local name=${1##*/} form
    for form in '' --pretty; do
        # shellcheck disable=SC2086 # no word at all where there is no option
        if ! crit decode $form -i "$1" -o "$work/crit.json" 2>"$work/crit.err"; then
            echo "$name: crit cannot: $(tail -n 1 "$work/crit.err")"
            return
        fi
        # shellcheck disable=SC2086
        "$coldcase" crit decode $form -i "$1" -o "$work/ours.json"
        if ! cmp -s "$work/crit.json" "$work/ours.json"; then
            echo "$name ${form:-plain}: the texts differ"
            diff <(head -c 2000 "$work/crit.json") <(head -c 2000 "$work/ours.json") || true
            different=$((different + 1))
        fi
    done
}

# The same bytes after a way through JSON, pretty and plain in turn; the new file takes the place of the old one.
through_json() {
    local form=
    [ $((images % 2)) = 0 ] || form=--pretty
    # shellcheck disable=SC2086
    "$coldcase" crit decode $form -i "$1" -o "$work/ours.json"
    "$coldcase" crit encode -i "$work/ours.json" -o "$work/ours.img"
    if ! cmp -s "$1" "$work/ours.img"; then
        echo "${1##*/}: another image came back"
        different=$((different + 1))
    fi
    mv "$work/ours.img" "$1"
}

case $question in
decode)
    each_image decode
    echo "$images images compared, $different texts differ"
    ;;
restore)
    each_image through_json
    echo "$images images went through JSON, $different are different"
    criu restore --images-dir "$work/images" --shell-job --restore-detached -v0
    counts_on || { echo "the restored process does not count on"; exit 1; }
    echo "process $subject was restored from them and lives on"
    ;;
*) echo "unknown question: $question" >&2; exit 2 ;;
esac
[ "$different" = 0 ]
