# The Python environment of this checkout; sourced by the scripts beside it.
#
#   environment_make EXTRAS   makes it, or brings it up to date; EXTRAS: "", "test", ...
#                             Afterwards $environment_python is its interpreter.
#
#   PYTHON   the interpreter to make it with; else the first of python3.11, python3, ... that runs
#   VENV     where it lies; relative to the checkout. Default: .venv

environment_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case ${VENV:=.venv} in
  /*) environment_folder=$VENV ;;
  *) environment_folder=$environment_root/$VENV ;;
esac
environment_python=$environment_folder/bin/python

# There from before the first step until after the last, with the process that takes them: a folder
# that has it is not trusted.
environment_unfinished=$environment_folder/.unfinished

_environment_say() { printf '%s\n' "$*" >&2; }
_environment_die() { _environment_say "error: $*"; exit 1; }

# "3.11", or nothing where the interpreter does not run.
_environment_minor() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

_environment_supported() { case $1 in 3.9 | 3.10 | 3.11 | 3.12) ;; *) return 1 ;; esac; }

_environment_has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

# Sets $found to an interpreter that runs, is 3.9 to 3.12, and can make environments.
_environment_find_python() {
  local name minor without_venv=""
  if [ -n "${PYTHON:-}" ]; then
    minor=$(_environment_minor "$PYTHON") || _environment_die "PYTHON=$PYTHON does not run."
    _environment_supported "$minor" ||
      _environment_die "Expected Python 3.9 to 3.12. Received: PYTHON=$PYTHON, Python $minor."
    _environment_has_venv "$PYTHON" ||
      _environment_die "PYTHON=$PYTHON has no venv module (Debian: apt-get install python$minor-venv)."
    found=$PYTHON
    return
  fi
  for name in python3.11 python3 python3.10 python3.9 python3.12; do
    # A name on PATH need not run: pyenv puts one there for each version it knows.
    minor=$(_environment_minor "$name") && _environment_supported "$minor" || continue
    if _environment_has_venv "$name"; then
      found=$name
      return
    fi
    without_venv=${without_venv:-$minor}
  done
  [ -z "$without_venv" ] ||
    _environment_die "Python $without_venv has no venv module (Debian: apt-get install python$without_venv-venv)."
  _environment_die "No Python 3.9 to 3.12 found. Install one, or name it: PYTHON=/path/to/python3.11"
}

# What an install depends on. The checkout's place is part of it: an editable install points there.
_environment_checksum() {
  { echo "$environment_root" && cat "$environment_root"/{setup.py,pyproject.toml}; } | cksum
}

# True if the folder is a finished environment whose interpreter runs.
_environment_sound() {
  [ -f "$environment_folder/pyvenv.cfg" ] && [ ! -e "$environment_unfinished" ] &&
    "$environment_python" -c '' 2>/dev/null
}

_environment_begin() {
  mkdir -p "$environment_folder"
  echo $$ >"$environment_unfinished"
}

_environment_refuse_second() {
  local process
  if process=$(cat "$environment_unfinished" 2>/dev/null) && kill -0 "${process:-none}" 2>/dev/null; then
    _environment_die "Process $process is making $VENV. Wait for it; if it does something else, remove $VENV."
  fi
}

_environment_create() {
  local found
  _environment_find_python
  if [ -e "$environment_folder" ]; then
    [ -e "$environment_unfinished" ] || [ -f "$environment_folder/pyvenv.cfg" ] ||
      [ -z "$(ls -A "$environment_folder")" ] ||
      _environment_die "$environment_folder is no Python environment. Remove it, or set VENV to another folder."
    _environment_say "$VENV is unfinished or broken. Making it anew."
    _environment_begin
    find "$environment_folder" -mindepth 1 -maxdepth 1 ! -name .unfinished -exec rm -rf {} +
  fi
  _environment_say "Making $VENV with Python $("$found" -c 'import platform; print(platform.python_version())') ..."
  _environment_begin
  "$found" -m venv "$environment_folder" >"$environment_folder/venv.log" 2>&1 || {
    tail -n 20 "$environment_folder/venv.log" >&2
    _environment_die "$found -m venv failed; its output is above and in $VENV/venv.log"
  }
}

_environment_install() {
  local extras=$1 log=$environment_folder/pip.log started=$SECONDS
  _environment_begin
  _environment_say "Installing sbae_tf${extras:+[$extras]} and TensorFlow into $VENV: some minutes the first time ..."
  # An environment that was here before us need not have pip.
  "$environment_python" -c 'import pip' 2>/dev/null || "$environment_python" -m ensurepip >"$log" 2>&1 ||
    _environment_die "$VENV has no pip and cannot get it; see $VENV/pip.log"
  # Not --quiet: the log is to hold everything.
  "$environment_python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
    --editable "$environment_root${extras:+[$extras]}" >"$log" 2>&1 </dev/null || {
    tail -n 20 "$log" >&2
    _environment_die "pip failed; its last lines are above, all of them in $VENV/pip.log"
  }
  _environment_say "Installed in $((SECONDS - started)) s."
}

environment_make() {
  local extras=$1 checksum stamp wanted
  _environment_refuse_second
  if ! _environment_sound; then
    _environment_create
  elif [ -n "${PYTHON:-}" ]; then
    wanted=$(_environment_minor "$PYTHON") || _environment_die "PYTHON=$PYTHON does not run."
    [ "$wanted" = "$(_environment_minor "$environment_python")" ] ||
      _environment_die "$VENV has Python $(_environment_minor "$environment_python"), PYTHON=$PYTHON is $wanted. Remove $VENV, or set VENV to another folder."
  fi
  checksum=$(_environment_checksum)
  # The package has a stamp of its own, so that a run after the tests has nothing to install.
  stamp=$environment_folder/.installed
  if [ "$(cat "$stamp${extras:+-$extras}" 2>/dev/null)" != "$checksum" ]; then
    _environment_install "$extras"
    echo "$checksum" >"$stamp"
    echo "$checksum" >"$stamp${extras:+-$extras}"
  fi
  rm -f "$environment_unfinished"
}
