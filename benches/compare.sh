#!/bin/bash
# Measures coldcase beside its peers on one generated checkpoint: user and system time of whole commands, in turn.
#
# usage: benches/compare.sh DIRECTORY [ROUNDS]
#
# DIRECTORY holds big.tar (made by `cargo bench --bench make-archive`), big.tar.zst, big.tar.gz, big.pages (its largest
# page image), scattered.tar (made with --scattered), 200k.tar and 400k.tar (--scattered of 782 and of 1564 MiB). Each round runs every command once, so that a change of the machine's pace meets all of them; the
# table has medians over the rounds, and for each command the median of its ratio to another one of the same round.
# COLDCASE, YARDSTICK (`cargo bench --bench yardstick --no-run` says where it is), CHECKPOINTCTL, RG and TIME name the programs; what can't be run is left out.
# ONLY chooses rows: "plain", "scattered", "packed", "bounds" (what is promised of grep); all of them where it is not set.
set -euo pipefail
export LC_ALL=C

directory=$(cd "$1" && pwd)
rounds=${2:-5}
coldcase=${COLDCASE:-target/release/coldcase}
checkpointctl=${CHECKPOINTCTL:-checkpointctl}
rg=${RG:-rg}
yardstick=${YARDSTICK:-yardstick}
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

# What is promised of grep: each row beside its bound of the same round.
bounds() {
    local archive=$directory/big.tar pages=$directory/big.pages
    if can_run "$rg"; then
        row "rg -F --no-mmap (pages)" "rg -F --no-mmap (pages)" "$rg" -a -ob --no-mmap -F "$needle" "$pages"
        row "grep -F: rg" "rg -F --no-mmap (pages)" "$coldcase" grep -F "$needle" "$archive"
    fi
    if can_run "$yardstick"; then
        row "read + memmem (pages)" "read + memmem (pages)" "$yardstick" memmem "$needle" "$pages"
    fi
    row "grep -F: memmem" "read + memmem (pages)" "$coldcase" grep -F "$needle" "$archive"
    row "grep cloud key" "grep -F: memmem" "$coldcase" grep 'AKIA[0-9A-Z]{16}' "$archive"
    row "grep JWT" "grep -F: memmem" "$coldcase" grep 'eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+' "$archive"
    row "grep PEM" "grep -F: memmem" "$coldcase" grep -- '-----BEGIN [A-Z ]*PRIVATE KEY-----' "$archive"
    twenty
    for ending in gz zst; do
        if can_run "$yardstick"; then
            row "unpack .$ending" "unpack .$ending" "$yardstick" unpack "$archive.$ending"
        fi
        row "grep -F: .$ending" "unpack .$ending" "$coldcase" grep -F "$needle" "$archive.$ending"
    done
    if [[ -e $directory/200k.tar && -e $directory/400k.tar ]]; then
        row "grep -F, 200,000 entries" "grep -F, 200,000 entries" "$coldcase" grep -F "$needle" "$directory/200k.tar"
        row "grep -F, 400,000 entries" "grep -F, 200,000 entries" "$coldcase" grep -F "$needle" "$directory/400k.tar"
    fi
}

# Twenty texts at once, where grep takes them from a file.
twenty() {
    "$coldcase" grep --help | grep -q -e '-f, ' || return 0
    local number
    for number in {1..19}; do echo "NEEDLE_big_0$((number * 37 + 100))_SECRET"; done >"$work/twenty"
    echo AKIAIOSFODNN7EXAMPLE >>"$work/twenty"
    if can_run "$rg"; then
        row "rg -F -f, twenty" "rg -F -f, twenty" "$rg" -a -ob --no-mmap -F -f "$work/twenty" "$directory/big.pages"
    fi
    row "grep -F -f, twenty" "rg -F -f, twenty" "$coldcase" grep -F -f "$work/twenty" "$directory/big.tar"
}

for rows in ${ONLY:-plain scattered packed bounds}; do
    case $rows in
        packed)
            packed zst zstd -q
            packed gz gzip
            ;;
        *) "$rows" ;;
    esac
done

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
