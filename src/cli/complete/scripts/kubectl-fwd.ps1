# Completes kubectl-fwd in PowerShell. For 'kubectl fwd', kubectl asks by itself: kubectl fwd completion install
Register-ArgumentCompleter -Native -CommandName 'kubectl-fwd', 'kubectl-fwd.exe' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { $_.Extent.Text })
    # Two quotes stand for a word that is not begun: older versions pass no empty word.
    $words += if ($wordToComplete) { $wordToComplete } else { '""' }
    $lines = @(& $commandAst.GetCommandName() __complete @words 2>$null)
    if ($lines.Count -eq 0) { return }
    $directive = [int]($lines[-1].TrimStart(':'))
    # Of --flag=value, the value is completed.
    $flag = if ($wordToComplete -match '^-[^=]*=') { $Matches[0] } else { '' }
    $candidates = @($lines | Select-Object -SkipLast 1 | Where-Object { $_ })
    if ($candidates.Count -eq 0) {
        # Nothing at all keeps PowerShell from completing files.
        if ($directive -band 4) { '' }
        return
    }
    foreach ($line in $candidates) {
        $value, $about = $line -split "`t", 2
        if (-not $about) { $about = $value }
        [System.Management.Automation.CompletionResult]::new("$flag$value", $value, 'ParameterValue', $about)
    }
}
