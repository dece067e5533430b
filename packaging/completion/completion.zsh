#compdef @PROGRAM@
# zsh completion for @PROGRAM@. It asks --help, so it offers what the program that is installed takes.

# From a help text, with tabs between: "verb WORD TEXT", "option NAME VALUE TEXT" for each spelling
# (VALUE: what it takes, if anything), and "file" where the program takes files.
_telemetrics_table() {
  "$@" --help 2>/dev/null | awk -v OFS='\t' '
    /^Usage:.* \[?FILE\]?(\.\.\.)?$/ { print "file" }
    /^Subcommands:/ { verbs = 1; next }
    verbs && /^  [a-z]/ { word = $1; sub(/^ +[^ ]+ +/, ""); print "verb", word, $0 }
    /^ +-/ {
      sub(/^ +/, "")
      text = $0 ~ /  / ? $0 : ""
      sub(/^.*[^ ]  +/, "", text)
      sub(/  .*/, "")
      value = $0 ~ / [^-][^ ]*$/ ? $NF : ""
      sub(/ [^-][^ ]*$/, "")
      count = split($0, names, /, ?/)
      for (i = 1; i <= count; ++i) print "option", names[i], value, text
    }'
}

_telemetrics() {
  local -a command lines fields offers
  local word line value
  command=($words[1])
  lines=("${(@f)$(_telemetrics_table $command)}")
  for word in ${words[2,CURRENT-1]}; do
    if [[ -n ${(M)lines:#verb$'\t'$word$'\t'*} ]]; then
      command+=($word)
      lines=("${(@f)$(_telemetrics_table $command)}")
    fi
  done
  for line in $lines; do
    fields=("${(@ps:\t:)line}")
    case $fields[1] in
      verb) [[ $PREFIX == -* ]] || offers+=("$fields[2]:$fields[3]") ;;
      option)
        [[ $PREFIX == -* ]] && offers+=("$fields[2]:$fields[4]")
        [[ $fields[2] == $words[CURRENT-1] ]] && value=$fields[3] ;;
    esac
  done
  case $value in
    '') ;;
    FILE | PATH | CORE | FILE\|*) _files; return ;;
    DIR | FOLDER) _files -/; return ;;
    *) _message $value; return ;;
  esac
  if (( $#offers )); then
    _describe ${words[1]:t} offers
  elif [[ -n ${(M)lines:#file} ]]; then
    _files
  fi
}

_telemetrics "$@"
