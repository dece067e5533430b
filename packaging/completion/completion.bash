# bash completion for @PROGRAM@. It asks --help, so it offers what the program that is installed takes.

# From a help text: "verb WORD", "option NAME VALUE" for each spelling (VALUE: what it takes, if
# anything), and "file" where the program takes files.
_telemetrics_table() {
  "$@" --help 2>/dev/null | awk '
    /^Usage:.* \[?FILE\]?(\.\.\.)?$/ { print "file" }
    /^Subcommands:/ { verbs = 1; next }
    verbs && /^  [a-z]/ { print "verb", $1 }
    /^ +-/ {
      sub(/^ +/, "")
      sub(/  .*/, "")
      value = $0 ~ / [^-][^ ]*$/ ? $NF : ""
      sub(/ [^-][^ ]*$/, "")
      count = split($0, names, /, ?/)
      for (i = 1; i <= count; ++i) print "option", names[i], value
    }'
}

_telemetrics() {
  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
  local -a command=("${COMP_WORDS[0]}")
  local table word value='' offers=''
  table=$(_telemetrics_table "${command[@]}")
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    if grep -qxF "verb $word" <<<"$table"; then
      command+=("$word")
      table=$(_telemetrics_table "${command[@]}")
    fi
  done
  COMPREPLY=()
  if [[ $before == -* ]]; then
    value=$(awk -v name="$before" '$1 == "option" && $2 == name { print $3 }' <<<"$table")
  fi
  case $value in
    '') ;;
    FILE | PATH | CORE | FILE\|*) compopt -o default; return ;;
    DIR | FOLDER) compopt -o dirnames; return ;;
    *) return ;;
  esac
  if [[ $current == -* ]]; then
    offers=$(awk '$1 == "option" { print $2 }' <<<"$table")
  elif grep -q '^verb ' <<<"$table"; then
    offers=$(awk '$1 == "verb" { print $2 }' <<<"$table")
  elif grep -qx file <<<"$table"; then
    compopt -o default
  fi
  mapfile -t COMPREPLY < <(compgen -W "$offers" -- "$current")
}

complete -F _telemetrics @PROGRAM@
