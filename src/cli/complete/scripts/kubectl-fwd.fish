# Completes kubectl-fwd in fish. For 'kubectl fwd', kubectl asks by itself: kubectl fwd completion install
function __kubectl_fwd_complete
    set -l words (string replace -r '^~/' $HOME/ -- (commandline -opc))
    set -l current (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    set -l lines ($program __complete $words "$current" 2>/dev/null)
    set -l directive (string replace ':' '' -- $lines[-1])
    test -n "$directive"; or return
    set -e lines[-1]
    # Of --flag=value, the value is completed.
    set -l flag (string match -r '^-[^=]*=' -- $current)
    if test (count $lines) -eq 0
        if test (math "floor($directive / 4) % 2") -eq 0
            for path in (__fish_complete_path (string replace -- "$flag" '' $current))
                printf '%s%s\n' "$flag" $path
            end
        end
        return
    end
    for line in $lines
        printf '%s%s\n' "$flag" $line
    end
end
complete -c kubectl-fwd -e
complete -c kubectl-fwd -f -a '(__kubectl_fwd_complete)'
