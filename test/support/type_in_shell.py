"""Types lines with tabs into a shell on a terminal of its own, as a hand does, and prints what the shell has made of them.

    type_in_shell.py SHELL SETUP LINE...

SETUP is run first. In it `basaltctl` is what prints its words, one a line, each as "WORD:...": so a completed line that is run shows
what it means. Each line is typed when the one before it has been run.
"""

import os
import pty
import select
import sys
import time

LIMIT_SECONDS = 60

commands = {
    'bash': ['bash', '--norc', '--noprofile', '-i'],
    'zsh': ['zsh', '-f', '-i'],
    'fish': ['fish', '--no-config', '-i'],
}


def main(shell, setup, lines):
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM='dumb', HISTFILE='', PS1='> ', COLUMNS='200', fish_features='no-query-term')
        os.execvp(shell, commands[shell])
    heard = b''

    def hear_until(mark, count=1):
        nonlocal heard
        end = time.monotonic() + LIMIT_SECONDS
        while heard.count(mark) < count:
            if time.monotonic() > end:
                raise SystemExit(f'waited in vain for {mark!r}: {heard!r}')
            ready, _, _ = select.select([terminal], [], [], 1)
            if ready:
                heard += os.read(terminal, 65536)

    def type_line(text):
        os.write(terminal, text.encode())

    # The mark is put together by the shell, so that the echo of what is typed is not taken for it.
    def mark(number):
        type_line(f"printf 'MARK%s\\n' -{number}-\n")
        hear_until(f'MARK-{number}-'.encode())

    for number, line in enumerate([setup, *lines]):
        type_line(f'{line}\n')
        mark(number)
    os.close(terminal)
    for line in heard.decode(errors='replace').replace('\r', '\n').split('\n'):
        if line.startswith(('WORD:', 'MARK-')):
            print(line)


main(sys.argv[1], sys.argv[2], sys.argv[3:])
