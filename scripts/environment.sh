# shellcheck shell=bash
# Sourced by the other scripts: finds the project and its Python, and reports failures.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export PYTHONPATH="$ROOT/src${PYTHONPATH:+:$PYTHONPATH}"
export GLOG_v="${GLOG_v:-3}" # MindSpore: errors only

# The active environment, except conda's base.
ACTIVE="${VIRTUAL_ENV:-}"
[[ -n "$ACTIVE" || "${CONDA_DEFAULT_ENV:-base}" == base ]] || ACTIVE="${CONDA_PREFIX:-}"

usage() { # MESSAGE...: wrong usage
  printf '%s\n' "$@" >&2
  exit 2
}

# The Python of the active environment, else of the project's .venv, else the system's.
find_python() {
  if [[ -n "$ACTIVE" ]]; then
    PYTHON="$ACTIVE/bin/python"
  elif [[ -x "$ROOT/.venv/bin/python" ]]; then
    PYTHON="$ROOT/.venv/bin/python"
  else
    PYTHON="$(command -v python3.11 || command -v python3 || true)"
    [[ -n "$PYTHON" ]] || usage "error: no Python found: install Python 3.11."
  fi
}

# lock_log LOG: wait until no other run writes LOG; the lock ends with this shell and its children. Locking again has no
# effect.
lock_log() {
  [[ -z "${LOCKED_LOG:-}" ]] || return 0
  exec 8>>"$1"
  LOCKED_LOG="$1"
  if ! command -v flock >/dev/null; then
    echo "warning: no flock command: run one script at a time in a folder" >&2
  elif ! flock -n 8 2>/dev/null; then
    echo "$1: waiting for another run that writes it" >&2
    flock 8 || echo "warning: $1: cannot be locked: run one script at a time in a folder" >&2
  fi
}

# logged LOG COMMAND...: run it with standard output and error unchanged, and copy both to LOG.
logged() {
  local log="$1"
  shift
  lock_log "$log"
  : >"$log"
  { "$@" 2>&1 >&3 3>&- | tee -a "$log" >&2 3>&-; } 3>&1 | tee -a "$log"
}

# make_environment [EXTRA]: create .venv unless an environment is active; install this project with an extra.
make_environment() {
  local project="$ROOT${1:+[$1]}" stamp
  if [[ -z "$ACTIVE" && ! -x "$ROOT/.venv/bin/python" ]]; then
    find_python
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
      usage "error: Python 3.11 is needed, $PYTHON is $("$PYTHON" --version 2>&1). Install it, or activate an environment that has it."
    echo "making $ROOT/.venv"
    if ! "$PYTHON" -m venv "$ROOT/.venv"; then
      rm -rf "$ROOT/.venv"
      usage "error: $PYTHON -m venv failed: install the system's package for it (Debian: apt-get install python3-venv)."
    fi
  fi
  find_python
  stamp="$("$PYTHON" -c 'import sys; print(sys.prefix)')/.$(cat "$ROOT"/requirements.txt "$ROOT"/pyproject.toml | sha256sum | cut -c1-16)-${1:-core}"
  if [[ ! -e "$stamp" ]]; then
    echo "installing ${1:-requirements.txt}"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check -e "$project"
    touch "$stamp"
  fi
}
