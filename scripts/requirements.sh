#!/bin/sh
# Checks what setting up needs, before anything is set up: plain sh, no Python packages. `hayate doctor` looks deeper.
# Usage: requirements.sh [PYTHON]
python=${1:-python3}
missing=0

need() { # need WHAT DEBIAN FEDORA MACOS
    missing=1
    echo "missing: $1" >&2
    if command -v apt-get >/dev/null 2>&1; then echo "  install it with: sudo apt-get install -y $2" >&2
    elif command -v dnf >/dev/null 2>&1; then echo "  install it with: sudo dnf install -y $3" >&2
    elif command -v brew >/dev/null 2>&1; then echo "  install it with: brew install $4" >&2
    else echo "  Debian, Ubuntu: apt-get install -y $2 | Fedora: dnf install -y $3 | macOS: brew install $4" >&2
    fi
}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    need "Python 3.11 or newer (as $python; another one: make PYTHON=python3.12 ...)" python3 python3 python@3.12
else
    "$python" -c 'import ensurepip, venv' 2>/dev/null || need "Python's venv module" python3-venv python3 python@3.12
    if ! "$python" -c '
import pathlib, sys, sysconfig
value = sysconfig.get_config_var
names = {value("INSTSONAME"), value("LDLIBRARY")}
folders = {value("LIBDIR"), value("LIBPL"), sys.base_prefix, "/usr/lib/" + str(value("MULTIARCH"))}
found = any(pathlib.Path(f, n).is_file() for f in folders if f for n in names if n and (".so" in n or ".dylib" in n or "Python" in n))
sys.exit(not found)'; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        need "a shared libpython for $python (pyenv: install it with PYTHON_CONFIGURE_OPTS=--enable-shared)" \
            "libpython$version" python3-libs python@3.12
    fi
fi
command -v g++ >/dev/null 2>&1 || need "g++, the C++ compiler" g++ gcc-c++ gcc
command -v make >/dev/null 2>&1 || need make make make make
command -v perl >/dev/null 2>&1 || need perl perl perl perl
[ "$missing" = 0 ] || exit 2
