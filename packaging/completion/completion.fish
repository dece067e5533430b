# fish completion for @PROGRAM@. It asks --help, so it offers what the program that is installed takes.

# From a help text, with tabs between: "verb WORD TEXT", "option NAME VALUE TEXT" for each spelling
# (VALUE: what it takes, if anything), and "file" where the program takes files.
function __telemetrics_table
    $argv --help 2>/dev/null | awk -v OFS=\t '
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
end

function __telemetrics_offer
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l command $words[1]
    set -l table (__telemetrics_table $command)
    for word in $words[2..]
        if string match -q -- "verb"\t"$word"\t'*' $table
            set -a command $word
            set table (__telemetrics_table $command)
        end
    end
    set -l value
    for line in $table
        set -l fields (string split \t -- $line)
        if test "$fields[1]" = option; and test "$fields[2]" = "$words[-1]"
            set value $fields[3]
        end
    end
    switch "$value"
        case ''
        case FILE PATH CORE 'FILE|*'
            __fish_complete_path $current
            return
        case DIR FOLDER
            __fish_complete_directories $current
            return
        case '*'
            return
    end
    for line in $table
        set -l fields (string split \t -- $line)
        switch "$fields[1]"
            case verb
                string match -q -- '-*' $current; or printf '%s\t%s\n' $fields[2] $fields[3]
            case option
                string match -q -- '-*' $current; and printf '%s\t%s\n' $fields[2] $fields[4]
            case file
                string match -q -- '-*' $current; or __fish_complete_path $current
        end
    end
end

complete -c @PROGRAM@ -f -a '(__telemetrics_offer)'
