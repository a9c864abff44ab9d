"""A PostgreSQL server from Debian's package, for as long as a test session."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import uuid
from pathlib import Path


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if found:
        return found[-1].parent
    control = shutil.which("pg_ctl")
    return Path(control).resolve().parent if control else None


def missing() -> str:
    """Return why the server cannot be started, or an empty text."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed (pip install 'psycopg[binary]')"
    if _binaries() is None:
        return "no PostgreSQL server is installed (apt install postgresql)"
    if os.getuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return "PostgreSQL does not run as root and there is no user postgres"
    return ""


@contextlib.contextmanager
def running(folder: Path):
    """Start a server that listens on a socket in a folder; yields the URL of its default database."""
    binaries = _binaries()
    assert binaries is not None
    # Sockets have short paths only, and another user must reach them.
    home = Path(f"/tmp/pg-{uuid.uuid4().hex[:8]}")
    home.mkdir(mode=0o755)
    user = {}
    if os.getuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(home, account.pw_uid, account.pw_gid)
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def call(*command: str) -> None:
        done = subprocess.run(
            [str(binaries / command[0]), *command[1:]],
            cwd=home,
            capture_output=True,
            text=True,
            timeout=60,
            **user,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")

    try:
        call(
            "initdb",
            "-D",
            str(home / "data"),
            "-A",
            "trust",
            "-U",
            "tirtune",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        )
        options = f"-k {home} -h '' -c shared_buffers=16MB -c max_connections=60"
        call("pg_ctl", "-D", str(home / "data"), "-o", options, "-w", "-l", str(home / "log"), "start")
        try:
            yield f"postgresql://tirtune@/postgres?host={home}"
        finally:
            call("pg_ctl", "-D", str(home / "data"), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def fresh_database(url: str) -> str:
    """Make an empty database on a running server and return its URL."""
    import psycopg

    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return url.replace("/postgres?", f"/{name}?")
