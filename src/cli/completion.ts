/** Completion scripts from the command tree. Pure: the tree in, a script out. */
import type { Command } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

interface Node {
  /** Names from the program down, without it: `runs list`. */
  readonly path: string;
  readonly words: readonly { readonly word: string; readonly about: string }[];
}

const clean = (text: string): string => text.replaceAll("'", '’').replaceAll('\n', ' ');

function nodesOf(command: Command, path: readonly string[]): Node[] {
  const children = command.commands.map((child) => ({
    word: child.name(),
    about: clean(child.summary() || child.description()),
  }));
  const choices = command.registeredArguments.flatMap((argument) =>
    (argument.argChoices ?? []).map((word) => ({ word, about: clean(argument.description) })),
  );
  const options = [...command.options, ...(path.length === 0 ? [] : (command.parent?.options ?? []))]
    .filter((option) => option.long !== undefined && !option.hidden)
    .map((option) => ({ word: option.long ?? '', about: clean(option.description) }));
  const words = [...children, ...choices, ...options, { word: '--help', about: 'show this help' }];
  const seen = new Set<string>();
  const own = words.filter(({ word }) => !seen.has(word) && seen.add(word) !== undefined);
  return [
    { path: path.join(' '), words: own },
    ...command.commands.flatMap((child) => nodesOf(child, [...path, child.name()])),
  ];
}

function bash(nodes: readonly Node[]): string {
  const cases = nodes.map(({ path, words }) => `    '${path}') words='${words.map((w) => w.word).join(' ')}' ;;`);
  return `# bash completion of millrace
_millrace() {
  local cur path='' word words='' next
  cur="\${COMP_WORDS[COMP_CWORD]}"
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    next="\${path:+$path }$word"
    case "|${nodes.map((n) => n.path).join('|')}|" in *"|$next|"*) path="$next" ;; esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _millrace millrace`;
}

function zsh(nodes: readonly Node[]): string {
  const entry = (w: Node['words'][number]): string => `'${w.word.replaceAll(':', '\\:')}:${w.about}'`;
  const cases = nodes.map(({ path, words }) => `    '${path}') entries=(${words.map(entry).join(' ')}) ;;`);
  return `#compdef millrace
_millrace() {
  local node='' word next
  local -a entries
  for word in "\${words[@]:1:$((CURRENT - 2))}"; do
    next="\${node:+$node }$word"
    case "|${nodes.map((n) => n.path).join('|')}|" in *"|$next|"*) node="$next" ;; esac
  done
  case "$node" in
${cases.join('\n')}
  esac
  _describe 'millrace' entries || _files
}
compdef _millrace millrace`;
}

function fish(nodes: readonly Node[]): string {
  const lines = nodes.flatMap(({ path, words }) =>
    words.map(({ word, about }) => {
      const what = word.startsWith('--') ? `-l ${word.slice(2)}` : `-a '${word}'`;
      return `complete -c millrace -n "test (__millrace_path) = '${path}'" ${what} -d '${about}'`;
    }),
  );
  return `# fish completion of millrace
function __millrace_path
  set -l path ''
  for word in (commandline -opc)[2..-1]
    set -l next (string trim "$path $word")
    contains -- "$next" ${nodes
      .filter((n) => n.path !== '')
      .map((n) => `'${n.path}'`)
      .join(' ')}; and set path $next
  end
  echo "$path"
end
${lines.join('\n')}`;
}

/** The script for a shell. */
export function completionScript(program: Command, shell: Shell): string {
  const nodes = nodesOf(program, []);
  return { bash, zsh, fish }[shell](nodes);
}
