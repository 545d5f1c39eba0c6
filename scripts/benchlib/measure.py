"""Runs one command and measures it: seconds, processor time, peak memory."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass


class Failed(Exception):
    """A command failed, or its result differs from what it must be."""


@dataclass
class Measured:
    seconds: float
    cpu: float
    peak_mib: float
    began: float
    """Wall clock at the start, to compare with the times of a ledger on this machine."""


def run(command):
    """Runs a command to its end. Its processes die with this one."""
    with tempfile.TemporaryFile() as errors:
        began, clock = time.time(), time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, start_new_session=True
        )
        peaks, ended = {}, threading.Event()
        watcher = threading.Thread(target=watch, args=(process.pid, peaks, ended))
        watcher.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            ended.set()
            watcher.join()
        seconds = time.monotonic() - clock
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            text = errors.read().decode(errors="replace")[-2000:]
            raise Failed(f"{os.path.basename(command[0])} ended with {process.returncode}: {text}")
    # A child's ru_maxrss begins with the memory of the process that forked it, so it only counts
    # where the command was too quick to be seen in /proc.
    peak = sum(peaks.values()) / 1024 or usage.ru_maxrss / 1024
    return Measured(seconds, usage.ru_utime + usage.ru_stime, peak, began)


def watch(pid, peaks, ended):
    """Notes the peak of a process and of its descendants. It only grows, so the last look counts."""
    while not ended.wait(0.02):
        for one in family(pid):
            try:
                with open(f"/proc/{one}/status") as status:
                    for line in status:
                        if line.startswith("VmHWM:"):
                            peaks[one] = int(line.split()[1])
            except (OSError, ProcessLookupError):
                pass


def family(pid):
    """A process and its descendants."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            below = children.read().split()
    except OSError:
        below = []
    return [pid, *(one for child in below for one in family(int(child)))]


def output(command, **options):
    """What a command of the preparation or of a check prints."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Failed(f"{os.path.basename(command[0])}: {done.stderr.strip()[-2000:]}")
    return done.stdout.strip()
