# Sourced by the scripts beside it: runs inside.sh with the question that they ask, the corpus if they need it, and their own arguments.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
coldcase=$(realpath "${COLDCASE:-$here/../../target/debug/coldcase}")
[ -x "$coldcase" ] || { echo "$coldcase is missing: build it, or name it in COLDCASE" >&2; exit 2; }
# ORACLE_ENTER is a command with its arguments: it is meant to be split.
# shellcheck disable=SC2086
exec ${ORACLE_ENTER:-} bash "${ORACLE_HOST:-}$here/inside.sh" "$question" "${ORACLE_HOST:-}$coldcase" ${corpus:+"${ORACLE_HOST:-}$corpus"} "$@"
