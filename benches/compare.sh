#!/bin/bash
# Measures coldcase beside its peers on one generated checkpoint: user and system time of whole commands, in turn.
#
# usage: benches/compare.sh DIRECTORY [ROUNDS]
#
# DIRECTORY holds big.tar (made by `cargo bench --bench make-archive`), big.tar.zst, big.tar.gz, big.pages (its largest
# page image) and scattered.tar (made with --scattered). Each round runs every command once, so that a change of the machine's pace meets all of them; the
# table has medians over the rounds, and for each command the median of its ratio to another one of the same round.
# COLDCASE, CHECKPOINTCTL, RG and TIME name the programs; those of CHECKPOINTCTL and RG that can't be run are left out.
set -euo pipefail
export LC_ALL=C

directory=$(cd "$1" && pwd)
rounds=${2:-5}
coldcase=${COLDCASE:-target/release/coldcase}
checkpointctl=${CHECKPOINTCTL:-checkpointctl}
rg=${RG:-rg}
time=${TIME:-/usr/bin/time}
needle=NEEDLE_big_
expression='NEEDLE_[a-z]+_[0-9]{4}_SECRET'
pid=2

# Where results, cores and what commands print go; removed at the end.
work=$(mktemp -d "$directory/compare.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Rows: a label, the label that it is compared with, the command.
names=() against=() commands=()
row() {
    names+=("$1") against+=("$2")
    shift 2
    commands+=("$(printf '%q ' "$@")")
}

can_run() { command -v "$1" >/dev/null; }

plain() {
    local archive=$directory/big.tar
    row version version "$coldcase" --version
    row show version "$coldcase" show "$archive"
    row inspect version "$coldcase" inspect "$archive"
    row "inspect --ps-tree-cmd" version "$coldcase" inspect --ps-tree-cmd "$archive"
    row "inspect --all" version "$coldcase" inspect --all "$archive"
    if can_run "$checkpointctl"; then
        row "checkpointctl show" show "$checkpointctl" show "$archive"
        row "checkpointctl inspect --all" "inspect --all" "$checkpointctl" inspect --all "$archive"
    fi
    row "grep -F" "grep -F" "$coldcase" grep -F "$needle" "$archive"
    row "grep REGEX" "grep REGEX" "$coldcase" grep "$expression" "$archive"
    if can_run "$rg"; then
        row "rg -F (extracted pages)" "grep -F" "$rg" -a -b -o -F "$needle" "$directory/big.pages"
        row "rg REGEX (extracted pages)" "grep REGEX" "$rg" -a -b -o "$expression" "$directory/big.pages"
    fi
    if can_run "$checkpointctl"; then
        row "checkpointctl memparse -s" "grep -F" "$checkpointctl" memparse -p $pid -s "$needle" "$archive"
        row "checkpointctl memparse -r" "grep REGEX" "$checkpointctl" memparse -p $pid -r "$expression" "$archive"
    fi
    row "cp (pages)" "cp (pages)" cp "$directory/big.pages" "$work/copy"
    row coredump "cp (pages)" "$coldcase" coredump --pid $pid -o "$work/cores" "$archive"
}

packed() {
    local ending=$1 archive=$directory/big.tar.$1
    shift
    # Thrown away: to a file, writing would be half of it.
    row "$1 -dc .$ending" "$1 -dc .$ending" sh -c 'exec "$@" >/dev/null' sh "$@" -dc "$archive"
    row "show .$ending" "$1 -dc .$ending" "$coldcase" show "$archive"
    row "inspect --ps-tree-cmd .$ending" "$1 -dc .$ending" "$coldcase" inspect --ps-tree-cmd "$archive"
    row "grep -F .$ending" "$1 -dc .$ending" "$coldcase" grep -F "$needle" "$archive"
    row "coredump .$ending" "$1 -dc .$ending" "$coldcase" coredump --pid $pid -o "$work/cores" "$archive"
    if can_run "$checkpointctl"; then
        row "checkpointctl show .$ending" "show .$ending" "$checkpointctl" show "$archive"
        row "checkpointctl memparse -s .$ending" "grep -F .$ending" "$checkpointctl" memparse -p $pid -s "$needle" "$archive"
    fi
}

# Runs a command: user and system seconds together, wall seconds, largest resident memory in KiB.
measure() {
    local spent
    rm -rf "$work/cores" "$work/copy"
    spent=$({ TIMEFORMAT='%U %S %R'; time eval "$time -o '$work/memory' -f %M $1" >"$work/printed" 2>"$work/said"; } 2>&1) || true
    if ! [[ $(tail -n 1 "$work/memory") =~ ^[0-9]+$ ]] || [[ $(wc -l <"$work/memory") != 1 ]]; then
        echo "failed: $1" >&2
        cat "$work/said" >&2
        exit 1
    fi
    awk -v memory="$(cat "$work/memory")" '{ printf "%.4f %.4f %d\n", $1 + $2, $3, memory }' <<<"$spent"
}

scattered() {
    local archive=$directory/scattered.tar
    row "inspect --ps-tree-cmd, scattered" version "$coldcase" inspect --ps-tree-cmd "$archive"
    row "grep -F, scattered" "grep -F, scattered" "$coldcase" grep -F "$needle" "$archive"
    if can_run "$checkpointctl"; then
        row "checkpointctl memparse -s, scattered" "grep -F, scattered" "$checkpointctl" memparse -p $pid -s "$needle" "$archive"
    fi
}

plain
scattered
packed zst zstd -q
packed gz gzip

for ((round = 0; round <= rounds; round++)); do
    for number in "${!commands[@]}"; do
        figures=$(measure "${commands[number]}")
        # The first round only brings the files into memory.
        ((round == 0)) || printf '%s\t%s\t%s\t%s\n' "$round" "${names[number]}" "${against[number]}" "$figures" >>"$work/figures"
    done
done

awk -F '\t' '
function median(list, count,    i, j, kept) {
    for (i = 2; i <= count; i++) {
        kept = list[i]
        for (j = i - 1; j > 0 && list[j] > kept; j--) list[j + 1] = list[j]
        list[j + 1] = kept
    }
    return count % 2 ? list[(count + 1) / 2] : (list[count / 2] + list[count / 2 + 1]) / 2
}
{
    split($4, figure, " ")
    if (!($2 in known)) { known[$2] = 1; order[++rows] = $2; other[$2] = $3 }
    cpu[$2, $1] = figure[1]; wall[$2, $1] = figure[2]
    if (figure[3] > memory[$2]) memory[$2] = figure[3]
    if ($1 > rounds) rounds = $1
}
END {
    printf "%-37s %9s %9s %11s %9s  %s\n", "command", "CPU ms", "wall ms", "memory MiB", "ratio", "to"
    for (row = 1; row <= rows; row++) {
        name = order[row]
        for (round = 1; round <= rounds; round++) {
            cpus[round] = cpu[name, round]; walls[round] = wall[name, round]
            base = cpu[other[name], round]
            ratios[round] = base > 0 ? cpu[name, round] / base : 0
        }
        printf "%-37s %9.1f %9.1f %11.1f %9.2f  %s\n", name, 1000 * median(cpus, rounds), 1000 * median(walls, rounds), \
            memory[name] / 1024, median(ratios, rounds), other[name]
    }
}' "$work/figures"
