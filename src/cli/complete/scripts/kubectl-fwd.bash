# Completes kubectl-fwd in bash. For 'kubectl fwd', kubectl asks by itself: kubectl fwd completion install
_kubectl_fwd() {
    local rest=${COMP_LINE:0:COMP_POINT} trimmed word index
    local -a words=()
    # bash breaks words at ':' and '=' too. What stands together in the line is one word here.
    for ((index = 0; index <= COMP_CWORD; index++)); do
        trimmed=${rest#"${rest%%[![:space:]]*}"}
        word=${COMP_WORDS[index]}
        word=${trimmed:0:${#word}}
        if ((index > 0)) && [[ $trimmed == "$rest" ]]; then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
        rest=${trimmed:${#word}}
    done
    local current=${words[${#words[@]} - 1]} answer directive
    words=("${words[@]/#\~\//$HOME/}")
    answer=$("${words[0]}" __complete "${words[@]:1}" 2>/dev/null) || return
    directive=${answer##*:}
    answer=${answer%:*}
    # Of --flag=value, bash completes what stands behind the '='.
    [[ $current == -*=* ]] && current=${current#*=}
    # What is typed up to the last ':' stays in the line.
    local kept=''
    [[ $COMP_WORDBREAKS == *:* && $current == *:* ]] && kept=${current%"${current##*:}"}
    local line value
    local -a values=() shown=()
    while IFS= read -r line; do
        value=${line%%$'\t'*}
        [[ -n $value && $value == "$current"* ]] || continue
        value=${value#"$kept"}
        values+=("$value")
        [[ $line == *$'\t'* ]] && value+="  (${line#*$'\t'})"
        shown+=("$value")
    done <<<"$answer"
    if ((${#values[@]} == 0)); then
        COMPREPLY=()
        if ((directive & 16)); then
            compopt -o dirnames 2>/dev/null
        elif ! ((directive & 4)); then
            compopt -o default 2>/dev/null
        fi
        return
    fi
    ((directive & 2)) && compopt -o nospace 2>/dev/null
    # What is only listed, after a second TAB, is listed with what it is.
    if ((${#values[@]} > 1 && COMP_TYPE == 63)); then
        COMPREPLY=("${shown[@]}")
    else
        COMPREPLY=("${values[@]}")
    fi
}
complete -F _kubectl_fwd kubectl-fwd
