/** The script that a shell is told to read, one for each. It holds no word of the commands: at each key it asks the program what may
 *  follow, so that it fits whatever version is installed.
 *  Promises: where the program is not found under its name, by way of an alias for example, the one that made the script is asked. */

import { fileURLToPath } from 'node:url';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const ownWords = (): string =>
  [process.execPath, fileURLToPath(new URL('../main.js', import.meta.url))].map(quoted).join(' ');

const bash = `# bash completion of basaltctl
_basaltctl_ask() {
  if type -P basaltctl >/dev/null; then
    command basaltctl __complete "$@" 2>/dev/null
  else
    OWN __complete "$@" 2>/dev/null
  fi
}

_basaltctl() {
  local reply
  COMPREPLY=()
  mapfile -t reply < <(_basaltctl_ask bash -- "\${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS")
  COMPREPLY=("\${reply[@]:1}")
  [[ \${reply[0]} == files ]] && compopt -o default
}

complete -F _basaltctl basaltctl
`;

const zsh = `#compdef basaltctl
# zsh completion of basaltctl
_basaltctl_ask() {
  if (( $+commands[basaltctl] )); then
    command basaltctl __complete "$@" 2>/dev/null
  else
    OWN __complete "$@" 2>/dev/null
  fi
}

_basaltctl() {
  local -a reply values shown
  local line
  reply=("\${(@f)$(_basaltctl_ask words -- "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}")}")
  for line in "\${(@)reply[2,-1]}"; do
    values+=("\${line%%$'\\t'*}")
    shown+=("\${line%%$'\\t'*}  \${line#*$'\\t'}")
  done
  (( $#values )) && compadd -l -d shown -a values
  if [[ $reply[1] == files ]]; then
    compset -P '@'
    _files
  fi
}

if [[ \${funcstack[1]} == _basaltctl ]]; then
  _basaltctl "$@"
else
  compdef _basaltctl basaltctl
fi
`;

const fish = `# fish completion of basaltctl
function __basaltctl_ask
  if type -fq basaltctl
    command basaltctl __complete $argv 2>/dev/null
  else
    OWN __complete $argv 2>/dev/null
  end
end

function __basaltctl_complete
  set -l before (commandline -opc)
  set -l typed (commandline -ct)
  set -l reply (__basaltctl_ask words -- $before[2..-1] (string unescape -- $typed; or echo $typed))
  for line in $reply[2..-1]
    echo $line
  end
  if test "$reply[1]" = files
    if string match -q -- '@*' $typed
      __fish_complete_path (string sub -s 2 -- $typed) | string replace -r '^' '@'
    else
      __fish_complete_path $typed
    end
  end
end

complete -c basaltctl -f -a '(__basaltctl_complete)'
`;

const scripts: Readonly<Record<Shell, string>> = { bash, zsh, fish };

export const scriptOf = (shell: Shell): string => scripts[shell].replaceAll('OWN', ownWords);
